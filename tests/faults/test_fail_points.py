"""The main job is killed before and after each durable write, and run again: it ends as if nothing had happened."""

from __future__ import annotations

import random
import signal

import pytest

from tests.support.main_job import MainJob
from tests.support.plant import Plant

pytestmark = [pytest.mark.integration, pytest.mark.timeout(3600)]

SAMPLE = 3
"""Each costs a job until its kill, and another one after it: 12 s. `make faults` has every point."""
SEED = 14


def _distinct(points: list[str]) -> list[str]:
    """Return each point once: its first time, and its last one if there are several."""
    last = {point.rpartition("#")[0]: point for point in points}
    return [point for point in dict.fromkeys(points) if point.endswith("#1") or last[point.rpartition("#")[0]] == point]


def _text(broken: dict[str, str]) -> str:
    return "\n".join(f"{name}: {fault}" for name, fault in broken.items())


def _of(job: MainJob, point: str) -> str:
    """Return a point of the first job as another one has it: some files are named after the slot."""
    return point.replace("plant-0", job.slot.partition("/")[0])


def _kill_at(faulted: Plant, point: str) -> None:
    job = faulted.new_job()
    assert faulted.jobs.run(job, ELP_FAIL_POINT=_of(job, point)) == -signal.SIGKILL, f"{point} was not reached"
    faulted.check_healed(job)


def test_the_job_reaches_a_point_at_each_kind_of_write(faulted: Plant) -> None:
    names = {point.rpartition("#")[0].partition(" ")[2] for point in faulted.points}
    assert names >= {
        "git commit", "git tag", "dvc add", "dvc push", "move in slot", "end of journal", "file dataset.json",
        "bundle", "run", "end of run", "metrics of run", "upload of bundle", "model is ready", "version",
        "request statements", "request promote", "artifacts of run",
    }  # fmt: skip


def test_a_job_that_was_killed_at_a_write_ends_as_an_undisturbed_one(faulted: Plant) -> None:
    for point in random.Random(SEED).sample(_distinct(faulted.points), SAMPLE):
        _kill_at(faulted, point)


@pytest.mark.parametrize(
    "point",
    [
        "before file checkpoint.safetensors#2",
        pytest.param("after file checkpoint.safetensors#2", marks=pytest.mark.slow),
    ],
)
def test_sigterm_during_the_write_of_a_checkpoint(faulted: Plant, point: str) -> None:
    job = faulted.new_job()
    # the usual end of a worker's run
    assert faulted.jobs.run(job, ELP_FAIL_POINT=point, ELP_FAIL_SIGNAL="SIGTERM") == -signal.SIGTERM
    faulted.check_healed(job)


@pytest.mark.faults
def test_each_point_once(faulted: Plant) -> None:
    broken = {}
    for point in _distinct(faulted.points):
        try:
            _kill_at(faulted, point)
        except AssertionError as error:
            broken[point] = str(error)[-1500:]
    assert not broken, _text(broken)


@pytest.mark.faults
def test_each_point_of_the_server_once(faulted: Plant) -> None:
    broken = {}
    for name in dict.fromkeys(point.rpartition("#")[0] for point in faulted.server_points):
        job = faulted.new_job()
        faulted.serve(ELP_FAIL_POINT=name)
        # the server is gone, or the job ended before it; both are repeated
        faulted.jobs.run(job)
        faulted.serve()
        try:
            faulted.check_healed(job)
        except AssertionError as error:
            broken[name] = str(error)[-1500:]
    assert not broken, _text(broken)


@pytest.mark.faults
def test_two_faults_in_sequence(faulted: Plant) -> None:
    pick, broken = random.Random(SEED), {}
    points = _distinct(faulted.points)
    for _ in range(20):
        first, second = pick.choice(points), pick.choice(points)
        job = faulted.new_job()
        assert faulted.jobs.run(job, ELP_FAIL_POINT=_of(job, first)) == -signal.SIGKILL
        # the second one may lie behind what is done already
        faulted.jobs.run(job, ELP_FAIL_POINT=_of(job, second))
        try:
            faulted.check_healed(job)
        except AssertionError as error:
            broken[f"{first}, then {second}"] = str(error)[-1500:]
    assert not broken, _text(broken)
