"""A workspace of many slots for the benchmarks of a night: some with an intake of their own, the others as copies."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Sequence
from pathlib import Path

from pipelines.datasets.dataset_version import DATASET_FILE, GOLDEN_FILE
from pipelines.datasets.ingest import add_delivery
from pipelines.local import git
from pipelines.local.workspace import Workspace
from pipelines.registry.slot import Slot
from tests.support.workspaces import SPLITS, delivery

TASKS = ("asr", "asv", "ser")


def night_slots(sites: int) -> list[Slot]:
    """Return the slots of `sites` sites with three tasks each."""
    return [Slot(f"plant-{number:03d}", task) for number in range(sites) for task in TASKS]


def copy_slots(workspace: Workspace, slots: Sequence[Slot]) -> None:
    """Make every slot a copy of the first one of its task, which has version 1 and its golden set, in one commit.

    What Git keeps has the names of the copy; DVC keeps the clips of all of them once. Nothing of this is an intake, so
    that 600 slots are made in seconds.
    """
    root, first, copies = workspace.root, {}, []
    for slot in slots:
        if git.resolve(root, f"refs/tags/{slot.tag(1)}"):
            first.setdefault(slot.task, slot)
        else:
            copies.append(slot)
    for slot in copies:
        _copy(root, first[slot.task], slot)
    if not copies:
        return
    subprocess.run(["git", "-C", str(root), "add", "data"], check=True)
    subprocess.run(["git", "-C", str(root), "commit", "-q", "-m", f"Copy {len(copies)} slots"], check=True)
    head = git.resolve(root)
    lines = "".join(f"create refs/tags/{slot.tag(1, kind)} {head}\n" for slot in copies for kind in ("data", "golden"))
    subprocess.run(["git", "update-ref", "--stdin"], cwd=root, check=True, input=lines, text=True)


def _copy(root: Path, source: Slot, target: Slot) -> None:
    there, here = root / source.folder, root / target.folder
    here.mkdir(parents=True)
    for path in there.iterdir():
        if path.is_dir():
            (here / path.name).mkdir()
            for file in path.iterdir():
                (here / path.name / file.name).hardlink_to(file)
        elif path.name in (DATASET_FILE, GOLDEN_FILE):
            text = path.read_text("utf-8").replace(json.dumps(str(source)), json.dumps(str(target)))
            (here / path.name).write_text(text.replace(f"/{source}/", f"/{target}/"), "utf-8")
        else:
            (here / path.name).write_bytes(path.read_bytes())


def write_night_delivery(folder: Path, number: int) -> Path:
    """Write a delivery of 48 clips of half a second with words as labels; each number has its own sounds."""
    made = delivery(folder, takes=(2 * number, 2 * number + 1))
    for split, _ in SPLITS:
        path = made / split / "metadata.jsonl"
        rows = [json.loads(line) for line in path.read_text("utf-8").splitlines()]
        path.write_text("".join(json.dumps({**row, "label": row["text"]}) + "\n" for row in rows), "utf-8")
    return made


def fill_night(workspace: Workspace, slots: Sequence[Slot], own: int, folder: Path) -> None:
    """Give the first `own` slots an intake of their own, with different recordings, and the others a copy.

    `folder` gets the deliveries. There is an intake of each task at least, because it is what the others are copied of.
    """
    for number, slot in enumerate(slots[: max(own, len(TASKS))]):
        add_delivery(workspace, slot, write_night_delivery(folder / f"delivery-{number}", number))
    copy_slots(workspace, slots)
