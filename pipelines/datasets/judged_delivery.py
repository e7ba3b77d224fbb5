"""A delivery that was read, measured and checked for its slot: intake stores what is good, a dry run reports it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from elp_core.languages import LanguageConfig
from pipelines.datasets.checks import CheckedClips, check_clips, set_faults
from pipelines.datasets.dataset_version import SHARDS, DatasetVersion
from pipelines.datasets.delivery import ClipFault, DeliveryContent, DeliveryOptions, Importer, read_delivery
from pipelines.datasets.expectations import Validate
from pipelines.datasets.measuring import IntakeSettings
from pipelines.datasets.slot_language import rare_letters, require_same_language
from pipelines.datasets.slot_shards import ShardTotals, count_shards, without_clips
from pipelines.datasets.staging import Progress, Repeat, StagedClips, stage_clips
from pipelines.datasets.transcripts import apply_transcript_rules
from pipelines.local.workspace import Workspace
from pipelines.registry.slot import Slot


@dataclass(frozen=True)
class JudgedDelivery:
    """The clips of a delivery, the good ones in shards, and whether it is good as a whole."""

    content: DeliveryContent
    language: LanguageConfig
    staged: StagedClips
    checked: CheckedClips
    faults: dict[int, ClipFault]
    """Of each bad clip, by its position in the delivery."""
    repeats: list[Repeat]
    """Of good clips."""
    shards: list[Path]
    """With the good, new clips."""
    totals: ShardTotals
    """Of all the slot's data with them."""
    refused: list[str]
    """Why the delivery is refused as a whole; empty if it is good."""


def read_for_slot(
    workspace: Workspace,
    slot: Slot,
    current: DatasetVersion | None,
    source: Path,
    importer: Importer,
    options: DeliveryOptions,
    spool: Path,
) -> DeliveryContent:
    """Read a delivery as `read_delivery` does, and apply the slot's rules on languages and tags.

    Raise UsageError if `current`, the slot's newest version, is in another language than the settings declare.
    """
    own = workspace.settings.for_slot(slot)
    if current:
        require_same_language(current, own.language)
    content = read_delivery(source, importer, options, own.data, spool, own.language)
    return apply_transcript_rules(content, slot, own.data.tags, own.language.code)


def judge_delivery(
    workspace: Workspace,
    slot: Slot,
    current: DatasetVersion | None,
    content: DeliveryContent,
    present: Sequence[Path],
    stage: Path,
    validate: Validate,
    progress: Progress | None = None,
    *,
    dry_run: bool = False,
) -> JudgedDelivery:
    """Measure and check a delivery; `present` are the shards of `current`.

    Nothing is written outside the folder `stage`, but for the Data Docs; a dry run writes them to `stage`, too, and
    leaves the sound out of the shards.
    """
    own = workspace.settings.for_slot(slot)
    settings = IntakeSettings(own.data, content.options, content.name, own.language)
    withdrawn, corrected = (frozenset(current.withdrawn), current.corrected) if current else (frozenset(), {})
    staged = stage_clips(content, settings, present, stage / "parts", progress, withdrawn, corrected, audio=not dry_run)
    withheld = {
        clip: fault for clip, index in staged.indices.items() if (fault := content.clips[index].withheld) is not None
    }
    rare = rare_letters(own.language, current, present, staged.parts)
    docs = stage / "docs" if dry_run else None
    checked = check_clips(staged.parts, workspace, slot, content.name, validate, docs, rare)
    checked = replace(checked, faults={**checked.faults, **withheld})
    found = staged.faults | {staged.indices[clip]: fault for clip, fault in checked.faults.items()}
    # a copy of a bad clip is bad for the same reason, whatever its words are
    found |= {repeat.position: checked.faults[repeat.id] for repeat in staged.repeats if repeat.id in checked.faults}
    faults = dict(sorted(found.items()))
    repeats = [one for one in staged.repeats if one.id not in checked.faults]
    shards = without_clips(staged.parts, checked.faults.keys(), stage / SHARDS)
    totals = count_shards([*present, *shards])
    refused = set_faults(
        workspace,
        slot,
        totals,
        delivered=len(content.clips),
        quarantined=[*faults.values()],
        conflicts=_conflicts(slot, repeats),
    )
    return JudgedDelivery(content, own.language, staged, checked, faults, repeats, shards, totals, refused)


def _conflicts(slot: Slot, repeats: Sequence[Repeat]) -> list[str]:
    """Return a sentence on each sound that was delivered with other words, and what to do about stored ones."""
    found = [repeat.conflict for repeat in repeats if repeat.conflict]
    if any(repeat.conflict and repeat.stored for repeat in repeats):
        remedy = f"if the new words are right, correct the stored ones first: elp data correct {slot} FILE"
        # in the first one, because only the first few are shown
        found[0] += f" ({remedy})"
    return found
