"""Which inputs decide that a training is done already, and what is kept of trainings that gave no result."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from optuna import create_study

from elp_core.errors import ConfigError
from pipelines.local.settings import Settings
from pipelines.progress_text import Report
from pipelines.registry.slot import Slot
from pipelines.tuning import trial_store
from pipelines.tuning.finalists import confirm_finalists, searched_trials
from pipelines.tuning.search_space import Candidate, SearchSpace, changed_settings, present_candidate
from pipelines.tuning.study_journal import open_study
from pipelines.tuning.time_spent import StudySession, open_session
from pipelines.tuning.trial_store import Ended, FailedTraining, Prune, Rung, TrialStore
from pipelines.tuning.tune_trial import TuneResult, TuneSpec, rung_file, scores_file
from pipelines.tuning.tuning_result import TriedConfiguration, TuningResult
from pipelines.tuning.tuning_study import PRUNED, Limits, SearchPlan, add_present, enqueue_points, search, tried
from pipelines.tuning.tuning_words import tuning_findings

SLOT = Slot("plant-a", "asr")
SETTINGS = Settings().for_slot(SLOT)
RESULT = TuneResult("wer", 0.2, {}, 1, 1, 1.0, 1.0, 1.0, 1, 1, 1, "")
DATASET: Any = SimpleNamespace(dvc_hash="d", golden="g", closed_set=False, units={})


def spec(**own: object) -> TuneSpec:
    settings = Settings(slots={str(SLOT): own}).for_slot(SLOT)
    values = changed_settings(settings, present_candidate(settings), epochs=1, seed=0)
    return TuneSpec(str(SLOT), "", "", "", "", False, values)


def test_only_what_changes_a_result_is_in_its_key(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    store = TrialStore(None, SLOT, DATASET, "f", "code")
    key = store.key(spec())
    others: list[dict[str, object]] = [
        {"gate": {"margin": 0.3}},
        {"gate": {"resamples": 200}},
        {"data": {"min_snr_db": -5}},
    ]
    assert {store.key(spec(**one)) for one in others} == {key}
    kinds: list[dict[str, object]] = [
        {"gate": {"metric": "cer"}}, {"train": {"lr_head": 0.5}}, {"adapter": {"prompt": {"count": 3}}},
        {"task": {"width": 32}}, {"language": {"digits": "keep"}},
    ]  # fmt: skip
    assert len({key, *(store.key(spec(**one)) for one in kinds)}) == 6
    changed = tmp_path / "changed.py"
    changed.write_text("SCORES = 2\n")
    for name in ("tune_trial", "validation_halves", "clip_errors"):
        with monkeypatch.context() as patch:
            patch.setattr(getattr(trial_store, name), "__file__", str(changed))
            assert store.key(spec()) != key


def test_a_combination_that_the_task_refuses_is_in_the_report_without_a_count(tmp_path: Path) -> None:
    counted: list[Candidate] = []

    def count(candidate: Candidate) -> int:
        counted.append(candidate)
        if len(counted) == 1:
            raise ConfigError("task", ["width and dilations do not fit"])
        return 7

    space, study = SearchSpace(SETTINGS, (0, 1, 2)), create_study()
    plan = SearchPlan(space, Limits(10, 2.0), count, lambda *_: RESULT, "random", 0)
    search(study, plan, StudySession(tmp_path), lambda tried: tried < 1)
    refused, trained = searched_trials(study, space)
    assert (refused.state, refused.parameters, trained.state, trained.parameters) == ("failed", 0, "finished", 7)
    assert "do not fit" in refused.reason


def test_a_finalist_that_fails_is_reported_with_its_reason() -> None:
    present = present_candidate(SETTINGS)
    own = TriedConfiguration("own", present.settings(), "present", "finished", 0.3, 9, 1.0, 1.0)
    tried = replace(own, title="L 64", role="search")

    def train_all(calls: list[tuple[str, Candidate, int]]) -> list[Ended]:
        return [FailedTraining("no memory") if "present" not in name else RESULT for name, *_ in calls]

    session: Any = SimpleNamespace(
        present=present,
        final_spec=lambda one, seed: seed,
        train_all=train_all,
        sizes=SimpleNamespace(settings=SETTINGS),
        store=SimpleNamespace(dataset=DATASET, scores=lambda _: None),
    )
    confirmed, failed = confirm_finalists(session, [tried], (1, 2))
    assert (confirmed, [one.reason for one in failed]) == ((), ["no memory"])
    found = TuningResult(
        "plant-a/asr", "v1", "b", "s", "wer", 0.1, 3, 1, (1, 2), 1.0, 9, (), "note", (own, tried), unconfirmed=failed
    )
    assert any("L 64 was not confirmed" in one and "no memory" in one for one in tuning_findings(found))


def test_a_trial_that_is_worse_at_its_rung_is_ended_and_a_good_one_is_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    errors, finished, blocks = iter([0.5, 0.1, 0.4]), list[float](), range(20)

    def run_child(command: list[str], _: Path, report: Report) -> tuple[int, str]:
        path, error = Path(command[-1]), next(errors)
        rung = {"value": error, "blocks": {str(block): error + block / 1000 for block in blocks}}
        rung_file(path).write_text(json.dumps(rung))
        report(1, 3, "")
        finished.append(error)
        scores_file(path).write_text("{}")
        path.write_text(json.dumps(asdict(replace(RESULT, value=error))))
        return 0, ""

    monkeypatch.setattr(trial_store, "run_child", run_child)
    store = TrialStore(SimpleNamespace(cache=tmp_path), SLOT, DATASET, "f", "code")

    def train(candidate: Candidate, prune: Prune | None) -> Ended:
        settings = changed_settings(SETTINGS, candidate, epochs=1, seed=0)
        return store.run(replace(spec(), settings=settings), lambda *_: None, prune)

    space, study = SearchSpace(SETTINGS, (0, 1, 2)), open_study(tmp_path / "study", "tpe", 0)
    plan = SearchPlan(space, Limits(10, 2.0), lambda _: 1, train, "tpe", 0)
    enqueue_points(study, plan)
    add_present(study, plan, RESULT, Rung(0.2, {str(block): 0.2 for block in blocks}))
    with open_session(tmp_path / "study") as session:
        search(study, plan, session, lambda done: done < 3)
    assert finished == [0.1]
    ended = [(trial.value, trial.user_attrs.get(PRUNED, False), trial.params) for trial in tried(study)]
    states = [(0.5, True), (0.1, False), (0.4, True)]
    assert ended == [(*state, point) for state, point in zip(states, space.starting_points(), strict=True)]
