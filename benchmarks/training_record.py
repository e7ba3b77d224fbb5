"""What a benchmark of trainings has done, so that a second call continues with what is missing."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from elp_core.backbones import Backbone
from elp_core.bundle import load_bundle, write_bundle
from elp_core.model import ElpModel


class TrainingLog:
    """The trainings that were done: one line each."""

    def __init__(self, file: Path) -> None:
        self.file = file
        lines = file.read_text().splitlines() if file.exists() else []
        self.done: dict[str, dict[str, Any]] = {row["name"]: row for row in map(json.loads, lines)}

    def once(self, name: str, make: Callable[[], dict[str, Any]]) -> dict[str, Any]:
        """Return the row of a training; do it if it was not done."""
        if name not in self.done:
            row = self.done[name] = {"name": name, **make()}
            with self.file.open("a") as file:
                file.write(json.dumps(row) + "\n")
            spent = f" in {row['seconds']:.0f} s" if "seconds" in row else ""
            print(f"{name}: {row['value']:.1%}{spent}", flush=True)
        return self.done[name]


class TrainingRecord:
    """The trainings that were done: their rows in a log, their adapters in a folder."""

    def __init__(self, folder: Path, log: str) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder, self.log = folder, TrainingLog(folder / log)

    def cache(self, way: str) -> Path:
        """Return the prepared clips of a way."""
        return self.folder / "cache" / way

    def once(self, name: str, backbone: Backbone, make: Callable[[], tuple[ElpModel, dict[str, Any]]]) -> ElpModel:
        """Do a training that was not done before; return its adapter."""

        def keep() -> dict[str, Any]:
            model, row = make()
            write_bundle(self.folder / name, model, {}, {})
            return row

        self.log.once(name, keep)
        return load_bundle(self.folder / name, backbone)


def link_files(source: Path, target: Path) -> None:
    """Give a way the prepared clips of a training that is also its own."""
    for path in source.rglob("*.safetensors"):
        place = target / path.relative_to(source)
        place.parent.mkdir(parents=True, exist_ok=True)
        if not place.exists():
            os.link(path, place)
