"""Where an adapter comes from: its data, backbone, code and settings, by digest."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable


def ids_digest(ids: Iterable[str]) -> str:
    """``sha256:…`` of a set of clip ids, whatever their order."""
    return "sha256:" + hashlib.sha256("\n".join(sorted(ids)).encode()).hexdigest()
