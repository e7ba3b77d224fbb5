from __future__ import annotations

import hashlib

import pytest

from pipelines.datasets.measuring import split_of

EXPECTED = "aareerrrarrr"
"""Second letters of test, validation and train, as release 0.1 split these speakers."""


def test_the_split_of_a_speaker_never_changes() -> None:
    # pinned: another result would move clips between the splits of every workspace
    found = [split_of(f"speaker-{number}", 0.25, 0.25) for number in range(12)]
    assert "".join(split[1] for split in found) == EXPECTED


@pytest.mark.parametrize("key", ["anna", "søren", ""])
def test_the_shares_are_compared_with_the_hash_of_the_key(key: str) -> None:
    place = int(hashlib.sha256(f"split:{key}".encode()).hexdigest()[:16], 16) / 2**64
    assert split_of(key, 0.0, place + 1e-9) == "test"
    assert split_of(key, 1e-9, place) == "validation"
    assert split_of(key, place / 2 + 1e-9, place / 2) == "validation"
    assert split_of(key, 0.0, place) == "train"
    assert split_of(key, place / 2, place / 2) == "train"
