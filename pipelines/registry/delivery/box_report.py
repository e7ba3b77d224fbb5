"""What a box says it runs: a small record that the box signs with a key of its own.

A report goes to the server over HTTP, or as a file on the medium that came from there. The server knows the public key
of each enrolled box, so it does not matter by which way a report comes; of two, the later one counts.
"""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from elp_core.config import from_dict
from elp_core.errors import ConfigError
from pipelines.errors import AttestationError, UsageError
from pipelines.registry.signing.canonical_json import canonical_json, moment, parse_canonical_json
from pipelines.registry.signing.envelope import read_envelope, sign_as, verify_signature
from pipelines.registry.signing.keys import TrustedKey, key_id, read_public

if TYPE_CHECKING:
    from securesystemslib.signer import CryptoSigner

BOX_TYPE = "application/vnd.elp.box-report+json"
FORMAT = 1
REPORTS = "reports"
"""Folder of a site's medium with the reports of its boxes."""
LARGEST = 64 * 1024
"""Bytes of a report, which has less than one kB for each task."""

_NAME = re.compile(r"[a-z0-9]([a-z0-9.-]{0,38}[a-z0-9])?")


@dataclass(frozen=True)
class RunningAdapter:
    """An adapter that a box serves."""

    slot: str
    version: int
    bundle: str


@dataclass(frozen=True)
class BoxReport:
    """What a box runs. The law: ``read_report(sign_report(r, key), pem) == r``."""

    box: str
    site: str
    at: str
    """UTC, ISO 8601, by the box's clock, which is never older than the metadata it has seen."""
    running: tuple[RunningAdapter, ...]
    pulled: str
    """How the last pull ended, such as ``activated`` or ``expired``."""
    pulled_at: str
    detail: str = ""
    """Of a pull that was refused."""
    release: str = ""
    """Of elp on the box."""
    format: int = FORMAT


def box_name_of(text: str) -> str:
    """Return the name of a box if it is one; UsageError if not."""
    if not _NAME.fullmatch(text):
        raise UsageError(
            f"{text[:60]!r} is no name of a box; expected lower-case letters, digits, dots and hyphens, at most 40"
        )
    return text


def sign_report(report: BoxReport, signer: CryptoSigner) -> str:
    """Return the envelope of a report."""
    return sign_as(canonical_json(asdict(report)), BOX_TYPE, signer).text


def box_of_report(text: str) -> str:
    """Return the name of the box that an envelope claims to be from, not verified; AttestationError if it has none."""
    return str(parse_canonical_json(_payload(text), "report").get("box", ""))


def read_report(text: str, pem: str) -> BoxReport:
    """Return a report that the key `pem` has signed; raise AttestationError if it has not, or if it is malformed."""
    try:
        report = from_dict(BoxReport, parse_canonical_json(signed_payload(text, pem, BOX_TYPE), "report"), "report")
    except ConfigError as error:
        raise AttestationError("malformed", str(error)) from error
    for name in (report.at, *([report.pulled_at] if report.pulled_at else [])):
        moment(name, "report")
    if report.format != FORMAT:
        raise AttestationError("malformed", f"the report is of format {report.format}, this release reads {FORMAT}")
    return report


def signed_payload(text: str, pem: str, payload_type: str) -> bytes:
    """Return what the key `pem` of a box has signed as a type; raise AttestationError if it has not."""
    envelope = read_envelope(text)
    key = key_id(read_public(pem, "the box's key"))
    if envelope.payload_type != payload_type or envelope.keyid != key:
        raise AttestationError("unknown key", f"the report is signed by {envelope.keyid[:12]}, this box has {key[:12]}")
    verify_signature(envelope, TrustedKey(key, "box", (), pem, ""))
    return _payload(text)


def _payload(text: str) -> bytes:
    if len(text) > LARGEST:
        raise AttestationError("malformed", f"the report has {len(text)} characters, expected at most {LARGEST}")
    return read_envelope(text).payload
