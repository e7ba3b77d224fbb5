from __future__ import annotations

from sqlite3 import Connection

import pytest

from pipelines.audit.learned import Learned, learned
from pipelines.datasets.subject import Subject
from pipelines.errors import UsageError
from tests.support.audited import ASR, ASV

pytestmark = pytest.mark.integration


def _adapters(found: Learned) -> dict[tuple[str, int], tuple[int, str, bool]]:
    return {(one.slot, one.version): (one.clips, one.status, one.certain) for one in found.adapters}


@pytest.mark.parametrize("speaker", ["ann", "cat"])
def test_training_and_validation_clips_were_learned_from(index: Connection, speaker: str) -> None:
    found = learned(index, Subject(speaker=speaker))
    assert _adapters(found) == {
        ("plant-a/asr", 1): (8, "was champion", True),
        ("plant-a/asr", 2): (12, "champion", True),
        ("plant-a/asr", 3): (12, "never champion", True),
        ("plant-b/asv", 1): (8, "champion", True),
    }
    assert [(one.slot, one.version) for one in found.champions] == [("plant-a/asr", 2), ("plant-b/asv", 1)]
    assert (found.clips, found.speakers, found.unknown) == (12, (speaker,), ())


def test_a_test_speaker_was_judged_on_and_not_learned_from(index: Connection) -> None:
    found = learned(index, Subject(speaker="eve"))
    assert found.adapters == ()
    assert {(one.tag, one.clips, one.learnable) for one in found.held} == {
        ("data/plant-a/asr/v1", 8, 0),
        ("data/plant-a/asr/v2", 12, 0),
        ("data/plant-b/asv/v1", 8, 0),
        ("golden/plant-a/asr/v1", 8, 0),
        ("golden/plant-b/asv/v1", 8, 0),
    }


def test_a_clip_is_found_by_its_first_digits_with_its_speaker(index: Connection) -> None:
    clip = (
        index.execute("SELECT id FROM clip WHERE speaker = 'ben' AND split = 'train' ORDER BY id").fetchone()[0].hex()
    )
    found = learned(index, Subject(clip=clip[:10].upper()))
    assert (found.clips, found.speakers) == (1, ("ben",))
    assert {one.clips for one in found.adapters} == {1}


def test_one_slot_can_be_asked_alone(index: Connection) -> None:
    assert set(_adapters(learned(index, Subject(speaker="ann"), ASV))) == {("plant-b/asv", 1)}
    assert {one.slot for one in learned(index, Subject(speaker="eve"), ASR).held} == {"plant-a/asr"}


def test_a_stranger_is_nowhere(index: Connection) -> None:
    found = learned(index, Subject(speaker="nobody"))
    assert (found.clips, found.held, found.adapters, found.unknown) == (0, (), (), ())


@pytest.mark.parametrize(
    ("values", "told"),
    [
        ({}, "one of --speaker ID and --clip ID"),
        ({"speaker": "a", "clip": "12345678"}, "one of --speaker ID and --clip ID"),
        ({"clip": "1234567"}, "8 to 64 hexadecimal digits"),
        ({"clip": "zzzzzzzz"}, "8 to 64 hexadecimal digits"),
    ],
)
def test_a_wrong_question_is_refused(values: dict[str, str], told: str) -> None:
    with pytest.raises(UsageError, match=told):
        Subject(**values)
