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


class TrainingRecord:
    """The trainings that were done: their numbers in a file, their adapters in a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.file = folder, folder / "warm-start.jsonl"
        folder.mkdir(parents=True, exist_ok=True)
        lines = self.file.read_text().splitlines() if self.file.exists() else []
        self.done: dict[str, dict[str, Any]] = {row["name"]: row for row in map(json.loads, lines)}

    def cache(self, way: str) -> Path:
        """Return the prepared clips of a way."""
        return self.folder / "cache" / way

    def adapter(self, name: str, backbone: Backbone) -> ElpModel:
        """Return the adapter of a training that was done."""
        return load_bundle(self.folder / name, backbone)

    def once(self, name: str, backbone: Backbone, make: Callable[[], tuple[ElpModel, dict[str, Any]]]) -> ElpModel:
        """Do a training that was not done before; return its adapter."""
        if name not in self.done:
            model, row = make()
            write_bundle(self.folder / name, model, {}, {})
            self.done[name] = {"name": name, **row}
            with self.file.open("a") as file:
                file.write(json.dumps(self.done[name]) + "\n")
            print(f"{name}: {row['value']:.1%} in {row['seconds']:.0f} s", flush=True)
        return self.adapter(name, backbone)


def link_files(source: Path, target: Path) -> None:
    """Give a way the prepared clips of a training that is also its own."""
    for path in source.rglob("*.safetensors"):
        place = target / path.relative_to(source)
        place.parent.mkdir(parents=True, exist_ok=True)
        if not place.exists():
            os.link(path, place)


class TrainingLog:
    """The trainings that were done: one line each, with what was labelled."""

    def __init__(self, file: Path) -> None:
        self.file = file
        lines = file.read_text().splitlines() if file.exists() else []
        self.done: dict[str, dict[str, Any]] = {row["name"]: row for row in map(json.loads, lines)}

    def once(self, name: str, make: Callable[[], dict[str, Any]]) -> dict[str, Any]:
        """Return the row of a training; do it if it was not done."""
        if name not in self.done:
            self.done[name] = {"name": name, **make()}
            with self.file.open("a") as file:
                file.write(json.dumps(self.done[name]) + "\n")
            print(f"{name}: {self.done[name]['value']:.1%}", flush=True)
        return self.done[name]
