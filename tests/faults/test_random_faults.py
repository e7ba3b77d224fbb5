"""Processes that are killed, stopped or starved at random moments of the main job; it is run again and compared."""

from __future__ import annotations

import os
import random
import shutil
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from pipelines.local.profiles import Profile
from tests.support.missing import skip_without
from tests.support.object_store import OWNER, object_store
from tests.support.plant import Plant, plant_with_a_job
from tests.support.postgres import postgres_server

pytestmark = [pytest.mark.integration, pytest.mark.faults, pytest.mark.timeout(3600)]

ROUNDS = int(os.environ.get("ELP_FAULT_ROUNDS", "10"))


@pytest.fixture
def pick() -> random.Random:
    """Moments by a seed, which is printed: ELP_FAULT_SEED repeats a run."""
    seed = int(os.environ.get("ELP_FAULT_SEED") or time.time_ns() % 10**6)
    print(f"ELP_FAULT_SEED={seed}")
    return random.Random(seed)


def _length(faulted: Plant) -> float:
    job = faulted.new_job()
    begin = time.monotonic()
    assert faulted.jobs.run(job) == 0
    return time.monotonic() - begin


def _each_round(faulted: Plant, pick: random.Random, fault: Callable[[], None]) -> None:
    length = _length(faulted)
    for _ in range(ROUNDS):
        job = faulted.new_job()
        faulted.jobs.start(job)
        time.sleep(pick.uniform(0, length))
        fault()
        faulted.jobs.wait()
        faulted.check_healed(job)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_the_process_of_the_job(faulted: Plant, pick: random.Random, number: signal.Signals) -> None:
    def kill() -> None:
        try:
            os.killpg(faulted.jobs.pid, number)
        except ProcessLookupError:
            # it was quicker than the job before
            return

    _each_round(faulted, pick, kill)


def test_the_mlflow_server(faulted: Plant, pick: random.Random) -> None:
    def kill() -> None:
        faulted.signal_server(signal.SIGKILL)
        time.sleep(pick.uniform(0, 2))
        faulted.serve()

    _each_round(faulted, pick, kill)


def test_a_server_and_a_job_that_hang_for_a_while(faulted: Plant, pick: random.Random) -> None:
    def stop() -> None:
        faulted.signal_server(signal.SIGSTOP)
        os.killpg(faulted.jobs.pid, signal.SIGSTOP)
        time.sleep(3)
        os.killpg(faulted.jobs.pid, signal.SIGCONT)
        time.sleep(2)
        faulted.signal_server(signal.SIGCONT)

    length = _length(faulted)
    for _ in range(3):
        job = faulted.new_job()
        faulted.jobs.start(job)
        time.sleep(pick.uniform(0, length / 2))
        stop()
        # it was slow, nothing else
        assert faulted.jobs.wait() == 0, faulted.jobs.log.read_text()[-3000:]
        assert faulted.state(job) == faulted.expected


@pytest.mark.parametrize("largest", [1, 300, 4_000, 20_000, 60_000])
def test_a_full_disk(faulted: Plant, largest: int) -> None:
    job = faulted.new_job()
    assert faulted.jobs.run(job, LARGEST_FILE=str(largest)) in (0, 1)
    faulted.check_healed(job)


@pytest.mark.parametrize("offset", ["+1h", "-1h"])
def test_a_clock_that_is_an_hour_wrong(faulted: Plant, tmp_path: Path, offset: str) -> None:
    program = shutil.which("faketime")
    if program is None:
        skip_without("faketime is not installed (Debian: apt install faketime)")
    jobs = faulted.more_jobs(tmp_path / "log", (program, "-f", offset))
    try:
        job = faulted.new_job()
        if jobs.run(job) != 0:
            # the server takes no verdict from the future
            assert offset == "+1h"
            assert "in the future: set the clock right" in jobs.log.read_text()
        # back at the right time
        faulted.check_healed(job)
    finally:
        jobs.end()


def test_two_of_the_same_job_at_once(faulted: Plant, tmp_path: Path, pick: random.Random) -> None:
    second = faulted.more_jobs(tmp_path / "log")
    try:
        for _ in range(3):
            job = faulted.new_job()
            faulted.jobs.start(job)
            time.sleep(pick.uniform(0, 1))
            second.start(job)
            # the gate refuses one of two verdicts that are sent at the same moment; run again, it finds the other one
            assert 0 in (faulted.jobs.wait(), second.wait()), second.log.read_text()[-3000:]
            faulted.check_healed(job)
    finally:
        second.end()


def test_postgresql(tmp_path: Path, pick: random.Random) -> None:
    with postgres_server() as postgres, plant_with_a_job(tmp_path, postgres.database("mlflow")) as faulted:

        def kill() -> None:
            # the end of one backend ends all connections, and the database recovers from its log
            wanted = (
                "select pid from pg_stat_activity where backend_type = 'client backend' and pid <> pg_backend_pid()"
            )
            for pid in postgres.psql("postgres", wanted).split()[:1]:
                os.kill(int(pid), signal.SIGKILL)

        _each_round(faulted, pick, kill)


def test_the_object_store(tmp_path: Path, pick: random.Random, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in OWNER.data_environment().items():
        monkeypatch.setenv(name, value)
    with object_store() as store:
        profile = Profile(remote=f"s3://{store.bucket('data')}/dvc", s3_endpoint=store.endpoint)
        with plant_with_a_job(tmp_path, profile=profile) as faulted:

            def kill() -> None:
                store.kill()
                time.sleep(pick.uniform(0, 2))
                store.start()

            _each_round(faulted, pick, kill)
