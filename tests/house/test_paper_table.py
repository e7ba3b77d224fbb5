"""The paper's table, made in small: generated corpora, a random checkpoint, one epoch."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from elp_core.metrics.scores import ClipScores
from elp_core.testing import save_tiny
from pipelines.registry.policies import GatePolicy
from tests.support import corpora

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"
SMALL = "{train: {epochs: 1, batch_seconds: 8.0, device: cpu}, gate: {resamples: 200}}"


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(BENCHMARKS / "paper.py"), *arguments]
    return subprocess.run(command, capture_output=True, text=True)


@pytest.mark.slow
@pytest.mark.integration
@pytest.mark.timeout(1800)
def test_every_column_has_figures_intervals_and_protocols(tmp_path: Path) -> None:
    save_tiny(tmp_path / "backbone")
    trees = {
        "librilight": corpora.librilight(tmp_path),
        "librispeech": corpora.librispeech(tmp_path, {"dev-clean": (84, 174), "test-clean": (1089, 1188)}),
        "voxceleb": corpora.voxceleb(tmp_path / "vox", (10001, 10002, 10078, 10109), (10270, 10271, 10272)),
        "iemocap": corpora.iemocap(tmp_path, each=1),
        "fluent": corpora.fluent(tmp_path),
    }
    given = [part for name, path in trees.items() for part in (f"--{name}", str(path))]
    work = tmp_path / "work"
    arguments = ["--backbone", str(tmp_path / "backbone"), "--work", str(work), *given]
    arguments += ["--methods", "e", "--folds", "1,2", "--settings", SMALL]
    done = run(*arguments)
    assert done.returncode == 0, (done.stdout + done.stderr)[-4000:]
    values = json.loads((work / "paper.json").read_text())
    assert list(values["cells"]) == [
        "ASR WER, test-clean",
        "ASV EER, VoxCeleb1-O",
        "SER accuracy, random folds",
        "SER accuracy, unknown speakers",
        "SIC accuracy",
    ]
    for column in values["cells"].values():
        cell = column["e"]
        assert cell["failed"] == ""
        assert cell["upper"] is None or cell["lower"] <= cell["value"] <= cell["upper"]
    # both folds are in the figure: every utterance of two sessions, and two fifths of all at random
    emotion = {name: values["cells"][f"SER accuracy, {name}"]["e"] for name in ("random folds", "unknown speakers")}
    assert (emotion["unknown speakers"]["clips"], emotion["unknown speakers"]["speakers"]) == (40, 4)
    assert (emotion["random folds"]["clips"], emotion["random folds"]["speakers"]) == (40, 10)
    protocols = values["protocols"]
    assert "VoxCeleb1-O (veri_test2.txt): 12 trials" in protocols["ASV EER, VoxCeleb1-O"]
    assert protocols["ASR WER, test-clean"] == "Libri-Light 10h (training); LibriSpeech dev-clean, test-clean"
    assert "random folds over utterances (known speakers), fold 2" in protocols["SER accuracy, random folds"]
    assert protocols["SER accuracy, random folds"].endswith("[closed set]")
    table = (work / "paper.md").read_text()
    assert "| e |" in table
    assert "4.82 ± 0.02" in table
    # again, nothing is trained a second time
    again = run(*arguments)
    assert again.stdout.count("already done") == 7
    assert json.loads((work / "paper.json").read_text()) == values


def scores(prefix: str, errors: list[int]) -> ClipScores:
    names = tuple(f"{prefix}{number}" for number in range(len(errors)))
    texts = ("a",) * len(errors)
    return ClipScores(names, names, texts, np.array(errors), np.ones(len(errors)), texts, texts, "error_rate")


def test_folds_are_one_figure_and_accuracy_is_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    import paper_table

    policy = GatePolicy(1.0, 0.0, resamples=200)
    cell = paper_table.pooled(
        "elp", [scores("a", [0, 1, 0, 0]), scores("b", [1, 0, 0, 0, 0, 0])], policy, False, 9_000_000
    )
    assert (cell.value, cell.clips, cell.speakers) == (0.2, 10, 10)
    assert cell.text.startswith("80.00 (")
    low, high = (float(end) for end in cell.text.removesuffix(")").split("(")[1].split(" … "))
    assert low < 80.0 < high
    failed = paper_table.pooled("full", [scores("a", [0, 1]), "no memory left"], policy, False, 0)
    assert failed.text == "failed: no memory left"
    cells = {"SER accuracy, random folds": {"elp": cell, "full": failed}}
    table = paper_table.markdown("wavlm", cells, {"SER accuracy, random folds": "a protocol"})
    assert "| elp | 9.00 M | 80.00 (" in table
    assert "| full | 0.00 M | failed: no memory left | 79.03 ± 0.62 |" in table
    assert "| SER accuracy, random folds | a protocol | 10 | 10 |" in table


def test_a_corpus_that_is_not_there_is_named(tmp_path: Path) -> None:
    done = run("--backbone", "x", "--work", str(tmp_path / "w"), "--voxceleb", str(tmp_path / "gone"))
    assert done.returncode == 2
    assert "gone is no folder" in done.stderr
    alone = run("--backbone", "x", "--work", str(tmp_path / "w"), "--librilight", str(tmp_path))
    assert "ASR needs both --librispeech" in alone.stderr
    assert not (tmp_path / "w").exists()
