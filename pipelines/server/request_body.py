"""The body of a request to the guard's own routes, read strictly: a field that is not known is refused, not ignored."""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from flask import request
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import INVALID_PARAMETER_VALUE

from pipelines.registry.ledger.entry import Principal
from pipelines.registry.slot import Slot
from pipelines.server.auth.principal import caller

LONGEST_REASON = 1000
"""Characters, here and in the console's forms."""
_LARGEST = 16 * 2**20
"""Bytes of a body: four times the largest statement."""
_MOST_DAYS = 100_000
"""What is no number of days at all."""
_LINES = "\n\r\t"


def read_body(needed: tuple[str, ...], optional: tuple[str, ...] = ()) -> Mapping[str, Any]:
    """The request's JSON object, with the fields that are needed and none but the optional beside them.

    Raises:
        MlflowException: where it is none.
    """
    if request.mimetype != "application/json":
        raise wrong(f"expected Content-Type application/json, got {request.mimetype or 'none'}")
    if (request.content_length or 0) > _LARGEST:
        raise wrong(f"the body has {request.content_length} bytes, expected at most {_LARGEST}")
    try:
        body = request.get_json(silent=True)
    except RecursionError:
        body = None
    if not isinstance(body, dict):
        raise wrong("the body is no JSON object")
    missing = [name for name in needed if body.get(name) in (None, "")]
    if missing:
        raise wrong(f"the body lacks {', '.join(missing)}")
    unknown = sorted(set(body) - {*needed, *optional})
    if unknown:
        raise wrong(f"the body has {ascii(unknown)[:200]}, expected {', '.join((*needed, *optional))} only")
    return body


def slot_of(body: Mapping[str, Any]) -> Slot:
    """The slot that a request is about."""
    return Slot.parse(_text(body, "slot"))


def who_of(body: Mapping[str, Any]) -> Principal:
    """The caller; the name in ``by`` counts where nobody logged in."""
    return caller(_text(body, "by"))


def reason_of(body: Mapping[str, Any]) -> str:
    """Why; empty where nothing is said."""
    reason = _text(body, "reason").strip()
    if len(reason) > LONGEST_REASON:
        raise wrong(f"the reason has {len(reason)} characters, expected at most {LONGEST_REASON}")
    return reason


def days_of(body: Mapping[str, Any], default: float) -> timedelta:
    """How long."""
    value = body.get("days", default)
    if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) < _MOST_DAYS:
        raise wrong(f"days: expected a number, got {str(value)[:40]!r}")
    return timedelta(days=value)


def wrong(message: str) -> MlflowException:
    """HTTP 400."""
    return MlflowException(message, error_code=INVALID_PARAMETER_VALUE)


def plain(what: str, text: str) -> str:
    """`text`, where any database and any terminal can hold it: no control character, no half of a surrogate pair.

    Raises:
        MlflowException: where it has one.
    """
    if any(unicodedata.category(letter) in ("Cc", "Cs") and letter not in _LINES for letter in text):
        raise wrong(f"{what} has control characters: {ascii(text)[:80]}")
    return text


def _text(body: Mapping[str, Any], name: str) -> str:
    value = body.get(name)
    if value is None:
        return ""
    if not isinstance(value, str):
        raise wrong(f"{name}: expected text, got {type(value).__name__}")
    return plain(name, value)
