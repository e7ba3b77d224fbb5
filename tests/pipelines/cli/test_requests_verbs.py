"""`elp requests` on the logs of two workspaces: a serving host and the control host."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from elp_core.audio import clip_id, encode_flac
from pipelines.cli.main import run
from pipelines.request_log.log_file import add_requests, log_path, log_transaction, opened_log
from pipelines.request_log.log_reading import find_audio
from tests.support.clips import voice
from tests.support.served_requests import ASR, kept, served

NOW = datetime.now(UTC)
SOUND = voice(0.2, 300, 1)
SETTINGS = "slots: {plant-a/asr: {requests: {share: 1.0, audio_consent: agreement 2026-14}}}\n"
Elp = Callable[..., Any]


@pytest.fixture
def elp(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Elp:
    """Run a verb in the workspace `serving` (or `at`), and return what it prints as JSON."""
    for name in ("serving", "control"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "elp.yaml").write_text(SETTINGS)
    with opened_log(log_path(tmp_path / "serving" / ".elp", ASR), create=True) as db, log_transaction(db):
        audio = kept(encode_flac(SOUND), NOW + timedelta(days=2))
        records = [served(n, at=NOW - timedelta(minutes=n), clip=clip_id(SOUND)) for n in range(4)]
        add_requests(db, [(records[0], audio), *((one, None) for one in records[1:])])

    def command(*words: str, at: str = "serving", code: int = 0) -> Any:
        assert run(["-w", str(tmp_path / at), "requests", *words, "--json"]) == code
        out = capsys.readouterr()
        return json.loads(out.out) if code == 0 else out.err

    return command


def test_requests_are_listed_by_confidence(elp: Elp) -> None:
    rows = elp("list", "plant-a/asr", "--lowest", "--below", "0.99")
    assert [row["id"] for row in rows] == [served(3).id, served(2).id]
    assert rows[0]["answer"]["text"] == "water pump 3"
    assert "features" not in rows[0]


def test_requests_go_to_another_host_once(elp: Elp, tmp_path: Path) -> None:
    file = tmp_path / "plant a.requests"
    assert elp("export", "plant-a/asr", "--to", str(file))["last"] == 4
    assert elp("import", "plant-a/asr", str(file), at="control") == {"slot": "plant-a/asr", "new": 4, "requests": 4}
    assert elp("import", "plant-a/asr", str(file), at="control")["new"] == 0
    with opened_log(log_path(tmp_path / "control" / ".elp", ASR)) as db:
        assert find_audio(db, served(0).id) is not None
    assert elp("export", "plant-a/asr", "--to", str(file), "--after", "3")["requests"] == 1


def test_a_person_or_a_recording_is_erased(elp: Elp) -> None:
    removed = {"slot": "plant-a/asr", "requests": 2, "recordings": 0}
    assert elp("erase", "--speaker", "anna") == [removed]
    assert elp("erase", "plant-a/asr", "--clip", clip_id(SOUND)[:8]) == [{**removed, "recordings": 1}]
    assert elp("list", "plant-a/asr") == []
    assert "exactly one" in elp("erase", code=2) or "give one of" in elp("erase", code=2)


def test_what_is_over_its_time_is_cleaned(elp: Elp, tmp_path: Path) -> None:
    (tmp_path / "serving" / "elp.yaml").write_text("slots: {plant-a/asr: {requests: {rows: 1}}}\n")
    assert elp("clean") == [{"slot": "plant-a/asr", "requests": 3, "recordings": 1}]


def test_a_log_is_cleared_also_a_damaged_one(elp: Elp, tmp_path: Path) -> None:
    assert elp("clear", "plant-a/asr", "--yes") == [{"slot": "plant-a/asr", "requests": 4, "recordings": 1}]
    path = log_path(tmp_path / "serving" / ".elp", ASR)
    path.write_bytes(b"no database" * 500)
    assert "delete the file" in elp("list", "plant-a/asr", code=1)
    assert elp("clear", "plant-a/asr", "--yes")[0]["requests"] == 0
    assert not path.exists()


def test_a_slot_without_a_log_names_the_setting(elp: Elp) -> None:
    assert "slots.plant-b/asr.requests.share" in elp("list", "plant-b/asr", code=2)


def test_the_table_shows_the_answers(elp: Elp, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["-w", str(tmp_path / "serving"), "requests", "list", "plant-a/asr"]) == 0
    assert "water pump 0" in capsys.readouterr().out


def test_a_consent_of_all_sites_is_refused(elp: Elp, tmp_path: Path) -> None:
    (tmp_path / "serving" / "elp.yaml").write_text("defaults: {asr: {requests: {audio_consent: form 1}}}\n")
    assert "audio_consent is that of one site" in elp("list", "plant-a/asr", code=2)
