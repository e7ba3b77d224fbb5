"""A study whose trainings are interrupted, fail, or run next to those of another process."""

from __future__ import annotations

import signal
import threading
from pathlib import Path
from typing import Any

import pytest
from optuna import create_study
from optuna.trial import TrialState

from elp_core.errors import OpsError
from pipelines.errors import StudyStopped
from pipelines.local.settings import Settings
from pipelines.locks import file_lock
from pipelines.registry.slot import Slot
from pipelines.tuning import study_journal, trial_store
from pipelines.tuning.search_space import SearchSpace
from pipelines.tuning.study_journal import SESSION, free_dead_trials, open_study
from pipelines.tuning.study_threads import run_together
from pipelines.tuning.time_spent import StudySession, open_session
from pipelines.tuning.trial_store import Ended, FailedTraining
from pipelines.tuning.tuning_study import Limits, SearchPlan, enqueue_points, failed_trials, search

SLOT = Slot("plant-a", "asr")


def plan(train: Any, jobs: int = 1) -> SearchPlan:
    space = SearchSpace(Settings().for_slot(SLOT), (0, 1, 2))
    return SearchPlan(space, Limits(10, 2.0), lambda candidate: 1, train, "random", 0, jobs)


@pytest.mark.parametrize("jobs", [1, 2])
def test_an_interrupt_ends_all_trainings_and_their_trials_are_tried_again(tmp_path: Path, jobs: int) -> None:
    study, begun, started = open_study(tmp_path, "random", 0), [], threading.Barrier(jobs)

    def train(*_: object) -> Ended:
        begun.append(1)
        if started.wait(timeout=60) == 0:
            raise KeyboardInterrupt
        while True:
            session.go_on()

    with open_session(tmp_path) as session, pytest.raises(KeyboardInterrupt):
        search(study, plan(train, jobs), session, lambda tried: True)
    assert len(begun) == jobs, "no training begins after the interrupt"
    assert free_dead_trials(study, tmp_path) == jobs
    assert not failed_trials(study)


def test_calls_that_wait_are_left_out_when_one_fails(tmp_path: Path) -> None:
    made, session = [], StudySession(tmp_path)

    def fails() -> None:
        made.append(1)
        raise OpsError("MLflow is gone")

    def waits() -> None:
        made.append(2)
        while True:
            session.go_on()

    with pytest.raises(OpsError, match="MLflow is gone"):
        run_together([waits, fails, *[waits] * 3], 2, session)
    assert sorted(made) in ([1, 2], [1, 2, 2])


def test_a_training_that_gets_the_interrupt_of_the_terminal_has_not_failed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trial_store, "run_child", lambda *_: (-signal.SIGINT, "KeyboardInterrupt"))
    monkeypatch.setattr(trial_store, "asdict", lambda _: {})
    store = trial_store.TrialStore(*[None] * 5)
    with pytest.raises(StudyStopped, match="it continues the study"):
        store._train(None, tmp_path, lambda *_: None)


def test_trainings_that_only_fail_end_the_search(tmp_path: Path) -> None:
    study, reasons = create_study(), iter(f"no memory {number}" for number in range(99))
    with pytest.raises(OpsError, match=r"5 trainings in a row failed, the last one with: no memory 4\n.*continues"):
        search(study, plan(lambda *_: FailedTraining(next(reasons))), StudySession(tmp_path), lambda tried: tried < 3)
    assert len(failed_trials(study)) == 5


def test_another_process_frees_no_trial_that_was_just_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    study = open_study(tmp_path, "random", 0)
    ranges = plan(None).space.distributions()
    ask = study.ask

    def watched(*given: Any) -> Any:
        trial = ask(*given)
        assert study.get_trials()[-1].state == TrialState.RUNNING
        assert SESSION not in study.get_trials()[-1].user_attrs
        with pytest.raises(TimeoutError), file_lock(tmp_path / "study.lock", wait=0):
            pytest.fail("another process could look at the study now")
        return trial

    monkeypatch.setattr(study, "ask", watched)
    with open_session(tmp_path) as session:
        study_journal.ask_trial(study, ranges, session)
        assert free_dead_trials(open_study(tmp_path, "random", 0), tmp_path) == 0


def test_a_kill_while_points_are_queued_loses_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    study, asked = open_study(tmp_path, "tpe", 0), plan(None)
    enqueue = study.enqueue_trial

    def dies(point: dict[str, Any], **options: Any) -> None:
        if study.get_trials(deepcopy=False):
            raise KeyboardInterrupt
        enqueue(point, **options)

    with monkeypatch.context() as patch:
        patch.setattr(study, "enqueue_trial", dies)
        with pytest.raises(KeyboardInterrupt):
            enqueue_points(study, asked)
    for _ in range(2):
        enqueue_points(study, asked)
        queued = [trial.system_attrs["fixed_params"] for trial in study.get_trials()]
        assert queued == asked.space.starting_points()


def test_a_kill_between_queueing_a_dead_trial_again_and_ending_it_keeps_its_point(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    study = open_study(tmp_path, "tpe", 0)
    enqueue_points(study, plan(None))
    # killed before the first of its values was drawn
    study.ask()
    point = study.get_trials()[0].system_attrs["fixed_params"]
    with monkeypatch.context() as patch:
        patch.setattr(study, "tell", lambda *_, **__: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            free_dead_trials(study, tmp_path)
    assert free_dead_trials(study, tmp_path) == 1
    waiting = [trial.system_attrs["fixed_params"] for trial in study.get_trials(states=(TrialState.WAITING,))]
    assert (len(waiting), waiting.count(point)) == (3, 1)


def test_the_end_of_a_journal_is_cut_off_under_the_lock_of_its_writers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cut = study_journal._drop_cut_line

    def watched(journal: Path) -> None:
        with pytest.raises(TimeoutError), file_lock(tmp_path / "journal.lock", wait=0):
            pytest.fail("another process could write now")
        cut(journal)

    monkeypatch.setattr(study_journal, "_drop_cut_line", watched)
    open_study(tmp_path, "random", 0)
