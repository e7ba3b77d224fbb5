"""The database of a slot's log: what is read is what was added, the bounds hold, and what is removed is gone."""

from __future__ import annotations

import contextlib
import os
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from elp_core.errors import ConfigError
from pipelines.errors import WorkspaceError
from pipelines.request_log.log_file import (
    LogRemoval,
    add_requests,
    clear_log,
    erase_subject,
    log_path,
    log_transaction,
    logged_slots,
    opened_log,
    remove_excess,
)
from pipelines.request_log.log_policy import RequestLogPolicy
from pipelines.request_log.log_reading import RequestFilter, find_audio, find_request, read_requests, request_page
from pipelines.request_log.served_request import RequestAnswer, features_bytes, read_served, served_json
from tests.support.served_requests import ASR, NOON, kept, served

WIDE = RequestLogPolicy(days=3650, audio_consent="agreement 2026-14", audio_days=3650)


@pytest.fixture
def db(tmp_path: Path) -> Iterator[sqlite3.Connection]:
    with opened_log(log_path(tmp_path, ASR), create=True) as db:
        with log_transaction(db):
            add_requests(db, [(served(number), kept() if number % 5 == 0 else None) for number in range(20)])
        yield db


def numbers(db: sqlite3.Connection, wanted: RequestFilter | None = None) -> list[int]:
    return [one.number for one in request_page(db, wanted or RequestFilter(), 0, 100)[1]]


@pytest.mark.parametrize(
    "answer",
    [RequestAnswer("a é"), RequestAnswer(label="stop", probability=0.25), RequestAnswer("", "", None, 0.5, False)],
)
def test_a_record_is_read_as_it_was_written(answer: RequestAnswer) -> None:
    record = served(7, answer=answer)
    assert read_served(served_json(record), features_bytes(record.features)) == record


def test_a_damaged_record_is_refused_with_the_next_step() -> None:
    with pytest.raises(WorkspaceError, match="elp requests clear"):
        read_served('{"slot": "plant-a/asr"}', b"")


def test_only_its_owner_reads_it(db: sqlite3.Connection, tmp_path: Path) -> None:
    path = log_path(tmp_path, ASR)
    assert path.stat().st_mode & 0o077 == 0
    assert logged_slots(tmp_path) == [ASR]


def test_a_reader_continues_after_the_last_number(db: sqlite3.Connection, tmp_path: Path) -> None:
    every = list(read_requests(tmp_path, ASR))
    assert [one.record for one in every] == [served(number) for number in range(20)]
    assert [one.number for one in read_requests(tmp_path, ASR, after=every[-3].number)] == [19, 20]
    assert every[1].record.block == "call-0"
    assert list(read_requests(tmp_path / "nothing", ASR)) == []


def test_a_number_is_never_used_again(db: sqlite3.Connection, tmp_path: Path) -> None:
    assert clear_log(db) == LogRemoval(20, 4)
    with log_transaction(db):
        assert add_requests(db, [(served(30), None)]) == 1
    assert [one.number for one in read_requests(tmp_path, ASR)] == [21]


def test_a_known_request_is_not_added_twice(db: sqlite3.Connection) -> None:
    with log_transaction(db):
        assert add_requests(db, [(served(3), kept(b"other")), (served(40), None)]) == 1
    assert find_audio(db, served(3).id) is None


def test_a_page_is_filtered_by_time_and_confidence(db: sqlite3.Connection) -> None:
    assert numbers(db)[:2] == [20, 19]
    assert numbers(db, RequestFilter(since=served(17).at, until=served(19).at)) == [19, 18]
    assert numbers(db, RequestFilter(below=0.83)) == [20, 19]
    assert numbers(db, RequestFilter(lowest_first=True))[:2] == [20, 19]
    assert request_page(db, RequestFilter(), 18, 50)[0] == 20


def test_a_request_without_confidence_comes_last(db: sqlite3.Connection) -> None:
    with log_transaction(db):
        add_requests(db, [(served(50, measurements={"snr_db": 1.0}), None)])
    assert numbers(db, RequestFilter(lowest_first=True))[-1] == 21


@pytest.mark.parametrize(
    ("policy", "left"),
    [
        (RequestLogPolicy(rows=3), [18, 19, 20]),
        (RequestLogPolicy(rows=20), list(range(1, 21))),
        (RequestLogPolicy(days=(5 * 60) / 86_400), [18, 19, 20]),
    ],
)
def test_rows_and_days_are_bounded(db: sqlite3.Connection, policy: RequestLogPolicy, left: list[int]) -> None:
    remove_excess(db, policy, NOON + timedelta(minutes=21))
    assert sorted(numbers(db)) == left


def test_bytes_are_bounded_and_the_file_shrinks(db: sqlite3.Connection, tmp_path: Path) -> None:
    with log_transaction(db):
        add_requests(db, [(served(100 + n), kept(os.urandom(100_000))) for n in range(30)])
    before = log_path(tmp_path, ASR).stat().st_size
    remove_excess(db, RequestLogPolicy(megabytes=1.0, audio_consent="x"), NOON)
    assert numbers(db) == list(range(50, 40, -1)), "ten recordings of 100 kB are in 1 MB"
    assert log_path(tmp_path, ASR).stat().st_size < before / 2


def test_audio_goes_when_its_time_is_over_and_the_record_stays(db: sqlite3.Connection, tmp_path: Path) -> None:
    gone = remove_excess(db, WIDE, NOON + timedelta(days=7))
    assert gone == LogRemoval(0, 4)
    assert b"secret voice" not in log_path(tmp_path, ASR).read_bytes(), "the bytes are overwritten"
    assert len(numbers(db)) == 20


def test_a_shorter_time_of_the_present_settings_counts(db: sqlite3.Connection) -> None:
    shorter = RequestLogPolicy(audio_consent="x", audio_days=0.5)
    assert remove_excess(db, shorter, NOON + timedelta(days=0.6)).recordings == 4


def test_without_a_consent_in_the_settings_all_audio_goes(db: sqlite3.Connection) -> None:
    assert remove_excess(db, RequestLogPolicy(), NOON) == LogRemoval(0, 4)


def test_audio_whose_time_is_over_is_not_read(db: sqlite3.Connection) -> None:
    with log_transaction(db):
        add_requests(db, [(served(60), kept(until=NOON - timedelta(days=9000)))])
    assert find_audio(db, served(60).id) is None


def test_an_erasure_removes_every_trace_of_a_speaker(db: sqlite3.Connection, tmp_path: Path) -> None:
    # typed with a combining accent: the same name
    assert erase_subject(db, speaker="be\u0301la") == LogRemoval(10, 2)
    assert erase_subject(db, clip=served(1).clip) == LogRemoval(1, 0)
    content = log_path(tmp_path, ASR).read_bytes()
    assert "béla".encode() not in content
    assert served(4).clip.encode() not in content
    assert find_request(db, served(3).id) is not None


def test_a_later_format_is_refused(db: sqlite3.Connection, tmp_path: Path) -> None:
    db.execute("PRAGMA user_version = 99")
    with pytest.raises(WorkspaceError, match="format 99"), opened_log(log_path(tmp_path, ASR)):
        pass


def test_a_damaged_file_is_named(tmp_path: Path) -> None:
    path = log_path(tmp_path, ASR)
    path.parent.mkdir(parents=True)
    path.write_bytes(b"no database at all" * 100)
    with pytest.raises(WorkspaceError, match="delete the file"), opened_log(path):
        pass


@pytest.mark.parametrize("point", ["before request log#2", "after request log#2"])
def test_a_killed_write_leaves_all_or_nothing(tmp_path: Path, point: str) -> None:
    path = log_path(tmp_path, ASR)
    script = (
        "import sys; from pathlib import Path\n"
        "from pipelines.request_log.log_file import *\n"
        "from tests.support.served_requests import served, kept\n"
        "with opened_log(Path(sys.argv[1]), create=True) as db, log_transaction(db):\n"
        "    add_requests(db, [(served(n), kept()) for n in range(3)])\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, str(path)], env={**os.environ, "ELP_FAIL_POINT": point}, check=False
    )
    assert done.returncode == -9
    with contextlib.closing(sqlite3.connect(path)) as db:
        found = db.execute("SELECT (SELECT COUNT(*) FROM request), (SELECT COUNT(*) FROM audio)").fetchone()
    assert found == ((0, 0) if point.startswith("before") else (3, 3))


@pytest.mark.parametrize(
    ("values", "fault"),
    [
        ({"share": 1.5}, "share"),
        ({"rows": 0}, "rows"),
        ({"audio_consent": "  "}, "audio_consent"),
        ({"audio_consent": "x" * 201}, "audio_consent"),
        ({"audio_consent": "form 1", "audio_days": 40.0}, "audio_days"),
    ],
)
def test_settings_that_contradict_each_other_are_refused(values: dict[str, object], fault: str) -> None:
    with pytest.raises(ConfigError, match=fault):
        RequestLogPolicy(**values)
