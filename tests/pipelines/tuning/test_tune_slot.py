from __future__ import annotations

import contextlib
import io
import json
import shutil
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from elp_core.errors import OpsError
from elp_core.types import Clip
from pipelines.datasets import versions
from pipelines.errors import UsageError
from pipelines.local.workspace import Workspace, open_workspace
from pipelines.progress_text import Report
from pipelines.registry.client.connection import connect
from pipelines.registry.plain_json import plain
from pipelines.tuning import trial_store, tune_trial
from pipelines.tuning import tune_slot as tune_slot_module
from pipelines.tuning.child_runs import StudyRuns
from pipelines.tuning.trial_store import FailedTraining
from pipelines.tuning.tune_request import TrialCall, TuneHooks, TuneRequest
from pipelines.tuning.tune_slot import tune_slot
from tests.support.both_languages import compare_languages
from tests.support.workspaces import Site

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def copy(site: Site, tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """A workspace that may be written into; six epochs have a rung."""
    root = tmp_path_factory.mktemp("tune") / "workspace"
    shutil.copytree(site.workspace.root, root)
    text = (root / "elp.yaml").read_text().replace("epochs: 2", "epochs: 7")
    (root / "elp.yaml").write_text(f"{text}slots: {{plant-a/asr: {{task: {{width: 64}}}}}}\n")
    return open_workspace(root)


@pytest.fixture
def trainings(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Run trainings in this process: each of their own processes imports PyTorch again. The files of their results."""
    made: list[str] = []

    def run(command: list[str], errors: Path, report: Report) -> tuple[int, str]:
        assert command[:4] == [sys.executable, "-P", "-m", tune_trial.__name__]
        monkeypatch.setattr(sys, "argv", command[3:])
        made.append(command[-1])
        with contextlib.redirect_stdout(io.StringIO()) as said:
            tune_trial._main()
        for line in said.getvalue().splitlines():
            report(*json.loads(line))
        return 0, ""

    monkeypatch.setattr(trial_store, "run_child", run)
    return made


def children(client: Any) -> list[Any]:
    experiments = [one.experiment_id for one in client.search_experiments()]
    return list(client.search_runs(experiments, "tags.`elp.kind` = 'tuning trial'"))


@pytest.mark.usefixtures("trainings")
def test_a_search_that_is_killed_continues_and_repeats_nothing(
    copy: Workspace, site: Site, trainings: list[str], mlflow_uri: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    heard: set[str] = set()
    read_clips = versions.read_clips

    def watched(files: Any, splits: Any, columns: Any = "all") -> list[Clip]:
        clips = read_clips(files, splits, columns)
        heard.update(clip.id for clip in clips if clip.audio)
        return clips

    golden = versions.load_golden(str(copy.root), "v1", site.asr, copy.cache)
    monkeypatch.setattr(versions, "read_clips", watched)
    monkeypatch.setattr(versions, "load_golden", lambda *_: pytest.fail("the golden set was read"))
    # networks this small are measured in milliseconds
    monkeypatch.setattr(tune_slot_module, "SLOWER", 100.0)
    request = TuneRequest(trials=3, parameters=0.5, seeds=1)
    names: list[str] = []

    def dies(call: TrialCall) -> Any:
        names.append(call.name)
        if sum(name.startswith("trial of") for name in names) == 2:
            raise KeyboardInterrupt
        return call.train()

    client = connect(mlflow_uri)
    runs = crashed = StudyRuns(client, site.asr, flow_run="crashed")
    hooks = TuneHooks(lambda _: None, opened=runs.open, run=lambda call: runs.record(call, lambda: dies(call)))
    with pytest.raises(KeyboardInterrupt):
        tune_slot(copy, site.asr, request, hooks)
    assert len(trainings) == 4
    killed = [run.info.run_name for run in children(client) if run.info.status == "KILLED"]
    assert killed == [names[-1]]
    assert crashed.finished() is None
    runs = StudyRuns(client, site.asr, flow_run="given again")
    hooks = replace(hooks, opened=runs.open, run=lambda call: runs.record(call, call.train))
    found, folder = tune_slot(copy, site.asr, request, hooks)
    runs.close(found, folder)
    # started again by the supervision, it begins no other study on settings that have the winner by now
    assert plain(crashed.finished()) == plain(found)
    made = children(client)
    assert {run.data.tags["mlflow.parentRunId"] for run in made} == {runs.parent}
    assert len(made) == len(trainings), "the run that was killed is the one that was finished"
    assert {run.info.status for run in made if "wer" in run.data.metrics} == {"FINISHED"}
    assert client.get_run(runs.parent).data.tags["elp.decision"].startswith(("Use ", "Keep "))
    assert len(found.searched) == 3
    assert [trial.role for trial in found.trials[:2]] == ["present", "head only"]
    assert all(trial.parameters <= found.parameter_limit for trial in found.searched)
    assert found.parameter_limit == round(found.present.parameters / 2)
    assert {trial.title for trial in found.searched} >= {names[-1].removeprefix("trial of ")}
    assert sum(found.layer_shares) == pytest.approx(1, abs=0.01)
    (finalist, *_) = found.finalists
    assert finalist.against_present.clips == 16
    assert len(finalist.against_present.by_seed) == 1
    # ids of the golden set are read, to leave its clips out; its audio is not
    assert len(heard) == 32
    assert heard.isdisjoint(clip.id for clip in golden.clips)
    compare_languages(folder, "tune.html")
    assert json.loads((folder / "tune.json").read_text())["slot"] == "plant-a/asr"
    count = len(trainings)
    assert len(set(trainings)) == count, "no training was made twice"
    again, same = tune_slot(copy, site.asr, request, TuneHooks(log=lambda _: None))
    assert len(trainings) == count
    assert (plain(replace(again, seconds=found.seconds)), same) == (plain(found), folder)


def test_without_the_present_configuration_there_is_no_search(copy: Workspace, site: Site) -> None:
    def fails(call: TrialCall) -> Any:
        return FailedTraining("the loss is nan")

    with pytest.raises(OpsError, match="the training of present configuration failed: the loss is nan"):
        tune_slot(copy, site.asv, TuneRequest(trials=1), TuneHooks(run=fails, log=lambda _: None))


@pytest.mark.usefixtures("trainings")
def test_what_cannot_search_is_refused_with_what_would(copy: Workspace, site: Site, trainings: list[str]) -> None:
    hooks = TuneHooks(log=lambda _: None)
    with pytest.raises(UsageError, match=r"the smallest configuration of the search has .* --parameters 0\."):
        tune_slot(copy, site.asv, TuneRequest(trials=1, parameters=1e-6), hooks)
    assert not trainings
    lines: list[str] = []
    with pytest.raises(UsageError, match=r"no time for a trial in 0.001 minutes: .* give at least: --minutes 1 "):
        tune_slot(copy, site.asr, TuneRequest(minutes=0.001, parameters=0.4), TuneHooks(log=lines.append))
    assert any("scored clips can show a difference of" in line for line in lines)
