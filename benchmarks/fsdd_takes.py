"""A smaller FSDD for benchmarks: as a source of an intake, or as clips with noise."""

from __future__ import annotations

import os
import re
import tarfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from elp_core.types import Clip

FIRST_TRAINING_TAKE = 10
"""Takes 0 to 4 are the test split, 5 to 9 the validation split, as published."""


def some_takes(folder: Path, takes: int) -> Path:
    """Return the source of an intake: the recordings up to some takes of training, taken out of the archive once."""
    if not folder.is_dir():
        kept = Path(__file__).resolve().parents[2] / "shared" / "data" / "fsdd.tar.gz"
        with tarfile.open(Path(os.environ.get("ELP_FSDD") or kept)) as archive:
            for member in archive:
                take = re.search(r"_(\d+)\.wav$", member.name)
                if take is None or int(take[1]) < FIRST_TRAINING_TAKE + takes:
                    archive.extract(member, folder, filter="data")
    found = next(folder.rglob("*.wav")).parent
    return found.parent if (found.parent / "recordings").is_dir() else found


def noisy_takes(source: Path, sizes: Sequence[int]) -> dict[str, list[Clip]]:
    """Return the clips of FSDD with noise by split, at most so many each; the order mixes speakers and digits."""
    from elp_core.audio import clip_id, encode_flac, load
    from elp_core.data.noise import factory_noise, mix
    from elp_core.types import Clip
    from pipelines.datasets.importers.fsdd import fsdd_clips

    rows = sorted(fsdd_clips(source), key=lambda one: (hash_of(one.path), one.path))
    found: dict[str, list[Clip]] = {"train": [], "validation": [], "test": []}
    limits = dict(zip(found, sizes, strict=True))
    for one in rows:
        split = one.split or "train"
        if len(found[split]) >= limits[split]:
            continue
        clean = load(one.audio)
        samples = mix(clean, factory_noise(len(clean), int(clip_id(clean)[:8], 16)), 5.0)
        audio, seconds = encode_flac(samples), len(samples) / 16_000
        found[split].append(Clip(clip_id(samples), audio, seconds, split, one.text, one.speaker, label=one.text))
    return found


def hash_of(name: str) -> float:
    """Return a place in [0, 1) that depends on a name only."""
    from elp_core.data.recordings import split_place

    return split_place(name)
