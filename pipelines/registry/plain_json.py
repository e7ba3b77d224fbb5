"""Values in the types of JSON, for Prefect, for files and for other programs, and what is wrong with read ones."""

import dataclasses
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
