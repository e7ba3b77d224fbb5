"""The part of a golden set that is answered under simulated conditions: by hash, with trials of both kinds."""

from __future__ import annotations

import hashlib
import sys

import pytest

from elp_core.data.trials import TrialList
from elp_core.errors import ConfigError
from elp_core.types import Clip
from pipelines.datasets.dataset_version import GoldenSet
from pipelines.errors import GateRefused
from pipelines.gating.golden_part import golden_part
from pipelines.gating.simulated_conditions import simulated_part
from pipelines.registry.policies import GatePolicy, RobustnessPolicy


def recordings(speakers: int, each: int) -> list[Clip]:
    names = [(s, n) for s in range(speakers) for n in range(each)]
    ids = [hashlib.sha256(f"{s} {n}".encode()).hexdigest() for s, n in names]
    return [Clip(id, b"", 1.0, "test", speaker=f"s{s}") for id, (s, _) in zip(ids, names, strict=True)]


CLIPS = recordings(400, 2)
SAME = [(CLIPS[n].id, CLIPS[n + 1].id, True) for n in range(0, 800, 2)]
OTHERS = [(CLIPS[n].id, CLIPS[-1 - n].id, False) for n in range(0, 400, 8)]
LIST = TrialList("a list", *zip(*SAME, *OTHERS, strict=True))
"""Trials that share hardly any clip, as those of VoxCeleb1: between 20 clips by hash there is none."""


def test_a_part_of_a_pinned_list_has_whole_trials_of_both_kinds() -> None:
    golden = GoldenSet("golden", "", CLIPS, LIST)
    part = golden_part(golden, 20, pairs=True)
    assert part.trials is not None
    assert len(part.clips) == 20
    assert {clip.id for clip in part.clips} == {*part.trials.first, *part.trials.second}
    assert sorted(part.trials.targets)[4:6] == [False, True], "five and five"
    again = golden_part(GoldenSet("golden", "", CLIPS[::-1], LIST), 20, pairs=True)
    assert again == part
    whole = golden_part(golden, 0, pairs=True)
    assert (len(whole.clips), whole.trials) == (800, LIST)


@pytest.mark.parametrize(
    "clips", [CLIPS, recordings(1, 40) + recordings(9, 1)[1:], recordings(2, 30)], ids=["many", "one of ten", "two"]
)
def test_a_part_without_a_list_has_pairs_of_both_kinds(clips: list[Clip]) -> None:
    part = golden_part(GoldenSet("golden", "", clips), 7, pairs=True)
    speakers = [clip.speaker for clip in part.clips]
    assert 6 <= len(speakers) <= 7
    assert 1 < len(set(speakers)) < len(speakers)


def test_a_part_of_other_tasks_is_the_first_clips_by_hash() -> None:
    part = golden_part(GoldenSet("golden", "", CLIPS), 7, pairs=False)
    assert [clip.id for clip in part.clips] == sorted(clip.id for clip in CLIPS)[:7]


def test_a_part_that_cannot_be_judged_is_refused_before_anything_is_answered(monkeypatch: pytest.MonkeyPatch) -> None:
    golden = GoldenSet("golden", "", CLIPS, LIST)
    few, halls = (GatePolicy(robustness=RobustnessPolicy(("mp3", name), clips=2)) for name in ("talker", "hall"))
    with pytest.raises(GateRefused, match=r"2 clips of golden have no trials .* 0 for all\): gate.robustness.clips"):
        simulated_part(golden, few, pairs=True)
    assert simulated_part(golden, GatePolicy(), pairs=True) is None
    monkeypatch.setitem(sys.modules, "pyroomacoustics", None)
    assert simulated_part(golden, few, pairs=False) is not None
    with pytest.raises(ConfigError, match="need the package pyroomacoustics, which is missing"):
        simulated_part(golden, halls, pairs=False)
