"""A pull is killed at each point and at random moments: the box has the old set or the new one, whole, and goes on."""

from __future__ import annotations

import multiprocessing
import os
import random
import shutil
import signal
import time
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path

import pytest

from elp_core.fail_points import LOG_VARIABLE, VARIABLE
from pipelines.distribution.sources import ByteStream, FolderSource, Source
from pipelines.errors import ServiceError
from pipelines.local.box_home import active_set
from tests.support.delivery_by_hand import NOW, Depot

LATER = NOW + timedelta(hours=1)


def _pull(depot: Depot, box: Path, source: Source, environment: Mapping[str, str]) -> None:
    os.environ.update(environment)
    # a signal ends the process: nothing is cleaned up
    depot.pull(box, source, LATER)


def _start(depot: Depot, box: Path, source: Source, **environment: str) -> multiprocessing.process.BaseProcess:
    process = multiprocessing.get_context("fork").Process(target=_pull, args=(depot, box, source, environment))
    process.start()
    return process


def _versions(box: Path) -> list[int]:
    """What the box serves now; every byte of it is verified."""
    present = active_set(box)
    assert present is not None
    present.verify()
    return [adapter.version for adapter in present.site_set.adapters]


class Prepared:
    """A box with version 1, and a medium with two new adapters; each try begins with a copy of the box."""

    def __init__(self, depot: Depot, tmp_path: Path) -> None:
        self.depot, self.tmp_path = depot, tmp_path
        self.number = 0
        depot.pull(self.new_box(), depot.medium(tmp_path / "old"))
        depot.publish(LATER, plant_a=[depot.ship("plant-a/asr", 2, "second"), depot.ship("plant-a/ser", 1, "emotion")])
        self.medium = depot.medium(tmp_path / "new")

    @property
    def box(self) -> Path:
        return self.tmp_path / f"box-{self.number}"

    def new_box(self) -> Path:
        self.number += 1
        if self.number > 1:
            self.depot.pull(self.box, FolderSource(self.tmp_path / "old"), LATER)
        return self.box

    def check(self, reached: bool) -> None:
        """The box is whole, and the next pull ends as one that nothing disturbed."""
        assert _versions(self.box) in ([1], [2, 1])
        if reached:
            self.depot.pull(self.box, self.medium, LATER)
            assert _versions(self.box) == [2, 1]
            left = [
                path for path in self.box.rglob("*") if path.name.endswith((".tmp", ".part")) or ".new-" in str(path)
            ]
            assert left == []
            assert list((self.box / "downloads").iterdir()) == []


@pytest.fixture
def prepared(depot: Depot, tmp_path: Path) -> Prepared:
    return Prepared(depot, tmp_path)


def _points(prepared: Prepared, tmp_path: Path) -> list[str]:
    log = tmp_path / "points.log"
    process = _start(prepared.depot, prepared.new_box(), prepared.medium, **{LOG_VARIABLE: str(log)})
    process.join(60)
    assert process.exitcode == 0
    return list(dict.fromkeys(log.read_text().splitlines()))


def test_killed_at_every_point(prepared: Prepared, tmp_path: Path) -> None:
    points = _points(prepared, tmp_path)
    assert {"before delivered bundle#1", "after file current.json#1", "before part of download#1"} <= set(points)
    for point in points:
        process = _start(prepared.depot, prepared.new_box(), prepared.medium, **{VARIABLE: point})
        process.join(60)
        assert process.exitcode == -signal.SIGKILL, f"{point} was not reached"
        prepared.check(reached=True)


class Slow(FolderSource):
    """A medium that is read in small pieces, so that a kill finds the pull at work."""

    def read(self, path: str, start: int = 0) -> ByteStream:
        found = super().read(path, start)
        pieces = (chunk[at : at + 8192] for chunk in found.chunks for at in range(0, len(chunk), 8192))

        def slowly():
            for piece in pieces:
                time.sleep(0.0002)
                yield piece

        return ByteStream(found.start, slowly())


def _kill_at_random_moments(prepared: Prepared, rounds: int) -> None:
    pick, medium = random.Random(20260301), Slow(prepared.medium.folder)
    begun = time.monotonic()
    process = _start(prepared.depot, prepared.new_box(), medium)
    process.join(60)
    whole, killed = time.monotonic() - begun, 0
    # a pull that ended before the kill does not count: how many do depends on the machine's load
    for _ in range(rounds * 30):
        process = _start(prepared.depot, prepared.new_box(), medium)
        time.sleep(pick.uniform(0, whole))
        process.kill()
        process.join(60)
        killed += process.exitcode == -signal.SIGKILL
        prepared.check(reached=True)
        shutil.rmtree(prepared.box)
        if killed == rounds:
            return
    pytest.fail(f"{killed} of {rounds} pulls were killed while they ran")


@pytest.mark.slow
def test_killed_at_two_hundred_random_moments(prepared: Prepared) -> None:
    _kill_at_random_moments(prepared, 200)


def test_a_killed_download_continues_at_the_byte(prepared: Prepared, tmp_path: Path) -> None:
    asked: list[tuple[str, int]] = []

    class Broken(FolderSource):
        def read(self, path: str, start: int = 0) -> ByteStream:
            asked.append((path, start))
            found = super().read(path, start)
            if not path.endswith("safetensors") or start:
                return found
            return ByteStream(found.start, iter([next(iter(found.chunks))[:2_000]]))

    box = prepared.new_box()
    with pytest.raises(ServiceError, match="after 2000 of"):
        prepared.depot.pull(box, Broken(prepared.medium.folder), LATER)
    assert _versions(box) == [1]
    [part] = (box / "downloads").glob("*.part")
    assert part.stat().st_size == 2_000
    asked.clear()
    with pytest.raises(ServiceError, match="after 2000 of"):
        prepared.depot.pull(box, Broken(prepared.medium.folder), LATER)
    # the second of the two adapters breaks off; the first one continued
    starts = [start for path, start in asked if path.endswith("safetensors")]
    assert starts == [2_000, 0]
    prepared.depot.pull(box, prepared.medium, LATER)
    assert _versions(box) == [2, 1]


def test_a_flipped_byte_in_a_part_costs_one_more_download(prepared: Prepared) -> None:
    class Once(FolderSource):
        def read(self, path: str, start: int = 0) -> ByteStream:
            found = super().read(path, start)
            if path.endswith("safetensors") and not start:
                return ByteStream(0, iter([next(iter(found.chunks))[:2_000]]))
            return found

    box = prepared.new_box()
    with pytest.raises(ServiceError, match="after 2000 of"):
        prepared.depot.pull(box, Once(prepared.medium.folder), LATER)
    [part] = (box / "downloads").glob("*.part")
    part.write_bytes(b"x" + part.read_bytes()[1:])
    prepared.depot.pull(box, prepared.medium, LATER)
    assert _versions(box) == [2, 1]
