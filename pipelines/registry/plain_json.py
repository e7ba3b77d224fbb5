"""Values in the types of JSON, for Prefect, for files and for other programs."""

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
