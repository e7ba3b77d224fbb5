"""What a slot has already is not labelled by a model: recordings whose parts are its clips, above all."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from elp_core.data.corpus import make_row, read_clips, write_shard
from elp_core.types import Seconds
from pipelines.datasets.aligned_delivery import aligned_sounds, require_not_aligned, sound_id
from pipelines.datasets.alignment import Alignment
from pipelines.datasets.dataset_version import DROP_TAUGHT, Delivery
from pipelines.datasets.delivery import DeliveryContent, DeliveryOptions, SourceClip
from pipelines.errors import UsageError
from pipelines.selection.agreement import AgreementLimits
from pipelines.selection.draft_answers import sounds_of
from pipelines.selection.pseudo_label import PseudoLabelling, as_stored
from pipelines.selection.site_recordings import HeldClips, held_as
from tests.support.clips import voice
from tests.support.deliveries import INTAKE
from tests.support.outcomes import DATASET

HELD = HeldClips(
    (), (), frozenset({"aa"}), frozenset({"bb"}), sources={"call-7": 4.0}, quarantined=frozenset({"call-8"})
)
TAUGHT = Delivery("k1", "k1", "in", "pseudo-labels", {}, 3, 3, 1.5, 0, 0, 2, "", teacher="sha256:ab")


@pytest.mark.parametrize(
    ("path", "clip", "seconds", "training", "why"),
    [
        ("x.wav", "aa", 1.0, False, "the slot has this recording"),
        ("x.wav", "bb", 1.0, True, "the slot has this recording"),
        # the clips of a recording have other ids; its folder and its format may have changed
        ("mon/call-7.wav", "cc", 60.0, True, "clips of a recording with this name"),
        ("Call-7.FLAC", "cc", 4.0, False, "clips of a recording with this name"),
        ("mon/call-8.wav", "cc", 60.0, True, "in quarantine"),
        # a person may label these
        ("x.wav", "bb", 1.0, False, ""),
        ("mon/call-8.wav", "cc", 60.0, False, ""),
        # too short to be what the clips were cut from
        ("call-7.wav", "cc", 2.0, True, ""),
        ("call-70.wav", "cc", 60.0, True, ""),
    ],
)
def test_a_recording_whose_parts_are_clips_of_the_slot_is_left_out(
    path: str, clip: str, seconds: Seconds, training: bool, why: str
) -> None:
    found = held_as(clip, seconds, SourceClip(path, b""), HELD, for_training=training)
    assert why in found
    assert bool(found) == bool(why)


def test_a_recording_that_was_aligned_is_left_out_before_intake_refuses_it(tmp_path: Path) -> None:
    file, digest = tmp_path / "renamed.wav", "b5d4045c3f466fa91fe2cc6abe79232a1a57cdf104f7a26e716e0a1e2789df78"
    file.write_bytes(b"ABC")
    clip = SourceClip(file.name, file)
    sound = sound_id(replace(clip, sha256=digest))
    cut = Delivery("k", "k", "in", "x", {}, 1, 3, 9.0, 0, 0, 1, "", alignment=Alignment("p/asr", 1, "b", (), (sound,)))
    current = replace(DATASET, deliveries=(cut,))
    content = DeliveryContent("k2", "in", "x", DeliveryOptions(), (replace(clip, sha256=digest),), 3)
    with pytest.raises(UsageError, match="was aligned"):
        require_not_aligned(content, INTAKE.language, current)
    held = replace(HELD, aligned=aligned_sounds(current))
    assert "--align" in held_as("cc", 9.0, clip, held, for_training=True)
    file.write_bytes(b"other")
    assert not held_as("cc", 9.0, clip, held, for_training=True)


def test_pseudo_labels_that_were_dropped_may_be_made_again() -> None:
    people, drop = replace(TAUGHT, key="p", teacher="", version=1), replace(TAUGHT, key="d", teacher="", version=3)
    before = replace(DATASET, deliveries=(people, TAUGHT))
    assert before.delivery_keys == ["p", "k1"]
    dropped = replace(before, deliveries=(people, TAUGHT, replace(drop, importer=DROP_TAUGHT)))
    assert dropped.delivery_keys == ["p", "d"]
    again = replace(dropped, deliveries=(*dropped.deliveries, replace(TAUGHT, version=4)))
    assert again.delivery_keys == ["p", "d", "k1"]


def test_the_outcome_counts_what_intake_took_in() -> None:
    chosen = PseudoLabelling(
        DATASET.slot, 1, "sha256:ab", AgreementLimits(), 9, 5, 5, 2.5, 9.0, {}, {"disagree": 4}, ()
    )
    after = replace(DATASET, version=DATASET.version + 1, deliveries=(TAUGHT,), taught_seconds=1.5)
    found = as_stored(chosen, DATASET, after)
    assert (found.taken, found.seconds, found.dataset) == (3, 1.5, after)
    assert found.refused == {"disagree": 4, "not_stored": 2}
    same = as_stored(chosen, after, after)
    assert (same.taken, same.seconds, same.dataset, same.refused["not_stored"]) == (0, 0.0, None, 5)


def test_each_shard_is_read_once_for_the_clips_that_are_wanted(tmp_path: Path) -> None:
    words = {"text": "open", "split": "train"}
    rows = [make_row(voice(0.3, 200, place), path=f"{place}.wav", **words) for place in range(4)]
    shards = [write_shard(part, tmp_path) for part in (rows[:2], rows[2:])]
    wanted = [rows[1].id, rows[2].id]
    stored = {clip.id: clip.audio for clip in read_clips(shards)}
    found = dict(sounds_of(shards, wanted))
    assert found == {clip: stored[clip] for clip in wanted}
