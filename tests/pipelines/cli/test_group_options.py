"""Groups that are commands themselves: `elp gc` and `elp worker`, and the options before their verbs."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipelines.cli.main import run


@pytest.mark.parametrize("words", [["gc", "undo", "--help"], ["worker", "enrol", "--help"]])
def test_the_help_of_a_verb_needs_no_workspace(
    words: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run(words) == 0
    assert capsys.readouterr().out.startswith(f"Usage: elp {words[0]} {words[1]}")


@pytest.mark.parametrize("words", [["gc", "undo", "-w"], ["gc", "-w", "undo"], ["-w", "gc", "undo"]])
def test_the_workspace_is_named_before_or_after_the_verb(
    words: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    named = tmp_path / "named"
    place = words.index("-w") + 1
    assert run([*words[:place], str(named), *words[place:]]) == 1
    assert f"no elp.yaml in {named}" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "option"),
    [
        (["gc", "--yes", "undo"], "--yes"),
        (["gc", "--by", "ann", "undo"], "--by"),
        (["worker", "--home", "x", "enrol", "http://control:5000", "--token", "t"], "--home"),
    ],
)
def test_an_option_that_the_verb_would_not_see_is_refused(
    words: list[str], option: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(words) == 2
    assert f"{option} before {words[words.index(option) + (1 if option == '--yes' else 2)]}" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("gpus", "words", "sentence"),
    [
        ("GPU-a:8,GPU-b:8", ["--jobs", "4"], "this machine has 2 GPUs; give --shares 4"),
        ("", ["--shares", "2"], "this machine has none; give --jobs 2"),
        ("GPU-a:8", ["--cpu", "--shares", "2"], "--cpu uses none; give --jobs 2"),
    ],
)
def test_a_number_of_trainings_that_the_worker_ignores_is_named(
    gpus: str,
    words: list[str],
    sentence: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("ELP_TEST_GPUS", gpus)
    # a folder of no worker, so it ends
    assert run(["worker", "--home", str(tmp_path), *words]) == 1
    assert sentence in " ".join(capsys.readouterr().err.split())
