"""Canonical JSON, one spelling for everything that is hashed or signed, with a strict reader; and moments as text."""

import hashlib
import json
from datetime import UTC, datetime
from typing import Any, NoReturn

from pipelines.errors import AttestationError

MAX_BYTES = 4 * 2**20
"""Limit of one document. A lineage statement has about 10 kB, a verdict 5 kB, a ledger entry 1 kB."""


def canonical_json(value: Any) -> bytes:
    """Return `value` with sorted keys, no spaces, in UTF-8 and without NaN: equal values have equal bytes."""
    try:
        text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
        return text.encode()
    except (TypeError, ValueError, RecursionError) as error:
        raise AttestationError("malformed", f"this cannot be written as JSON: {error}") from error


def sha256(content: bytes) -> str:
    """Return the SHA-256 as 64 lower-case hexadecimal digits."""
    return hashlib.sha256(content).hexdigest()


def parse_json(raw: str | bytes, where: str) -> dict[str, Any]:
    """Read a JSON object strictly: UTF-8, no repeated key, no NaN, at most `MAX_BYTES`."""
    if len(raw) > MAX_BYTES:
        raise AttestationError("malformed", f"{where} has {len(raw)} bytes, expected at most {MAX_BYTES}")

    def pairs(items: list[tuple[str, Any]]) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for key, value in items:
            # some readers keep the first value and others the last: one signature would cover two meanings
            if key in found:
                raise AttestationError("malformed", f"{where}: key {key[:40]!r} occurs twice in one object")
            found[key] = value
        return found

    def constant(name: str) -> NoReturn:
        raise AttestationError("malformed", f"{where}: {name} is no JSON number")

    # the parser ends with a RecursionError if objects are nested too deep
    try:
        text = raw.decode("utf-8") if isinstance(raw, bytes) else raw
        value = json.loads(text, object_pairs_hook=pairs, parse_constant=constant)
    except (ValueError, RecursionError) as error:
        raise AttestationError("malformed", f"{where} is no JSON: {error}") from error
    if not isinstance(value, dict):
        raise AttestationError("malformed", f"{where} holds a {type(value).__name__}, expected an object")
    return value


def parse_canonical_json(raw: bytes, where: str) -> dict[str, Any]:
    """Read a JSON object like `parse_json`, from its canonical spelling only: one value has one digest."""
    value = parse_json(raw, where)
    if canonical_json(value) != raw:
        raise AttestationError("malformed", f"{where} is not canonical JSON (sorted keys, no spaces, UTF-8)")
    return value


def utc_now() -> str:
    """Return the present moment: UTC, ISO 8601, microseconds."""
    return datetime.now(UTC).isoformat(timespec="microseconds")


def moment(text: str, where: str) -> datetime:
    """Read an ISO 8601 moment with its offset from UTC."""
    try:
        found = datetime.fromisoformat(text)
    except (TypeError, ValueError) as error:
        raise AttestationError("malformed", f"{where}: {text!r} is no ISO 8601 moment") from error
    if found.tzinfo is None:
        raise AttestationError("malformed", f"{where}: {text!r} has no offset from UTC")
    return found
