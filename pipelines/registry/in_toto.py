"""The common parts of the in-toto Statements v1 that this project signs."""

import re
from collections.abc import Mapping
from typing import Any

from pipelines.errors import AttestationError
from pipelines.registry.signing.canonical_json import canonical_json

STATEMENT = "https://in-toto.io/Statement/v1"
BUNDLE_DIGEST = "elpBundle"
"""Name of the digest algorithm of a bundle: SHA-256 of its manifest."""

_PREFIXED = re.compile(r"sha256:[0-9a-f]{64}")


def statement_payload(
    model: str, bundle: str, files: list[dict[str, Any]], kind: str, predicate: Mapping[str, Any]
) -> bytes:
    """Return the canonical JSON of a statement on a bundle and, if there are any, its files."""
    subject = {"name": model, "digest": {BUNDLE_DIGEST: bundle.removeprefix("sha256:")}}
    return canonical_json(
        {"_type": STATEMENT, "subject": [subject, *files], "predicateType": kind, "predicate": dict(predicate)}
    )


def read_subject(values: Mapping[str, Any]) -> tuple[str, str]:
    """Return the registered model and the ``sha256:…`` of the bundle that a statement is about."""
    first = values["subject"][0]
    return str(first["name"]), check_prefixed("sha256:" + str(first["digest"][BUNDLE_DIGEST]), "subject")


def check_prefixed(text: str, where: str) -> str:
    """Return `text` if it is ``sha256:`` and 64 hexadecimal digits; raise AttestationError if not."""
    if not _PREFIXED.fullmatch(text):
        raise AttestationError("malformed", f"{where}: {text[:80]!r} is no sha256:<64 hexadecimal digits>")
    return text
