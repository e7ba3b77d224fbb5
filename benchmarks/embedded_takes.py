"""Both sites of the embedded corpus for benchmarks, in any amount: espeak-ng speaks them once."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Literal

from elp_core.types import Clip
from pipelines.datasets.delivery import SourceClip
from pipelines.demo.corpus import SITES, DeliveryPlan, write_delivery


def embedded_takes(
    folder: Path, per_speaker: int, label: Literal["", "intent"], encoded: Callable[[SourceClip], Clip]
) -> dict[str, list[Clip]]:
    """Return the clips of both sites by split, in an order that mixes speakers."""
    found: dict[str, list[Clip]] = {"train": [], "validation": [], "test": []}
    for number, site in enumerate(SITES):
        place = folder / f"{site.name}-{label or 'words'}-{per_speaker}"
        manifest = write_delivery(
            site, DeliveryPlan("bench", per_speaker, label=label), place, seed=1 + number, progress=print
        )
        rows = map(json.loads, manifest.read_text(encoding="utf-8").splitlines())
        for row in sorted(rows, key=lambda row: hashlib.sha256(row["audio_filepath"].encode()).digest()):
            words = {"text": row["text"], "speaker": row["speaker"], "label": row.get("label", "")}
            source = SourceClip(row["audio_filepath"], place / row["audio_filepath"], split=row["split"], **words)
            found[row["split"]].append(encoded(source))
    return found
