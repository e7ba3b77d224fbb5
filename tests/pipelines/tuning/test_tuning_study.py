from __future__ import annotations

import json
from pathlib import Path

import pytest
from optuna.distributions import FloatDistribution
from optuna.trial import TrialState

from elp_core.types import Clip
from pipelines.tuning.study_journal import SESSION, free_dead_trials, open_study
from pipelines.tuning.time_spent import is_alive, open_session, seconds_spent
from pipelines.tuning.validation_halves import divide_validation

RANGE = {"x": FloatDistribution(0.0, 1.0)}


def test_the_trial_of_a_dead_session_is_tried_again_and_a_cut_journal_is_read(tmp_path: Path) -> None:
    study = open_study(tmp_path, "tpe", 0)
    with open_session(tmp_path) as alive:
        asked = {name: study.ask(RANGE) for name in ("dead", alive.name)}
        for name, trial in asked.items():
            trial.set_user_attr(SESSION, name)
        with (tmp_path / "journal.log").open("ab") as journal:
            journal.write(b'{"op_code": 5, "wor')
        again = open_study(tmp_path, "tpe", 0)
        assert is_alive(tmp_path, alive.name)
        assert free_dead_trials(again, tmp_path) == 1
        states = [trial.state for trial in again.get_trials()]
        assert states == [TrialState.FAIL, TrialState.RUNNING, TrialState.WAITING]
        assert again.ask(RANGE).params == asked["dead"].params
    assert not is_alive(tmp_path, alive.name)


def test_the_time_of_sessions_that_overlap_counts_once(tmp_path: Path) -> None:
    (tmp_path / "sessions").mkdir()
    for name, period in (("a", [0.0, 10.0]), ("b", [5.0, 12.0]), ("c", [100.0, 103.0])):
        (tmp_path / "sessions" / f"{name}.json").write_text(json.dumps(period))
    assert seconds_spent(tmp_path) == 15.0


def clips(speakers: int, each: int) -> list[Clip]:
    return [Clip(f"{s}-{n}", b"", 1.0, "validation", speaker=f"s{s}") for s in range(speakers) for n in range(each)]


def test_the_halves_have_no_speaker_in_common() -> None:
    halves = divide_validation(clips(6, 10), closed_set=False, voices=True)
    stop, score = ({clip.speaker for clip in half} for half in (halves.stop, halves.score))
    assert (len(halves.stop), len(halves.score), stop & score) == (30, 30, set())
    assert halves.note == "trainings stop on 30 validation clips and are scored on 30 others, of other speakers"


@pytest.mark.parametrize(
    ("speakers", "each", "voices", "reason"),
    [
        (4, 5, False, "half of them would be 10, and 16 are needed"),
        (2, 40, False, "half of them would be of one speaker"),
        (40, 1, True, "half of them would have less than two speakers with two clips each"),
    ],
)
def test_a_small_validation_split_is_not_divided(speakers: int, each: int, voices: bool, reason: str) -> None:
    halves = divide_validation(clips(speakers, each), closed_set=False, voices=voices)
    assert len(halves.stop) == len(halves.score) == speakers * each
    assert reason in halves.note
    assert "optimistic" in halves.note


def test_a_closed_set_is_divided_by_clip() -> None:
    halves = divide_validation(clips(2, 40), closed_set=True, voices=True)
    assert {clip.id for clip in halves.stop}.isdisjoint(clip.id for clip in halves.score)
    assert len(halves.score) == 40
