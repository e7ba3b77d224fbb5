"""Which inputs decide that a training is done already, and what is kept of trainings that gave no result."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from optuna import create_study

from elp_core.errors import ConfigError
from pipelines.local.settings import Settings
from pipelines.registry.slot import Slot
from pipelines.tuning import trial_store
from pipelines.tuning.finalists import confirm_finalists, searched_trials
from pipelines.tuning.search_space import Candidate, SearchSpace, changed_settings, present_candidate
from pipelines.tuning.time_spent import StudySession
from pipelines.tuning.trial_store import Ended, FailedTraining, TrialStore
from pipelines.tuning.tune_trial import TuneResult, TuneSpec
from pipelines.tuning.tuning_result import TriedConfiguration, TuningResult
from pipelines.tuning.tuning_study import Limits, SearchPlan, search
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
    store = TrialStore(None, SLOT, DATASET, "f", "code")  # type: ignore[arg-type]
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
