"""The reference of a slot: the scores of the blocks of its golden set under its champion, measured once and kept.

It is stored by the digest of what it was made from: bundle, backbone, golden set, dataset version, size of the blocks
and version of the measurements. A new champion or golden set makes another reference.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from elp_core.files import replacing_folder
from pipelines.errors import AttestationError, UsageError, WorkspaceError
from pipelines.monitoring.block_scores import DISTANCE, BlockScores, ScoredClip, score_blocks
from pipelines.monitoring.change_detector import ScoreReference
from pipelines.monitoring.feature_distance import FeatureDistance
from pipelines.registry.plain_json import shape_fault
from pipelines.registry.signing.canonical_json import canonical_json, parse_json, sha256

RECIPE = 1
"""Version of the measurements; a change of what a score means raises it."""
LEAST_BLOCKS = 5
FEW_BLOCKS = 30
"""With fewer blocks, the promise on false alarms holds, but many changes are found late."""
_VALUES, _DISTANCE = "reference.json", "distance.npz"


@dataclass(frozen=True)
class ReferenceSource:
    """What a reference is made from."""

    slot: str
    version: int
    """Version of the champion."""
    bundle: str
    backbone: str
    """Fingerprint."""
    golden: str
    """Tag of the golden set."""
    golden_digest: str
    dataset: str
    """Tag of the dataset version whose train split has the usual features."""
    block_clips: int
    recipe: int = RECIPE

    @property
    def key(self) -> str:
        """Return the name of the reference: a digest of all its sources."""
        return sha256(canonical_json(asdict(self)))[:16]


@dataclass(frozen=True, eq=False)
class ReferenceRecord:
    """The scores of the golden set's blocks, and the distance that is part of them."""

    source: ReferenceSource
    blocks: tuple[BlockScores, ...]
    distance: FeatureDistance
    errors: tuple[float, ...] | None = None
    """The champion's error on each block: the mean over its clips, at most 1 a clip; None for a task that compares."""

    @property
    def names(self) -> tuple[str, ...]:
        """Return the names of the scores, sorted."""
        return tuple(sorted(self.blocks[0].scores))

    def score(self, name: str) -> ScoreReference:
        """Return the reference of one score."""
        blocks = [block.block for block in self.blocks]
        return ScoreReference.of(name, blocks, [block.scores[name] for block in self.blocks])

    def scored(self, clips: Sequence[ScoredClip]) -> tuple[list[BlockScores], dict[str, int]]:
        """Return the blocks of new clips under the scores of this reference, and the blocks with too few clips."""
        measured = [name for name in self.names if name != DISTANCE]
        found = score_blocks(clips, self.source.block_clips, measured, self.distance)
        return list(found.scored), dict(found.short)


def make_reference(
    source: ReferenceSource,
    golden: Sequence[ScoredClip],
    usual: Sequence[ScoredClip],
    errors: Mapping[str, float] | None = None,
) -> ReferenceRecord:
    """Return the reference of measured golden clips, whose blocks are set; `usual` are clips of the train split.

    `errors` are the champion's errors on the golden clips, by clip.

    Raises:
        UsageError: There are fewer than 5 blocks, or too few usual clips.
    """
    distance = FeatureDistance.fit([clip.features for clip in usual if clip.features is not None])
    names = sorted(golden[0].measurements) if golden else []
    found = score_blocks(golden, source.block_clips, names, distance)
    if len(found.scored) < LEAST_BLOCKS:
        raise UsageError(
            f"{source.golden} gives {len(found.scored)} blocks of {source.block_clips} clips ({len(found.short)} "
            f"speakers have fewer clips), expected {LEAST_BLOCKS} or more; lower monitor.block_clips of {source.slot} "
            "in elp.yaml, or pin a golden set with more speakers"
        )
    if errors is None:
        return ReferenceRecord(source, found.scored, distance)
    means = tuple(math.fsum(errors[clip] for clip in block.clips) / len(block.clips) for block in found.scored)
    return ReferenceRecord(source, found.scored, distance, means)


def save_reference(folder: Path, record: ReferenceRecord) -> Path:
    """Write a reference below `folder`, in a folder of its key."""
    target = folder / record.source.key
    blocks = [{"block": one.block, "clips": list(one.clips), "scores": dict(one.scores)} for one in record.blocks]
    with replacing_folder(target) as scratch:
        values = {"source": asdict(record.source), "blocks": blocks, "errors": record.errors}
        content = json.dumps(values, indent=1, sort_keys=True)
        (scratch / _VALUES).write_text(content, encoding="utf-8")
        np.savez(scratch / _DISTANCE, mean=record.distance.mean, precision=record.distance.precision)
    return target


def load_reference(folder: Path, source: ReferenceSource) -> ReferenceRecord | None:
    """Return the reference of these sources, or None if it was not measured on this machine.

    Raises:
        WorkspaceError: It is damaged.
    """
    found = folder / source.key
    if not found.is_dir():
        return None
    try:
        values = parse_json((found / _VALUES).read_bytes(), str(found / _VALUES))
        with np.load(found / _DISTANCE, allow_pickle=False) as stored:
            distance = FeatureDistance(stored["mean"], stored["precision"])
        blocks = tuple(_block(one) for one in values["blocks"])
        errors = None if values["errors"] is None else tuple(float(one) for one in values["errors"])
        if ReferenceSource(**values["source"]) != source:
            raise ValueError("it names other sources than its folder")
    except (OSError, ValueError, KeyError, TypeError, EOFError, AttestationError) as error:
        raise WorkspaceError(
            f"{found} is no reference of the monitor ({shape_fault(error)}); delete it, and it is measured again"
        ) from error
    return ReferenceRecord(source, blocks, distance, errors)


def _block(values: dict[str, Any]) -> BlockScores:
    scores = {str(name): float(value) for name, value in values["scores"].items()}
    return BlockScores(str(values["block"]), tuple(map(str, values["clips"])), scores)
