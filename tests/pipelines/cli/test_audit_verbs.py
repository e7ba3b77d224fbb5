from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.support.audited import Ground
from tests.support.command import Elp, elp_in

pytestmark = pytest.mark.integration


@pytest.fixture
def elp(ground: Ground, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Elp:
    """Run `elp` in the workspace, with its records in place of a server's; code, stdout and stderr."""
    monkeypatch.setattr("pipelines.cli.audit_verbs.ServerRecords", lambda uri: ground.records)
    monkeypatch.setattr("pipelines.cli.audit_verbs.mlflow_uri", lambda workspace: "http://127.0.0.1:1")
    monkeypatch.setattr("pipelines.retention.removal_plan.read_holds", lambda uri: [])
    return elp_in(ground.workspace.root, capsys)


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("audit", "plant-a/asr"), "adapter: plant-a/asr v2  (registered 2026-01-04 12:00:00)"),
        (("audit", "plant-a/asr", "v1"), "adapter: plant-a/asr v1"),
        (("audit", "plant-a/asr", "--version", "3"), "adapter: plant-a/asr v3"),
        (("audit", "--at", "2026-01-04"), "plant-a/asr  v1        2026-01-03 12:00:00  2026-01-05 12:00:00  promoted"),
        (("audit", "plant-b/asv", "--at", "2026-01-04"), "0 slots of 1 had a champion at 2026-01-04 23:59:59"),
        (("audit", "--backbone", "ffffffff"), "4 adapters of 2 slots on elp:tiny; champions among them: 2."),
        (("audit", "--speaker", "ann"), "4 adapters trained on them; champions among them: 2."),
        (("audit", "plant-b/asv", "--speaker", "ann"), "1 adapter trained on them; champions among them: 1."),
        (("audit", "--speaker", "nobody"), "0 recordings in all slots"),
        (("erasure", "plan", "--speaker", "ann"), "elp data drop plant-a/asr --speaker ann"),
    ],
)
def test_each_question_has_its_answer(elp: Elp, words: tuple[str, ...], sentence: str) -> None:
    code, out, err = elp(*words)
    assert code == 0, err
    assert sentence in out


@pytest.mark.parametrize(
    "words", [("--at", "2026-01-04"), ("--speaker", "ann"), ("--backbone", "ffffffff"), ("plant-a/asr",)]
)
def test_every_answer_comes_as_json_too(elp: Elp, words: tuple[str, ...]) -> None:
    code, out, _ = elp("audit", *words, "--json")
    assert code == 0
    assert json.loads(out) == json.loads(elp("audit", *words, "--format", "json")[1])


def test_a_page_is_written_to_a_file(elp: Elp, tmp_path: Path) -> None:
    code, out, err = elp("audit", "plant-a/asr", "--format", "html", "--output", str(tmp_path / "audit.html"))
    assert (code, out) == (0, "")
    assert f"written to {tmp_path / 'audit.html'}" in err
    for name, language in (("audit.html", "en"), ("audit.ja.html", "ja")):
        assert f'<html lang="{language}">' in (tmp_path / name).read_text(encoding="utf-8")
    assert elp("audit", "plant-a/asr", "--format", "html", "--output", str(tmp_path / "plain"))[0] == 0
    assert sorted(path.name for path in tmp_path.iterdir() if path.name.startswith("plain")) == ["plain"]


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("audit",), "name a slot"),
        (("audit", "plant-a/asr", "x"), "VERSION is a number such as 3, got 'x'"),
        (("audit", "--at", "2026-01-01", "--speaker", "ann"), "--at and --speaker are two questions"),
        (("audit", "plant-a/asr", "1", "--speaker", "ann"), "--speaker asks over versions; leave out VERSION"),
        (("audit", "--verify", "--at", "2026-01-01"), "--at asks over versions; leave out --verify"),
        (("audit", "--at", "2026-01-01", "--format", "cyclonedx"), "a bill of materials is of one adapter"),
        (("audit", "--at", "2026-01-01", "--format", "cyclonedx", "--json"), "a bill of materials is of one adapter"),
        (("audit", "--at", "soon"), "--at takes a date or moment"),
        (("audit", "--clip", "12"), "8 to 64 hexadecimal digits"),
        (("erasure", "plan"), "give one of --speaker ID and --clip ID"),
        (("erasure", "plan", "--speaker", "a", "--clip", "12345678"), "give one of --speaker ID and --clip ID"),
    ],
)
def test_a_wrong_question_ends_with_code_2_and_says_why(elp: Elp, words: tuple[str, ...], sentence: str) -> None:
    code, out, err = elp(*words)
    assert (code, out) == (2, "")
    assert sentence in err


def test_a_wrong_moment_is_refused_before_the_server_is_asked(elp: Elp, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipelines.cli.audit_verbs.mlflow_uri", lambda workspace: pytest.fail("asked for the server"))
    code, _, err = elp("audit", "--at", "soon")
    assert (code, "--at takes a date or moment" in err) == (2, True)


def test_a_plan_for_an_unknown_speaker_ends_with_code_1(elp: Elp) -> None:
    code, _, err = elp("erasure", "plan", "--speaker", "nobody")
    assert code == 1
    assert "nothing in any slot holds speaker nobody" in err
