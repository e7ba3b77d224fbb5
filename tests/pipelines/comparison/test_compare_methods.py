from __future__ import annotations

import contextlib
import io
import json
import re
import shutil
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from elp_core.languages import NormaliserId
from pipelines.comparison import method_trial, trial_runner
from pipelines.comparison.compare_methods import ComparisonRequest, compare_methods
from pipelines.comparison.trial_runner import TrialRunner, run_child
from pipelines.datasets.dataset_version import TranscriptLanguage
from pipelines.datasets.versions import version_at
from pipelines.errors import ServiceError, UsageError
from pipelines.local.workspace import Workspace, open_workspace
from pipelines.progress_text import Report
from pipelines.registry.client.connection import connect
from tests.support.mlflow_server import free_port
from tests.support.workspaces import Site

pytestmark = pytest.mark.integration

REQUEST = ComparisonRequest(("l", "weighted-sum", "slot"), (0.25, 0.5, 1.0), "l")


@pytest.fixture(scope="module")
def copy(site: Site, tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """A workspace that may be written into."""
    root = tmp_path_factory.mktemp("compare") / "workspace"
    shutil.copytree(site.workspace.root, root)
    return open_workspace(root)


@pytest.fixture
def _trials_here(monkeypatch: pytest.MonkeyPatch) -> None:
    """Run trials in this process: each of their own processes imports PyTorch again."""

    def run(command: list[str], errors: Path, report: Report) -> tuple[int, str]:
        assert command[:4] == [sys.executable, "-P", "-m", method_trial.__name__]
        monkeypatch.setattr(sys, "argv", command[3:])
        with contextlib.redirect_stdout(io.StringIO()) as said:
            method_trial._main()
        for line in said.getvalue().splitlines():
            report(*json.loads(line))
        return 0, ""

    monkeypatch.setattr(trial_runner, "run_child", run)


def test_transcripts_in_another_language_than_declared_are_not_compared(
    copy: Workspace, site: Site, mlflow_uri: str
) -> None:
    german = replace(copy, settings=replace(copy.settings, language="de"))
    with pytest.raises(UsageError, match=r"are English, units: letters; elp\.yaml declares de"):
        compare_methods(german, site.asr, "latest", REQUEST, mlflow_uri=mlflow_uri, log=lambda _: None)


def test_another_release_of_the_normaliser_is_refused(
    copy: Workspace, site: Site, mlflow_uri: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    changed = TranscriptLanguage("ja", NormaliserId("ja/1", "sha256:" + "9" * 64))
    units = {"kind": "characters", "symbols": ["扉"]}
    dataset = replace(version_at(copy, "latest", site.asr), language=changed, units=units)
    monkeypatch.setattr("pipelines.comparison.compare_methods.version_at", lambda *_: dataset)
    japanese = replace(copy, settings=replace(copy.settings, language="ja"))
    with pytest.raises(UsageError, match=r"install the release of the language packages that made data/plant-a/asr"):
        compare_methods(japanese, site.asr, "latest", REQUEST, mlflow_uri=mlflow_uri, log=lambda _: None)


@pytest.mark.usefixtures("_trials_here")
def test_methods_are_trained_judged_reported_and_not_done_twice(copy: Workspace, site: Site, mlflow_uri: str) -> None:
    logged: list[str] = []
    steps: list[tuple[float, int, str]] = []

    def progress(done: float, total: int, note: str) -> None:
        steps.append((done, total, note))

    found, folder = compare_methods(
        copy, site.asr, "latest", REQUEST, mlflow_uri=mlflow_uri, log=logged.append, progress=progress
    )
    assert {total for _, total, _ in steps} == {5}
    assert [done for done, _, _ in steps] == sorted(done for done, _, _ in steps)
    assert steps[0] == (0, 5, "l")
    assert steps[-1] == (5, 5, "l: done")
    assert any(re.fullmatch(r"l: \d+/\d+ steps, WER \d+\.\d\d % \(epoch 1/2\)", note) for _, _, note in steps)
    assert [trial.method for trial in found.methods] == ["l", "weighted-sum", "slot"]
    for trial in (*found.methods, *found.curve):
        assert trial.lower <= trial.value <= trial.upper
        assert min(trial.parameters, trial.bundle_bytes, trial.peak_bytes, trial.real_time_factor, trial.steps) > 0
    assert [trial.clips for trial in found.curve] == [4, 8, 16]
    assert json.loads((folder / "compare.json").read_text())["slot"] == "plant-a/asr"
    logged.clear()
    steps.clear()
    again, same = compare_methods(
        copy, site.asr, "v1", REQUEST, mlflow_uri=mlflow_uri, log=logged.append, progress=progress
    )
    assert steps == []
    assert (again, same) == (found, folder)
    assert sum(line.endswith("already done") for line in logged) == 5
    client = connect(mlflow_uri)
    runs = client.search_runs([e.experiment_id for e in client.search_experiments()], "tags.`elp.kind` = 'comparison'")
    assert len(runs) == 1
    about = (
        "wer",
        "cer",
        "lower",
        "upper",
        "parameters",
        "train_seconds",
        "peak_bytes",
        "bundle_bytes",
        "real_time_factor",
    )
    logged = runs[0].data.metrics
    assert {f"{name}.{what}" for name in ("l", "weighted-sum", "slot") for what in about} == logged.keys()
    assert any("l against the frozen backbone's weighted sum" in sentence for sentence in found.findings)
    files = {Path(f.path).name for f in client.list_artifacts(runs[0].info.run_id, "comparison")}
    assert {"compare.html", "compare.ja.html", "compare.md", "compare.json"} <= files


def test_the_process_of_a_trial_reports_its_steps_and_ends_with_its_reader(tmp_path: Path) -> None:
    lines = ["[1, 4, 'no json']", '[1, 4, "WER"]', "5", '["1", 4, ""]', "{}", "[2, 4]", '[2, 4, ""]', "\u2028", "null"]
    code = f"import sys; [print(line) for line in {lines!r}]; sys.exit('it failed\\nbecause')"
    steps: list[tuple[int, int, str]] = []
    command = [sys.executable, "-X", "utf8", "-c", code]
    assert run_child(command, tmp_path / "errors", lambda *step: steps.append(step)) == (1, "it failed\nbecause\n")
    assert steps == [(1, 4, "WER"), (2, 4, "")]

    def gone(*_: object) -> None:
        raise BrokenPipeError

    waiting = "import time; print('[1, 4, \"\"]', flush=True); time.sleep(600)"
    with pytest.raises(BrokenPipeError):
        run_child([sys.executable, "-c", waiting], tmp_path / "errors", gone)


@pytest.mark.usefixtures("_trials_here")
def test_a_trial_that_fails_is_named_and_costs_no_other(
    copy: Workspace, site: Site, mlflow_uri: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = trial_runner.run_child

    def failing_one_there(command: list[str], errors: Path, report: Report) -> tuple[int, str]:
        share = json.loads(Path(command[4]).read_text("utf-8"))["share"]
        return (run_child if share == 0.01 else here)(command, errors, report)

    monkeypatch.setattr(trial_runner, "run_child", failing_one_there)
    request = ComparisonRequest(("weighted-sum",), (0.01, 1.0), "weighted-sum")
    found, _ = compare_methods(copy, site.asv, "latest", request, mlflow_uri=mlflow_uri, log=lambda _: None)
    assert [trial.method for trial in found.methods] == ["weighted-sum"]
    assert [(one.method, one.share) for one in found.failed] == [("weighted-sum", 0.01)]
    assert "the number of speakers in the training clips is 1, expected 2 or more" in found.findings[-1]
    assert "Traceback" not in found.findings[-1]


@pytest.mark.usefixtures("_trials_here")
def test_seeds_rates_and_heads_are_trained_once_each(copy: Workspace, site: Site, mlflow_uri: str) -> None:
    request = ComparisonRequest(("weighted-sum",), (), seeds=2, budget=2, heads=("linear", "mhfa"))
    logged: list[str] = []
    found, folder = compare_methods(copy, site.asv, "latest", request, mlflow_uri=mlflow_uri, log=logged.append)
    assert sum(line.endswith(": training") for line in logged) == 6, "two rates of each head, then the other seed"
    assert found.repeats is not None
    assert [(one.head, len(one.by_seed), len(one.tried)) for one in found.repeats.methods] == [
        ("linear", 2, 2),
        ("mhfa", 2, 2),
    ]
    for one in found.repeats.methods:
        best = min(t.validation for t in one.tried if t.validation is not None)
        assert next(t.factor for t in one.tried if t.validation == best) == one.factor
    (row,) = found.methods
    assert (row.head, row.value) == ("linear", found.repeats.methods[0].value)
    assert "two learning rates" in " ".join(found.findings).replace("2 learning", "two learning")
    assert json.loads((folder / "compare.json").read_text())["repeats"]["seeds"] == 2


@pytest.mark.usefixtures("_trials_here")
def test_the_own_head_of_a_slot_is_one_training_named_or_not(copy: Workspace, site: Site, mlflow_uri: str) -> None:
    request, logged = ComparisonRequest(("weighted-sum",), ()), list[str]()
    compare_methods(copy, site.asv, "latest", request, mlflow_uri=mlflow_uri, log=lambda _: None)
    found, _ = compare_methods(
        copy, site.asv, "latest", replace(request, heads=("attentive",)), mlflow_uri=mlflow_uri, log=logged.append
    )
    assert not any(line.endswith(": training") for line in logged)
    assert [trial.head for trial in found.methods] == ["attentive"]


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        (ComparisonRequest(("elp",), (), seeds=0), "0 seeds and 1 rates are asked for"),
        (ComparisonRequest(("elp",), (), budget=6), "expected 1 seed or more, and 1 to 5 rates"),
        (ComparisonRequest(("elp",), (), heads=("mhfa",)), "asr expects none: the task has one head"),
        (ComparisonRequest(("elp", "magic"), ()), "unknown method magic"),
        (ComparisonRequest((), ()), "expected some of full"),
        (ComparisonRequest(("elp",), (1.5,)), "1.5 is not a share"),
    ],
)
def test_an_invalid_requestis_refused(copy: Workspace, site: Site, asked: ComparisonRequest, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        compare_methods(copy, site.asr, "latest", asked, mlflow_uri="http://127.0.0.1:1")


def test_without_mlflow_nothing_is_trained(copy: Workspace, site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(TrialRunner, "run", lambda *_: pytest.fail("it trained"))
    with pytest.raises(ServiceError, match="elp up"):
        compare_methods(copy, site.asr, "latest", REQUEST, mlflow_uri=f"http://127.0.0.1:{free_port()}")
