"""A server, a store or disk space is away for minutes: the run waits in its queue, and ends as an undisturbed one."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator

import pytest

from pipelines.local.profiles import Profile
from pipelines.outages import WAITS
from tests.support.full_disk import full_disk, resize
from tests.support.object_store import OWNER, Keys, ObjectStore, object_store, write_secrets
from tests.support.whole_system import BACK_WITHIN, System, family, kill_processes, running_system

pytestmark = [pytest.mark.integration, pytest.mark.faults, pytest.mark.timeout(3600)]

AWAY = float(os.environ.get("ELP_FAULT_AWAY", "300"))
"""Seconds for which a store is away."""
BAD = {"Failed", "Crashed"}
"""States that a run which waits for an outage never has."""


@pytest.fixture(scope="module")
def store() -> Iterator[ObjectStore]:
    with object_store() as made:
        yield made


@pytest.fixture(scope="module")
def system(store: ObjectStore, tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    with pytest.MonkeyPatch.context() as patch:
        for name, value in OWNER.data_environment().items():
            patch.setenv(name, value)
        bucket = store.bucket("data")
        for name in OWNER.data_environment():
            patch.delenv(name)
        profile = Profile(remote=f"s3://{bucket}/dvc", s3_endpoint=store.endpoint)
        with running_system(tmp_path_factory.mktemp("system"), profile) as made:
            yield made


def _continues(system: System, run: str) -> None:
    """Check that a run continues in time after what was away is back, which is now, and that it never failed."""
    back = time.time()
    assert system.wait(run).state == "Completed", system.states(run)
    # one that was trying at the moment needs no new beginning
    assert system.began(run) - back < BACK_WITHIN, system.states(run)
    assert not BAD & {state for state, _ in system.states(run)}, system.states(run)


def test_an_object_store_that_is_away_for_minutes(system: System, store: ObjectStore) -> None:
    store.kill()
    slot, run = system.start()
    away = time.monotonic()
    message = system.until(run, "AwaitingRetry", WAITS)
    assert "DVC could not push" in message
    time.sleep(max(0.0, AWAY - (time.monotonic() - away)))
    store.start()
    _continues(system, run)
    assert system.state(slot) == system.expected


def test_an_mlflow_server_that_hangs_for_minutes(system: System) -> None:
    slot, run = system.start()
    system.until(run, "Running")
    stopped = [process.pid for process in family(system.pid("mlflow"))]
    kill_processes(*stopped, number=signal.SIGSTOP)
    try:
        assert "no MLflow server answers" in system.until(run, "AwaitingRetry", WAITS)
    finally:
        kill_processes(*stopped, number=signal.SIGCONT)
    _continues(system, run)
    assert system.state(slot) == system.expected


# the cache: too small for the data, or large enough for it and too small for a checkpoint; the databases of DVC
@pytest.mark.parametrize(("folder", "kibibytes"), [("cache", 300), ("cache", 1500), ("dvc", 24), ("dvc", 100)])
def test_a_disk_without_space(system: System, folder: str, kibibytes: int) -> None:
    with full_disk(system.workspace.state / folder, kibibytes) as disk:
        slot, run = system.start()
        assert "full" in system.until(run, "AwaitingRetry", WAITS)
        resize(disk, 1_000_000)
        _continues(system, run)
        assert system.state(slot) == system.expected


def test_a_store_that_refuses_the_keys_is_no_outage(system: System) -> None:
    write_secrets(system.workspace.state, Keys("elp-owner", "wrong").data_environment())
    try:
        _, run = system.start()
        assert system.wait(run).state == "Failed"
        assert [state for state, _ in system.states(run)].count("Running") == 1, "it did not wait"
    finally:
        write_secrets(system.workspace.state, OWNER.data_environment())
