"""What the servers of `bench_serve.py` serve: a backbone, two bundles of each slot, clips, and who is champion."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import soundfile
import torch
from network_sizes import random_network

from elp_core import backbones
from elp_core.assemble import build
from elp_core.backbones import Backbone
from elp_core.bundle import bundle_digest, write_bundle
from elp_core.config import ElpConfig
from elp_core.files import write_whole
from elp_core.tasks import make_task
from elp_core.testing import random_clips, write_preprocessor
from pipelines.registry.slot import Slot
from pipelines.serving.champion_source import Champion, FetchedBundle

TASKS = ("ser", "sic")


@dataclass(frozen=True)
class ServedPlant:
    """A folder with all of it; every server of a benchmark reads the same one."""

    root: Path
    backbone: str
    slots: tuple[str, ...]

    @classmethod
    def read(cls, root: Path) -> ServedPlant:
        """Return the plant that `make_plant` has written."""
        values = json.loads((root / "plant.json").read_text())
        return cls(root, values["backbone"], tuple(values["slots"]))

    @property
    def checkpoint(self) -> Path:
        """The folder of the backbone, for transformers."""
        return Path(backbones.__file__).parent / "tiny" if self.backbone == "elp:tiny" else Path(self.backbone)

    def bundle(self, slot: str, version: int) -> Path:
        """Return the bundle of a version: odd and even versions are the two bundles of a slot."""
        return self.root / f"{slot.replace('/', '-')}-{version % 2}"


class PlantChampions:
    """The champions in `champions.json` of a plant, which a benchmark changes."""

    name = "benchmark"

    def __init__(self, plant: ServedPlant) -> None:
        self._plant, self._path = plant, plant.root / "champions.json"

    def champions(self) -> dict[Slot, Champion | None]:
        """Return the version of each slot."""
        return {Slot.parse(name): Champion(version) for name, version in json.loads(self._path.read_text()).items()}

    def fetch(self, slot: Slot, version: int | str) -> FetchedBundle:
        """Return the folder of a version."""
        folder = self._plant.bundle(str(slot), int(version))
        return FetchedBundle(int(version), folder, bundle_digest(folder))

    def updates_stopped(self) -> str:
        """Return no reason: they never stop."""
        return ""

    def change(self, slot: str) -> None:
        """Make the next version of a slot its champion."""
        present = json.loads(self._path.read_text())
        write_whole(self._path, json.dumps({**present, slot: present[slot] + 1}))


def make_plant(root: Path, size: str, count: int, changing: int | None = None) -> ServedPlant:
    """Write a backbone of a size, and bundles of `count` slots whose adapters differ.

    The first `changing` slots have two, between which their champion changes; all of them without a number.
    """
    backbone = _backbone(size, root)
    slots = tuple(f"site-{number // len(TASKS)}/{TASKS[number % len(TASKS)]}" for number in range(count))
    plant = ServedPlant(root, backbone.id, slots)
    for number, slot in enumerate(slots):
        for version in (0, 1) if number < (count if changing is None else changing) else (1,):
            model = build(backbone, ElpConfig(), make_task(slot.partition("/")[2], random_clips()), 2 * number)
            generator = torch.Generator().manual_seed(2 * number + version)
            with torch.no_grad():
                for parameter in model.trainable().values():
                    parameter.add_(0.02 * torch.randn(parameter.shape, generator=generator))
            write_bundle(plant.bundle(slot, version), model.eval(), {"slot": slot}, {})
    values = {**asdict(plant), "root": str(root)}
    (root / "plant.json").write_text(json.dumps(values))
    (root / "champions.json").write_text(json.dumps(dict.fromkeys(slots, 1)))
    return plant


def make_clips(count: int, seconds: float) -> list[bytes]:
    """Return WAV files of noise, their lengths spread by 30 % around `seconds`."""
    rng, clips = np.random.default_rng(0), []
    for _ in range(count):
        target = io.BytesIO()
        samples = 0.1 * rng.standard_normal(round(16_000 * seconds * rng.uniform(0.7, 1.3)))
        soundfile.write(target, samples, 16_000, format="WAV")
        clips.append(target.getvalue())
    return clips


def choose(slots: Sequence[str], clips: int, requests: int, skew: float) -> list[tuple[int, str]]:
    """Return a clip and a slot for each request; `skew` is the exponent of the slots' popularity."""
    rng = np.random.default_rng(1)
    weights = (1.0 + np.arange(len(slots))) ** -skew
    chosen = rng.choice(len(slots), size=requests, p=weights / weights.sum())
    return [(int(rng.integers(clips)), slots[int(slot)]) for slot in chosen]


def expected_answers(
    plant: ServedPlant, clips: Sequence[bytes], changing: Sequence[str]
) -> Mapping[tuple[str, int], float]:
    """Return the probability of the likeliest class by digest of the bundle and clip, each computed alone.

    Of slots that are not `changing`, those of version 1.
    """
    from elp_core import audio
    from elp_core.inference import AdapterHost, Request

    host, found = AdapterHost(Backbone.from_pretrained(plant.backbone)), {}
    waves = [audio.load(clip) for clip in clips]
    for slot in plant.slots:
        for version in (0, 1) if slot in changing else (1,):
            host.load("one", plant.bundle(slot, version))
            for number, wave in enumerate(waves):
                found[host.digest("one"), number] = float(host.outputs([Request("one", wave)])[0].max())
            host.remove("one")
    return found


def _backbone(size: str, root: Path) -> Backbone:
    if size == "tiny":
        return Backbone.from_pretrained("elp:tiny")
    folder = root / "backbone"
    random_network(size, dropout=False).save_pretrained(folder)
    write_preprocessor(folder, do_normalize=False)
    return Backbone.from_pretrained(str(folder))
