"""What a delivery would bring: read, measured and checked as at intake, and nothing of the workspace is changed."""

import tempfile
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from elp_core.types import Seconds
from pipelines.datasets.aligned_delivery import Aligner, align_delivery, require_not_aligned, with_aligner
from pipelines.datasets.alignment import Alignment
from pipelines.datasets.dataset_version import QUARANTINE, SHARDS, DatasetVersion
from pipelines.datasets.delivery import delivery_options
from pipelines.datasets.expectations import validation_process
from pipelines.datasets.importers import accepting, choose_importer
from pipelines.datasets.judged_delivery import JudgedDelivery, judge_delivery, read_for_slot
from pipelines.datasets.measuring import IntakeSettings
from pipelines.datasets.name_warnings import name_warnings
from pipelines.datasets.quarantine import count_reasons, not_held, read_quarantine
from pipelines.datasets.shard_totals import count_shards
from pipelines.datasets.slot_shards import present_files
from pipelines.datasets.staging import Progress
from pipelines.datasets.versions import find_latest
from pipelines.local.workspace import Workspace
from pipelines.registry.names import normal_name
from pipelines.registry.slot import Slot


@dataclass(frozen=True)
class IntakePlan:
    """What intake would do with a delivery."""

    slot: Slot
    source: str
    importer: str
    also: tuple[str, ...]
    """Other formats that accept the source, too; they come later in the order of the formats."""
    protocol: str
    """Name of the published evaluation protocol that the splits follow, if the format has one."""
    version: str
    """The dataset version that it would make, such as ``v2``; empty if nothing of it is new."""
    delivered: int
    """Clips in the source."""
    clips: int
    """New clips."""
    seconds: Seconds
    """Audio of the new clips."""
    speakers: int
    """Speakers of the new clips."""
    new_speakers: int
    """Those of them that the slot does not have yet."""
    splits: Mapping[str, int]
    """New clips by split."""
    split_seconds: Mapping[str, float]
    labels: Mapping[str, int]
    """New clips by label."""
    conditions: Mapping[str, int]
    """New clips by recording condition."""
    groups: Mapping[str, Mapping[str, int]]
    """New clips by value, for each key of groups."""
    repeats: int
    """Clips that the slot has already, or that occur more than once in the delivery."""
    withdrawn: int
    """Clips that were dropped earlier and stay out."""
    quarantine: Mapping[str, int]
    """Clips that cannot be used, by reason."""
    details: Mapping[str, str]
    """The first of them for each reason: its name and what is wrong with it."""
    refused: tuple[str, ...]
    """Why the delivery as a whole would be refused; empty if it would be taken in."""
    warnings: tuple[str, ...] = ()
    """Names of the slot that look like another name, or like a missing value, with the new clips; and groups of known
    clips that would not be stored, and groups that are new in the slot."""
    needs: tuple[str, ...] = ()
    """What the slot then lacks for a training and a verdict, the remedy last."""
    filled: Mapping[str, int] = field(default_factory=dict)
    """Clips by split that the rule for small slots places there."""
    alignment: Alignment | None = None
    """What would cut its recordings into clips."""

    @property
    def quarantined(self) -> int:
        """Return how many clips cannot be used."""
        return sum(self.quarantine.values())


def plan_delivery(
    workspace: Workspace,
    slot: Slot,
    source: Path,
    importer: str | None = None,
    options: Mapping[str, Any] | None = None,
    progress: Progress | None = None,
    *,
    fresh: bool = False,
    aligner: Aligner | None = None,
) -> IntakePlan:
    """Read, measure and check a delivery without a change of the workspace; arguments and errors as `add_delivery`.

    `fresh`: the slot has no data, so that no repository is needed. A delivery that would be refused as a whole raises
    nothing: `IntakePlan.refused` has the reasons.
    """
    checked = delivery_options(options or {})
    chosen = choose_importer(source, importer, checked.format_options)
    others = [one.name for one in accepting(source) if one.name != chosen.name]
    current = None if fresh else find_latest(workspace, slot)
    with tempfile.TemporaryDirectory(prefix="elp-plan-") as folder, validation_process() as validate:
        stage = Path(folder)
        content = read_for_slot(workspace, slot, current, source, chosen, checked, stage / "members")
        present, held = (
            present_files(workspace, current, name, stage / "cache") if current else [] for name in (SHARDS, QUARANTINE)
        )
        content = with_aligner(content, aligner) if aligner else content
        if not content.known(current.delivery_keys if current else ()):
            own = workspace.settings.for_slot(slot)
            if aligner:
                settings = IntakeSettings(own.data, content.options, content.name, own.language)
                content = align_delivery(content, aligner, current, present, settings)
            else:
                require_not_aligned(content, own.language, current)
        judged = judge_delivery(workspace, slot, current, content, present, stage, validate, progress, dry_run=True)
        changes = bool(judged.shards or not_held(judged.quarantined(), read_quarantine(held)))
        return _plan(slot, current, judged, present, tuple(others), changes=changes)


def _plan(
    slot: Slot,
    current: DatasetVersion | None,
    judged: JudgedDelivery,
    present: list[Path],
    also: tuple[str, ...],
    *,
    changes: bool,
) -> IntakePlan:
    content, faults = judged.content, judged.faults
    new, known = count_shards(judged.shards), content.known(current.delivery_keys if current else ())
    details: dict[str, str] = {}
    for position, fault in faults.items():
        details.setdefault(fault.reason, f"{content.clips[position].path}: {fault.detail}")
    labels: Counter[str] = Counter()
    for counted in new.classes.values():
        labels.update(counted)
    speakers, kept = _speakers(judged.shards), f"; see all with: elp data quarantine {slot}"
    return IntakePlan(
        slot=slot,
        source=content.source,
        importer=content.importer,
        also=also,
        protocol=content.protocol,
        version="" if known or not changes else f"v{current.version + 1 if current else 1}",
        delivered=len(content.clips),
        clips=len(new.ids),
        seconds=round(new.seconds, 3),
        speakers=len(speakers),
        new_speakers=len(speakers - _speakers(present)),
        splits=new.splits,
        split_seconds=new.split_seconds,
        labels=dict(sorted(labels.items())),
        conditions=new.conditions,
        groups=new.groups,
        repeats=len(judged.repeats),
        withdrawn=judged.staged.withdrawn,
        quarantine=count_reasons(faults.values()),
        details=details,
        # nothing keeps the list of what was not delivered
        refused=() if known else tuple(text.replace(kept, "") for text in judged.refused),
        warnings=(*name_warnings(judged.totals.names), *filter(None, [judged.ungrouped, _new(judged.new_groups)])),
        needs=tuple(judged.needs),
        filled=judged.moved,
        alignment=judged.alignment,
    )


def _new(groups: Sequence[str]) -> str:
    return f"groups that the slot has no clip of yet: {', '.join(groups)}" if groups else ""


def _speakers(shards: Sequence[Path]) -> set[str]:
    """Return the speakers that shards name."""
    names = {name for shard in shards for name in pq.read_table(shard, columns=["speaker"])["speaker"].to_pylist()}
    return {normal_name(name) for name in names} - {""}
