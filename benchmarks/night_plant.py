"""A workspace of many slots for the benchmarks of a night: some with an intake of their own, the others as copies."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from elp_core.testing import save_tiny
from pipelines.datasets.dataset_version import DATASET_FILE, GOLDEN_FILE
from pipelines.datasets.expectations import import_great_expectations
from pipelines.datasets.ingest import add_delivery
from pipelines.local import git
from pipelines.local.initialise import init_workspace
from pipelines.local.workspace import Workspace, open_workspace
from pipelines.registry.ledger.ledger_checkpoint import CHECKPOINT_VARIABLE, checkpoint_file
from pipelines.registry.signing.key_folder import ensure_keys
from pipelines.registry.signing.keys import FOLDER_VARIABLE, key_folder
from pipelines.registry.slot import Slot
from tests.support.git_servers import bare
from tests.support.registry_rows import fill
from tests.support.workspaces import SPLITS, delivery

TASKS = ("asr", "asv", "ser")
SETTINGS = """remote: {remote}
git: {address}
backbone: {backbone}
servers: {{mlflow_port: 0, prefect_port: 0, workers: 0, together: {together}}}
defaults:
{tasks}
schedules:
  tonight: {{slots: [{due}], cron: '{cron}', spread: {spread}}}
  others: {{slots: plant-*/*, cron: '0 2 1 2 *', spread: 90m}}
"""
TASK = """  {task}:
    adapter: {{encoder: {{bottleneck: 4}}, layer: {{width: 8}}, prompt: {{count: 1}}}}
    train: {{epochs: 2, batch_seconds: 8.0, min_steps: 4, device: cpu, seed: 1, checkpoint_minutes: 0}}
    gate: {{limit: 1.5, margin: 1.0, min_slice: 1, resamples: 200, safety: {{max_slowdown: null}}}}
"""


@dataclass(frozen=True)
class NightPlant:
    """The folders of the plant, and which of its slots are due this night."""

    folder: Path
    slots: Sequence[Slot]
    due: int
    """The first ones are due."""
    together: int
    spread: str

    @property
    def root(self) -> Path:
        """The workspace of the control host."""
        return self.folder / "plant"

    @property
    def git_server(self) -> Path:
        """The bare repository that the control host and the workers share."""
        return self.folder / "server" / "foundry.git"

    @property
    def remote(self) -> Path:
        """The DVC remote that they share."""
        return self.folder / "dvc-remote"

    def make(self) -> Workspace:
        """Make the workspace with all its slots and, of those that are not due, the rows of the registry; push it."""
        init_workspace(self.root, str(self.remote))
        save_tiny(self.folder / "backbone")
        bare(self.git_server)
        import_great_expectations()
        fill_night(open_workspace(self.root), self.slots, self.due, self.folder / "deliveries")
        workspace = self.set_schedule("0 0 1 1 *")
        git.git(self.root, "push", "--quiet", workspace.settings.git, "--tags")
        if self.slots[self.due :]:
            fill_registry(workspace, self.slots[self.due :])
        return workspace

    def set_schedule(self, cron: str) -> Workspace:
        """Let the due slots start at `cron`, and the others on another day; commit and push `elp.yaml`."""
        text = SETTINGS.format(
            remote=self.remote,
            address=f"file://{self.git_server}",
            backbone=self.folder / "backbone",
            together=self.together,
            tasks="".join(TASK.format(task=task) for task in TASKS),
            due=", ".join(map(str, self.slots[: self.due])),
            cron=cron,
            spread=self.spread,
        )
        (self.root / "elp.yaml").write_text(text, "utf-8")
        workspace = open_workspace(self.root)
        git.commit(self.root, [Path("elp.yaml")], f"Start at {cron}")
        git.git(self.root, "push", "--quiet", workspace.settings.git, "main")
        return workspace


def fill_registry(workspace: Workspace, slots: Sequence[Slot]) -> None:
    """Give each slot two versions in the database that `elp up` will use; the servers do not run yet."""
    from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

    from pipelines.server.stores.registry_store import GuardedStore

    keys, database = key_folder(workspace.state), f"sqlite:///{workspace.state / 'mlflow.db'}"
    ring = ensure_keys(keys)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(FOLDER_VARIABLE, str(keys))
        patch.setenv(CHECKPOINT_VARIABLE, str(checkpoint_file(workspace.state)))
        stores = SqlAlchemyStore(database, str(workspace.state / "mlflow-artifacts")), GuardedStore(f"elp+{database}")
        fill(stores[1].engine, slots, 2, ring)
        for store in stores:
            store.engine.dispose()


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
