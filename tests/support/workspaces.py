"""A real workspace with a little data in it, for what needs Git, DVC and Great Expectations."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from pipelines.datasets.dataset_version import metafiles
from pipelines.datasets.expectations import import_great_expectations
from pipelines.datasets.ingest import add_delivery
from pipelines.local.initialise import init_workspace
from pipelines.local.settings import Settings
from pipelines.local.workspace import Workspace, open_workspace
from pipelines.registry.slot import Slot
from tests.support.clips import voice, wav

WORDS = ("one", "two", "three", "four")
SPLITS = (("train", ("ann", "ben")), ("validation", ("cat", "dan")), ("test", ("eve", "fay")))


@dataclass(frozen=True)
class Site:
    """A workspace whose slots `asr` and `asv` have one dataset version each."""

    workspace: Workspace
    asr: Slot
    asv: Slot

    @property
    def repository(self) -> str:
        """What workers read the data from."""
        return str(self.workspace.root)

    @property
    def settings(self) -> Settings:
        """Of the workspace: a random backbone, two epochs."""
        return self.workspace.settings


def isolate(home: Path, patch: pytest.MonkeyPatch) -> None:
    """What the autouse fixture does for tests, for fixtures that live longer than one."""
    home.mkdir(parents=True, exist_ok=True)
    (home / ".gitconfig").write_text("[user]\n\tname = Test\n\temail = test@example.org\n")
    patch.setenv("HOME", str(home))
    patch.setenv("XDG_CACHE_HOME", str(home / "cache"))
    for name in ("ELP_WORKSPACE", "ELP_KEYS"):
        patch.delenv(name, raising=False)


def delivery(folder: Path, takes: Sequence[int] = (0, 1)) -> Path:
    """An audiofolder of two speakers a split, who each say every word at every take."""
    for split, speakers in SPLITS:
        rows = []
        for number, speaker in enumerate(speakers):
            for position, word in enumerate(WORDS):
                for take in takes:
                    name = f"{speaker}-{word}-{take}.wav"
                    pitch = 120.0 + 60 * number + 10 * position
                    sound = voice(0.5 + 0.05 * position, pitch, seed=_seed(split, speaker, position, take))
                    path = folder / split / name
                    path.parent.mkdir(parents=True, exist_ok=True)
                    path.write_bytes(wav(sound.astype(np.float32)))
                    rows.append({"file_name": name, "text": word, "speaker": speaker})
        lines = "".join(json.dumps(row) + "\n" for row in rows)
        (folder / split / "metadata.jsonl").write_text(lines, encoding="utf-8")
    return folder


def workspace_with_data(root: Path, slots: Sequence[Slot], settings: str = "") -> Workspace:
    """A workspace whose slots have dataset version 1 each; `settings` go into its `elp.yaml`, committed."""
    workspace = init_workspace(root)
    if settings:
        path = root / "elp.yaml"
        path.write_text(f"remote: .elp/remote\n{settings}", encoding="utf-8")
        subprocess.run(["git", "-C", str(root), "commit", "-q", "-am", "Set it up"], check=True)
        workspace = open_workspace(root)
    source = delivery(root.parent / "delivery")
    # once in a test process, and not in a process for each delivery
    import_great_expectations()
    for slot in slots:
        add_delivery(workspace, slot, source)
    return workspace


def own_slot(site: Site, own: Slot) -> Slot:
    """Give `own` a copy of the site's data for its task."""
    root, model = site.workspace.root, Slot("plant-a", own.task)
    for source, target in zip(metafiles(model), metafiles(own), strict=True):
        if not (root / source).is_file():
            continue  # nothing is in quarantine
        (root / target).parent.mkdir(parents=True, exist_ok=True)
        (root / target).write_text((root / source).read_text().replace("plant-a", own.site))
    git = ["git", "-C", str(root)]
    subprocess.run([*git, "add", "--", str(own.folder)], check=True)
    author = ["-c", "user.name=Test", "-c", "user.email=test@example.org"]
    subprocess.run([*git, *author, "commit", "-q", "-m", f"Copy the data to {own}", "--", str(own.folder)], check=True)
    for tag in (own.tag(1), own.tag(1, "golden")):
        subprocess.run([*git, "tag", tag], check=True)
    return own


def _seed(split: str, speaker: str, position: int, take: int) -> int:
    return sum(map(ord, split + speaker)) * 1000 + position * 100 + take
