"""What an `elp serve` says of itself: the sites, the versions that answer, and how busy it is.

A server with a registry sends it as the user that it logs in as; the server of an edge box signs it with the box's key.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from elp_core.config import from_dict
from elp_core.errors import ConfigError
from pipelines.errors import AttestationError, UsageError
from pipelines.registry.delivery.box_report import RunningAdapter, signed_payload
from pipelines.registry.signing.canonical_json import canonical_json, moment, parse_canonical_json
from pipelines.registry.signing.envelope import sign_as

if TYPE_CHECKING:
    from securesystemslib.signer import CryptoSigner

SERVING_TYPE = "application/vnd.elp.serving-report+json"
EVERY = timedelta(minutes=1)
"""Between two reports of a server whose versions do not change."""
LOST = timedelta(minutes=5)
"""After so long without a report, nobody knows whether a server answers."""
MOST_SLOTS = 5000
MOST_PROBLEMS, LONGEST_PROBLEM = 5, 300

_HOST = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]{0,98}[A-Za-z0-9])?:[0-9]{1,5}")


@dataclass(frozen=True)
class ServingReport:
    """A server at one moment. The law: ``read_serving_report(asdict(r)) == r`` for every report that may be sent."""

    host: str
    """Name of the machine and port, such as ``press-3:8400``."""
    at: str
    """UTC, ISO 8601, by the clock of the host."""
    sites: tuple[str, ...]
    """Empty for all."""
    serving: tuple[RunningAdapter, ...]
    """The versions that answer, with the digests of their bundles."""
    problems: tuple[str, ...] = ()
    """Why something is not served as it should be; the first ones."""
    waiting: int = 0
    """Waveforms that wait for a batch."""
    refused: int = 0
    """Requests since its start that were answered with 429 because too many were in progress."""
    release: str = ""
    """Of elp on the host."""
    box: str = ""
    """Name of the box that it serves; empty if it follows a registry."""
    ended: bool = False
    """The last report of a server that was stopped."""


def host_name_of(machine: str, port: int) -> str:
    """Return the name of a server in its reports, whatever the system says the machine is called."""
    plain = re.sub(r"[^A-Za-z0-9._-]", "-", machine)[:100].strip("._-") or "host"
    return f"{plain}:{port}"


def read_serving_report(values: Mapping[str, Any]) -> ServingReport:
    """Return a report from JSON; raise UsageError if it is malformed."""
    try:
        report = from_dict(ServingReport, values, "report")
    except ConfigError as error:
        raise UsageError(f"the report of a server is malformed: {error}") from error
    if not _HOST.fullmatch(report.host):
        raise UsageError(f"{report.host[:60]!r} is no name of a server; expected MACHINE:PORT")
    if len(report.serving) > MOST_SLOTS or len(report.problems) > MOST_PROBLEMS:
        raise UsageError(f"a report has at most {MOST_SLOTS} slots and {MOST_PROBLEMS} problems")
    moment(report.at, "report")
    return report


def sign_serving_report(report: ServingReport, signer: CryptoSigner) -> str:
    """Return the envelope of the report of a box's server."""
    return sign_as(canonical_json(asdict(report)), SERVING_TYPE, signer).text


def read_signed_serving(text: str, pem: str) -> ServingReport:
    """Return a report that the key `pem` of a box has signed; raise AttestationError if it has not."""
    try:
        return read_serving_report(parse_canonical_json(signed_payload(text, pem, SERVING_TYPE), "report"))
    except UsageError as error:
        raise AttestationError("malformed", str(error)) from error
