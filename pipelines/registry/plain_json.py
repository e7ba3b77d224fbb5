"""Values in the types of JSON, for Prefect, for files and for other programs, and what is wrong with read ones."""

import dataclasses
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any


def plain(value: Any) -> Any:
    """Return `value` in the types of JSON: records and mappings become objects, tuples arrays, other values strings."""
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {f.name: plain(getattr(value, f.name)) for f in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {str(k): plain(v) for k, v in value.items()}
    if isinstance(value, set | frozenset):
        return sorted((plain(v) for v in value), key=str)
    if isinstance(value, Iterable) and not isinstance(value, bytes | Path):
        return [plain(v) for v in value]
    return str(value)


def shape_fault(error: Exception) -> str:
    """Return what is wrong with values of JSON that Python could not read, for a message to people.

    >>> shape_fault(KeyError("start")), shape_fault(TypeError("string indices must be integers"))
    ("'start' is missing", 'a value is of another type')
    """
    if isinstance(error, KeyError):
        return f"{str(error)[:80]} is missing"
    if isinstance(error, RecursionError):
        return "it is nested too deeply"
    if isinstance(error, OSError | ValueError):
        # these say what they got
        return str(error)[:200]
    return "a value is of another type"


def reason_in(text: str) -> str:
    """Return the reason in the answer with which a server refused a request; other text is returned as it is.

    >>> reason_in('{"error_code": "PERMISSION_DENIED", "message": "v3 was never gated"}')
    'v3 was never gated'
    """
    try:
        values = json.loads(text)
    except (ValueError, RecursionError):
        return text[:_LONGEST].strip()
    if isinstance(values, dict):
        # MLflow's server and ours have a message; Prefect has its own shape, FastAPI's, and a list of pydantic's
        values = next((values[name] for name in _REASONS if values.get(name)), values)
    if isinstance(values, list):
        # a value that fits none of several kinds is reported once for each kind: the value error is the reason
        values = [one for one in values if isinstance(one, dict) and one.get("type") == "value_error"] or values
        values = "; ".join(str(one.get("msg", one)) if isinstance(one, dict) else str(one) for one in values)
    return str(values)[:_LONGEST]


_REASONS = ("message", "exception_detail", "detail", "exception_message")
_LONGEST = 1000
