from __future__ import annotations

import pytest

from pipelines.cli.main import run
from pipelines.local.workspace import Workspace


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (["retrain"], "name one slot"),
        (["retrain", "plant-a/asr", "--all"], "name one slot"),
        (["retrain", "Plant A/asr"], "is not a slot"),
        (["retrain", "plant-a/ocr"], "unknown task"),
        (["retrain", "plant-a/asr", "nowhere.jsonl"], "does not exist"),
        (["retrain", "plant-a/asr", "--snr", "5"], "about a SOURCE"),
        (["gate", "plant-a/asr", "--dry-run", "--detach"], "nothing to detach from"),
        (["predict", "plant-a/asr", "x.wav", "--lm", "words.arpa"], "need beam search"),
        (["predict", "plant-a/asr", "x.wav", "--beam", "0"], "0 is not in the range"),
        (["schedule", "add", "plant-a/asr"], "Missing option '--cron'"),
        (["schedule", "add", "plant a/asr", "--cron", "0 3 * * *"], "is not a slot"),
        (["schedule", "list", "--cron", "0 3 * * *"], "No such option"),
        (["schedule", "list", "plant-a/asr"], "unexpected extra argument"),
        (["schedule", "pause"], "Missing argument"),
        (["schedule", "foo"], "No such command 'foo'"),
        (["schedule", "plant-a/asr"], "Missing option '--cron'"),
        (["promote", "plant-a/asr", "--days", "3"], "--days belongs to --override"),
        (["promote", "plant-a/asr", "--override"], "--override needs --reason TEXT"),
        (["promote", "plant-a/asr", "--override", "--reason", "x"], "--override needs --version N"),
        (["init", ""], "DIR is empty"),
        (["tune", "plant-a/asr", "--minutes", "inf"], "inf is not a finite number"),
        (["tune", "plant-a/asr", "--parameters", "nan"], "nan is not a finite number"),
        (["promote", "plant-a/asr", "--override", "--reason", "x", "--version", "1", "--days", "inf"], "finite number"),
    ],
)
def test_wrong_usage_ends_with_2_and_a_reason(workspace: Workspace, monkeypatch, capfd, words, reason) -> None:
    monkeypatch.chdir(workspace.root)
    assert run(words) == 2
    assert reason in capfd.readouterr().err


@pytest.mark.parametrize("words", [["plant-a/asr"], ["plant-a/asr", "--bogus"], ["plant-a/asr", "--help"]])
def test_a_message_about_a_hold_shows_no_verb_that_nobody_types(capfd, words) -> None:
    run(["hold", *words])
    shown = "".join(capfd.readouterr())
    assert "Usage: elp hold [OPTIONS] SUBJECT" in shown
    assert "hold make" not in shown


@pytest.mark.parametrize("words", [["retrain", "plant-a/asr"], ["train", "plant-a/asr"], ["schedule", "list"]])
def test_without_servers_the_next_step_is_told(workspace: Workspace, capfd, words) -> None:
    assert run([*words, "-w", str(workspace.root)]) == 1
    assert "start it with: elp up" in capfd.readouterr().err


def test_status_of_a_workspace_at_rest(workspace: Workspace, capfd) -> None:
    assert run(["-w", str(workspace.root), "status"]) == 1
    shown = capfd.readouterr().out
    assert shown.count(" down ") == 5
    assert "elp up" in shown


def test_down_at_rest_does_nothing(workspace: Workspace, capfd) -> None:
    assert run(["down", "-w", str(workspace.root)]) == 0
    assert "nothing was running" in capfd.readouterr().out
