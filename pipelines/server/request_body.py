"""The body of a request to the guard's own routes, read strictly: an unknown field is refused, not ignored."""

import unicodedata
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from flask import request
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import INVALID_PARAMETER_VALUE

from pipelines.registry.slot import Slot
from pipelines.server.auth.principal import Caller, current_caller

LONGEST_REASON = 1000
"""Characters, here and in the forms of the pages."""
_LARGEST = 16 * 2**20
"""Bytes of a body: four times the largest statement."""
_MOST_DAYS = 100_000
"""A bound that keeps `timedelta` from overflowing; the override itself has a lower one."""
_LINES = "\n\r\t"


def read_body(needed: tuple[str, ...], optional: tuple[str, ...] = ()) -> Mapping[str, Any]:
    """Return the request's JSON object if it has all needed fields and no others except the optional ones."""
    if request.mimetype != "application/json":
        raise bad_request(f"expected Content-Type application/json, got {request.mimetype or 'none'}")
    if (request.content_length or 0) > _LARGEST:
        raise bad_request(f"the body has {request.content_length} bytes, expected at most {_LARGEST}")
    try:
        body = request.get_json(silent=True)
    except RecursionError:
        # thousands of nested lists
        body = None
    if not isinstance(body, dict):
        raise bad_request("the body is no JSON object")
    missing = [name for name in needed if body.get(name) in (None, "")]
    if missing:
        raise bad_request(f"the body lacks {', '.join(missing)}")
    unknown = sorted(set(body) - {*needed, *optional})
    if unknown:
        raise bad_request(f"the body has {ascii(unknown)[:200]}, expected {', '.join((*needed, *optional))} only")
    return body


def slot_of(body: Mapping[str, Any]) -> Slot:
    """Return the slot that a request is about."""
    return Slot.parse(text_of(body, "slot"))


def caller_of(body: Mapping[str, Any]) -> Caller:
    """Return the caller; the name in ``by`` counts only if the caller did not log in."""
    return current_caller(text_of(body, "by"))


def reason_of(body: Mapping[str, Any]) -> str:
    """Return the reason; empty if none is given."""
    reason = text_of(body, "reason").strip()
    if len(reason) > LONGEST_REASON:
        raise bad_request(f"the reason has {len(reason)} characters, expected at most {LONGEST_REASON}")
    return reason


def days_of(body: Mapping[str, Any], default: float) -> timedelta:
    """Return how long the request is to last."""
    value = body.get("days", default)
    # True is an int, and NaN fails every comparison: both end here
    if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) < _MOST_DAYS:
        raise bad_request(f"days: expected a number, got {str(value)[:40]!r}")
    return timedelta(days=value)


def signed_request_of(needed: tuple[str, ...]) -> tuple[dict[str, Any], str]:
    """Return the fields of a request about a worker, and its signature; empty if it has none."""
    body = dict(read_body(needed, ("signature",)))
    signature = text_of(body, "signature")
    body.pop("signature", None)
    for name in ("name", "token", "at"):
        text_of(body, name)
    return body, signature


def bad_request(message: str) -> MlflowException:
    """Return the error that is answered with HTTP 400."""
    return MlflowException(message, error_code=INVALID_PARAMETER_VALUE)


def plain_text(what: str, text: str) -> str:
    """Return `text` if every database and terminal can hold it: no control character, no lone surrogate."""
    if any(unicodedata.category(letter) in ("Cc", "Cs") and letter not in _LINES for letter in text):
        raise bad_request(f"{what} has control characters: {ascii(text)[:80]}")
    return text


def text_of(body: Mapping[str, Any], name: str) -> str:
    """Return a field that is text; empty if it is missing."""
    value = body.get(name)
    if value is None:
        return ""
    if not isinstance(value, str):
        raise bad_request(f"{name}: expected text, got {type(value).__name__}")
    return plain_text(name, value)
