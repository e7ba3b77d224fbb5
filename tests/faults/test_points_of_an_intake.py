"""A worker that clones the workspace and empties an inbox is killed before and after each durable write."""

from __future__ import annotations

import json
import multiprocessing
import os
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from elp_core.fail_points import LOG_VARIABLE, VARIABLE
from pipelines.inbox.folder_inbox import FolderInbox
from pipelines.local import git
from pipelines.local.run_workspace import clone_folder, open_for_run
from pipelines.local.workspace import Workspace
from pipelines.registry.slot import Slot
from tests.support.git_servers import shared_workspace
from tests.support.public_state import data_files, leftovers
from tests.support.workspaces import delivery, isolate

pytestmark = [pytest.mark.faults, pytest.mark.integration, pytest.mark.timeout(7200)]


def _take_in(address: str, slot: str, home: Path, environment: dict[str, str]) -> None:
    from pipelines.datasets.ingest import add_delivery
    from pipelines.inbox.take_deliveries import take_waiting

    os.environ.update({"ELP_WORKER_HOME": str(home), **environment})
    workspace, name = open_for_run(address), Slot.parse(slot)
    done = take_waiting(workspace, name, lambda path: add_delivery(workspace, name, path).tag, print)
    if done.left or done.refused:
        raise RuntimeError(f"left: {done.left}, refused: {done.refused}")


class Intakes:
    """Intakes of one delivery, each into a slot of its own by a worker that has nothing yet."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.number = folder, 0
        delivery(folder / "delivery")
        self.inbox = folder / "inbox"
        settings = f"inbox: {{path: {self.inbox}, complete: marker}}\n"
        self.control = shared_workspace(folder / "foundry", settings)

    @property
    def slot(self) -> Slot:
        return Slot.parse(f"plant-{self.number}/asr")

    @property
    def home(self) -> Path:
        return self.folder / "workers" / str(self.number)

    @property
    def waiting(self) -> FolderInbox:
        return FolderInbox(self.inbox / self.slot.site / self.slot.task)

    def deliver(self) -> None:
        """Begin another one."""
        self.number += 1
        shutil.copytree(self.folder / "delivery", self.waiting.folder / "batch")
        (self.waiting.folder / "batch.done").touch()

    def run(self, **environment: str) -> int | None:
        """Let the worker take the delivery in; return the exit code."""
        arguments = (self.control.settings.git, str(self.slot), self.home, environment)
        process = multiprocessing.get_context("fork").Process(target=_take_in, args=arguments)
        process.start()
        process.join(300)
        return process.exitcode

    def state(self) -> dict[str, Any]:
        """Return what is there when it has ended, without the slot's name and times."""
        address = self.control.settings.git
        clone = Workspace(clone_folder(self.home, address), self.control.settings, home=self.home)
        tags = git.git(self.control.root, "ls-remote", "--tags", address, f"*/{self.slot}/*").split()[1::2]
        return {
            "tags": sorted(tag.replace(str(self.slot), "") for tag in tags),
            "data": data_files(clone.root / self.slot.folder),
            "uncommitted": git.git(clone.root, "status", "--porcelain"),
            "pushed": git.git(self.control.root, "ls-remote", address, "main").split()[0] == git.resolve(clone.root),
            "left": leftovers(clone),
            # a claim without a delivery goes when its lease has ended
            "waiting": [one.name for one in (*self.waiting.entries(), *self.waiting.claims()) if one.name],
            "taken": [taken.name for taken in self.waiting.taken(10)],
            # the records are hidden; one that is left beside a delivery that was taken in changes nothing
            "inbox": sorted(
                one.name for one in self.waiting.folder.rglob("*.*") if one.is_file() and one.name[0] != "."
            ),
        }


@pytest.fixture(scope="module")
def intakes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Intakes]:
    folder = tmp_path_factory.mktemp("intakes")
    with pytest.MonkeyPatch.context() as patch:
        isolate(folder / "home", patch)
        yield Intakes(folder)


@pytest.fixture(scope="module")
def undisturbed(intakes: Intakes) -> tuple[list[str], dict[str, Any]]:
    """The points that a worker reaches, and the state when it has ended."""
    log = intakes.folder / "points.log"
    intakes.deliver()
    assert intakes.run(**{LOG_VARIABLE: str(log)}) == 0
    state = intakes.state()
    assert (state["left"], state["waiting"], state["taken"]) == ([], [], ["batch"])
    assert state["data"]
    assert state["pushed"]
    return list(dict.fromkeys(log.read_text().splitlines())), state


def _broken(intakes: Intakes, points: list[str], expected: dict[str, Any]) -> dict[str, Any]:
    """Kill an intake at each point and repeat it; return the states that differ."""
    found = {}
    for point in points:
        intakes.deliver()
        here = point.replace("plant-1", intakes.slot.site)
        # a process that the worker has started reaches some of them, and the worker ends with an error then
        assert intakes.run(**{VARIABLE: here}) in (-signal.SIGKILL, 1), f"{here} was not reached"
        code, state = intakes.run(), intakes.state()
        if code != 0 or state != expected:
            found[point] = (code, {name: value for name, value in state.items() if value != expected[name]})
    return found


def test_the_worker_reaches_each_kind_of_write(undisturbed: tuple[list[str], dict[str, Any]]) -> None:
    names = {point.rpartition("#")[0].partition(" ")[2] for point in undisturbed[0]}
    assert names >= {"clone", "inbox claim", "file .claim.json", "file .taken.json", "inbox move", "git push"}


def test_killed_at_each_point(intakes: Intakes, undisturbed: tuple[list[str], dict[str, Any]]) -> None:
    points, expected = undisturbed
    broken = _broken(intakes, points, expected)
    assert not broken, json.dumps(broken, indent=1, default=str)
