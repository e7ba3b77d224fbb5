"""The embedded corpus for benchmarks, in any amount: espeak-ng speaks it once."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

from elp_core.files import write_whole
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


def site_to_tune(folder: Path, label: Literal["", "intent", "emotion"], learned: int, judged: int) -> Path:
    """Return the manifest of the plant with 20 speakers to train on, 10 to validate and 2 to test.

    A training speaker says `learned` sentences, each other one `judged`.
    """
    manifest, rows = folder / "manifest.jsonl", list[dict[str, Any]]()
    if manifest.is_file():
        return manifest
    plans = (
        DeliveryPlan("learned", learned, ("train",), label=label),
        DeliveryPlan("judged", judged, ("validation", "test"), label=label),
    )
    for seed, plan in enumerate(plans, start=1):
        said = write_delivery(SITES[0], plan, folder / plan.name, seed=seed, progress=print)
        for row in map(json.loads, said.read_text(encoding="utf-8").splitlines()):
            rows.append(row | {"audio_filepath": f"{plan.name}/{row['audio_filepath']}"})
    tested = sorted({row["speaker"] for row in rows if row["split"] == "test"})
    for row in rows:
        if row["speaker"] in tested[2:]:
            row["split"] = "validation"
    write_whole(manifest, "".join(json.dumps(row) + "\n" for row in rows))
    return manifest
