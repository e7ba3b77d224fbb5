"""The main job is killed before and after each durable write, and run again: it ends as if nothing had happened."""

from __future__ import annotations

import random
import signal

import pytest

from tests.faults.conftest import Plant

pytestmark = [pytest.mark.integration, pytest.mark.timeout(3600), pytest.mark.xdist_group("faults")]

SAMPLE = 6
SEED = 14


def _distinct(points: list[str]) -> list[str]:
    """Return each point once: its first time, and its last one if there are several."""
    last = {point.rpartition("#")[0]: point for point in points}
    return [point for point in dict.fromkeys(points) if point.endswith("#1") or last[point.rpartition("#")[0]] == point]


def _kill_at(plant: Plant, point: str) -> None:
    job = plant.new_job()
    assert plant.jobs.run(job, ELP_FAIL_POINT=point) == -signal.SIGKILL, f"{point} was not reached"
    plant.check_healed(job)


def test_the_job_reaches_a_point_at_each_kind_of_write(plant: Plant) -> None:
    names = {point.rpartition("#")[0].partition(" ")[2] for point in plant.points}
    assert names >= {
        "git commit", "git tag", "dvc add", "dvc push", "move in slot", "end of journal", "file dataset.json",
        "bundle", "run", "end of run", "metrics of run", "upload of bundle", "model is ready", "version",
        "request statements", "request promote", "artifacts of run",
    }  # fmt: skip


def test_a_job_that_was_killed_at_a_write_ends_as_an_undisturbed_one(plant: Plant) -> None:
    for point in random.Random(SEED).sample(_distinct(plant.points), SAMPLE):
        _kill_at(plant, point)


@pytest.mark.faults
def test_each_point_once(plant: Plant) -> None:
    broken = {}
    for point in _distinct(plant.points):
        try:
            _kill_at(plant, point)
        except AssertionError as error:
            broken[point] = str(error)[-1500:]
    assert broken == {}
