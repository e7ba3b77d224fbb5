"""Whether a golden set was heard in training."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from elp_core.types import Clip
from pipelines.datasets.versions import load_split
from pipelines.registry.adapter_version import AdapterVersion
from pipelines.registry.lineage import Lineage, ids_digest
from pipelines.registry.verdict import Check


def overlap_checks(
    repository: str, version: AdapterVersion, bundle: Path, golden: Sequence[Clip], closed_set: bool, cache: Path
) -> tuple[Check, Check]:
    """Whether a clip, or in an open set a speaker, of the golden set was heard in training.

    What was heard is read again from the dataset version that the bundle's lineage names, and must have the digest
    that the lineage gives.

    Args:
        repository: the workspace's Git repository.
        version: whose training.
        bundle: its folder.
        golden: clips of the golden set.
        closed_set: the golden set's speakers were declared as heard in training.
        cache: folder for fetched data.
    """
    lineage = Lineage.from_json(json.loads((bundle / "lineage.json").read_text(encoding="utf-8")))
    tag = lineage.dataset.tag
    heard = load_split(repository, tag, version.slot, ("train", "validation"), cache, "meta")
    same = ids_digest(clip.id for clip in heard) == lineage.training.ids
    shared = {clip.id for clip in heard} & {clip.id for clip in golden}
    if not same:
        detail = f"the clips of {tag} are not those the bundle's lineage says it was trained on"
    else:
        detail = f"{len(shared)} of {len(golden)} golden clips are among the {len(heard)} that training used ({tag})"
    speakers = {clip.speaker for clip in golden} - {""}
    known = {clip.speaker for clip in heard} & speakers
    told = f"{len(known)} of {len(speakers)} golden speakers were heard in training"
    if closed_set:
        told += "; the data is declared a closed set, so the error rates hold for known speakers only"
    return (
        Check("no clip in training", same and not shared, detail),
        Check("speakers", closed_set or not known, told),
    )
