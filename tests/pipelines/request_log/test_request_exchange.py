"""Requests as lines for another host: the same records and audio, once, and nothing that is not theirs."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from io import BytesIO
from pathlib import Path

import pytest

from elp_core.audio import clip_id, encode_flac
from pipelines.errors import UsageError
from pipelines.registry.slot import Slot
from pipelines.request_log.log_file import add_requests, log_path, log_transaction, opened_log
from pipelines.request_log.log_reading import find_audio, read_requests
from pipelines.request_log.request_exchange import exported_lines, import_lines
from tests.support.clips import voice
from tests.support.served_requests import ASR, kept, served

SOUND = voice(0.2, 300, 1)
UNTIL = datetime.now(UTC) + timedelta(days=3)


@pytest.fixture
def lines(tmp_path: Path) -> list[str]:
    """Two requests, the first with audio."""
    state = tmp_path / "serving"
    with opened_log(log_path(state, ASR), create=True) as db:
        with log_transaction(db):
            first = served(0, clip=clip_id(SOUND))
            add_requests(db, [(first, kept(encode_flac(SOUND), UNTIL)), (served(1), None)])
        return list(exported_lines(db, list(read_requests(state, ASR))))


def imported(tmp_path: Path, lines: list[str], slot: Slot = ASR, encoding: str = "utf-8") -> tuple[int, int]:
    with opened_log(log_path(tmp_path / "control", slot), create=True) as db:
        return import_lines(db, slot, BytesIO("".join(f"{line}\n" for line in lines).encode(encoding)))


def test_another_host_gets_the_same_once(tmp_path: Path, lines: list[str]) -> None:
    assert imported(tmp_path, lines) == (2, 2)
    assert imported(tmp_path, lines) == (0, 2)
    here, there = ([one.record for one in read_requests(tmp_path / name, ASR)] for name in ("serving", "control"))
    assert here == there
    found = []
    for name in ("serving", "control"):
        with opened_log(log_path(tmp_path / name, ASR)) as db:
            found.append(find_audio(db, here[0].id))
    assert found[0] == found[1] is not None


def test_audio_whose_time_is_over_is_left_out(tmp_path: Path, lines: list[str]) -> None:
    values = json.loads(lines[0])
    values["audio"]["until"] = "2026-01-01T00:00:00+01:00"
    assert imported(tmp_path, [json.dumps(values), lines[1], lines[2]]) == (2, 2)
    with opened_log(log_path(tmp_path / "control", ASR)) as db:
        assert db.execute("SELECT COUNT(*) FROM audio").fetchone() == (0,)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"audio": {"flac": "bm8=", "consent": "x", "until": "2999-01-01T00:00:00+00:00"}}, "line 1"),
        ({"audio": {"consent": "x"}}, "'flac' is missing"),
        ({"features": "!"}, "line 1"),
        ({"record": {}}, "line 1"),
        ({"record": {"id": 5}}, "line 1"),
    ],
)
def test_what_is_no_line_is_refused_whole(
    tmp_path: Path, lines: list[str], change: dict[str, object], reason: str
) -> None:
    damaged = json.dumps({**json.loads(lines[0]), **change})
    with pytest.raises(UsageError, match=reason):
        imported(tmp_path, [damaged, lines[1]])
    with pytest.raises(UsageError, match="line 2"):
        imported(tmp_path, [lines[1], damaged])
    assert list(read_requests(tmp_path / "control", ASR)) == []


@pytest.mark.parametrize("line", ["{", "[]", '"x"', "null"])
def test_a_line_that_is_no_object_is_refused(tmp_path: Path, line: str) -> None:
    with pytest.raises(UsageError, match="line 1 is no line"):
        imported(tmp_path, [line])


def test_a_file_that_was_cut_is_refused_whole(tmp_path: Path, lines: list[str]) -> None:
    for cut in ([], lines[:1], lines[:2], [lines[0], lines[2]]):
        with pytest.raises(UsageError, match=r"without its last line|line 2 is no line"):
            imported(tmp_path, cut)
    assert list(read_requests(tmp_path / "control", ASR)) == []


def test_another_encoding_is_refused(tmp_path: Path, lines: list[str]) -> None:
    with pytest.raises(UsageError, match=r"line 1 is no line .*utf-8"):
        imported(tmp_path, lines, encoding="utf-16")


def test_audio_of_another_sound_or_without_consent_is_refused(tmp_path: Path, lines: list[str]) -> None:
    values = json.loads(lines[0])
    values["record"]["clip"] = "0" * 64
    with pytest.raises(UsageError, match="another sound"):
        imported(tmp_path, [json.dumps(values)])
    values = json.loads(lines[0])
    values["audio"]["consent"] = " "
    with pytest.raises(UsageError, match="no consent"):
        imported(tmp_path, [json.dumps(values)])


def test_requests_of_another_slot_are_refused(tmp_path: Path, lines: list[str]) -> None:
    with pytest.raises(UsageError, match="expected plant-b/asr"):
        imported(tmp_path, lines, Slot("plant-b", "asr"))
