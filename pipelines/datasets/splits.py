"""Which split a clip belongs to: a pure function of its speaker, so that adding data never moves a clip."""

from __future__ import annotations

import hashlib

from elp_core.types import Split


def split_of(key: str, validation_share: float, test_share: float) -> Split:
    """Split of everything that shares `key`: the speaker's name, or the clip's id where no speaker is known.

    The key's SHA-256 is read as a number in [0, 1): the lowest `test_share` is test, the next `validation_share`
    validation, the rest train.
    """
    digest = hashlib.sha256(f"split:{key}".encode()).digest()
    place = int.from_bytes(digest[:8], "big") / 2**64
    if place < test_share:
        return "test"
    return "validation" if place < test_share + validation_share else "train"
