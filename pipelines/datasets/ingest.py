"""Take a delivery in: read, measure, check, quarantine, version. The same delivery twice makes one version."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from elp_core.types import Seconds
from pipelines.datasets.checks import check_clips, set_faults
from pipelines.datasets.dataset_version import GOLDEN, QUARANTINE, SHARDS, DatasetVersion
from pipelines.datasets.delivery_options import DeliveryOptions, delivery_options
from pipelines.datasets.gather import Gathered, Progress, Totals, gather, keep, read_known, select, totals
from pipelines.datasets.golden_set import golden_record, golden_versions
from pipelines.datasets.importers.formats import choose
from pipelines.datasets.measuring import Recipe
from pipelines.datasets.next_version import dataset_record, number_after, pinned_golden, version_change
from pipelines.datasets.quarantine import read_quarantine, reasons, write_quarantine
from pipelines.datasets.slot_files import bring_back, files
from pipelines.datasets.source_clip import Fault, Importer, SourceClip
from pipelines.datasets.survey import Survey, survey
from pipelines.datasets.transaction import Change, disk_guard, exclusive, recover, staging, store
from pipelines.datasets.versions import newest, version_at
from pipelines.errors import DataRefused
from pipelines.local import git
from pipelines.local.workspace import Workspace
from pipelines.registry.policies import DataPolicy
from pipelines.registry.slot import Slot


@dataclass(frozen=True)
class Delivery:
    """One delivery on its way in, and what it comes into."""

    workspace: Workspace
    slot: Slot
    source: Path
    importer: Importer
    options: DeliveryOptions
    policy: DataPolicy
    survey: Survey
    current: DatasetVersion | None
    """The slot's newest version."""

    def clips(self) -> Iterator[SourceClip]:
        """The clips, again from the start at every call."""
        return self.importer.read(self.source)

    def files(self, name: str) -> list[Path]:
        """Parquet files of a folder of the slot."""
        return files(self.workspace, self.slot, name)


@dataclass(frozen=True)
class Outcome:
    """Staged files of a delivery that passed, and its figures."""

    shards: list[Path]
    quarantine: list[Path]
    golden: list[Path]
    faults: Mapping[int, Fault]
    gathered: Gathered
    repeats: int
    summary: Mapping[str, Any]
    totals: Totals
    """Of all the slot's data, the new included."""


def ingest(
    workspace: Workspace,
    slot: Slot,
    source: Path,
    importer: str | None = None,
    options: Mapping[str, Any] | None = None,
    progress: Progress | None = None,
) -> DatasetVersion:
    """Take `source` into the slot as a new dataset version.

    Args:
        workspace: the workspace.
        slot: the slot.
        source: a manifest, folder or archive.
        importer: name of its format; None finds out.
        options: `noise`, `snr`, `condition` (see `pipelines.datasets.delivery_options`).
        progress: called with clips done, clips in all, seconds of audio done.

    Returns:
        The new version, or the newest one where the delivery brought nothing new.

    Raises:
        UsageError: an unknown format or option.
        IntakeError: the source cannot be read as its format.
        DataRefused: the data as a whole failed its checks.
        WorkspaceError: no identity, a dirty tree, a full disk, another run that does not end.
        VersioningError: Git or DVC failed; nothing was changed.
    """
    chosen = choose(source, importer)
    wanted = delivery_options(options or {})
    policy = workspace.settings.for_slot(slot).data
    with exclusive(workspace):
        recover(workspace, slot)
        git.require_identity(workspace.root)
        git.require_clean(workspace.root, slot.folder)
        current = newest(workspace, slot)
        looked = survey(chosen.read(source), wanted, policy)
        if current and any(one["key"] == looked.key for one in current.deliveries):
            return current
        delivery = Delivery(workspace, slot, source, chosen, wanted, policy, looked, current)
        with disk_guard(workspace.root, 2 * looked.size), staging(workspace, slot) as stage:
            bring_back(workspace, slot, current)
            outcome = _prepare(delivery, stage, progress or _silent)
            if not outcome.shards and not outcome.quarantine and current:
                return current
            store(workspace, _change(delivery, outcome))
    return version_at(workspace, "latest", slot)


def _prepare(delivery: Delivery, stage: Path, progress: Progress) -> Outcome:
    """Read, measure and check a delivery; nothing outside `stage` and the Data Docs is written."""
    slot, policy, name = delivery.slot, delivery.policy, delivery.survey.delivery
    present = delivery.files(SHARDS)
    recipe = Recipe(policy, delivery.options, name)
    known = read_known(present)
    withdrawn = frozenset(delivery.current.withdrawn) if delivery.current else frozenset()
    gathered = gather(delivery.clips(), delivery.survey.clips, recipe, known, stage / "parts", progress, withdrawn)
    checked = check_clips(gathered.parts, delivery.workspace, slot, name)
    faults = gathered.faults | {gathered.indices[clip]: fault for clip, fault in checked.faults.items()}
    # a copy of a bad clip is bad for the same reason, whatever its words
    faults |= {one.place: checked.faults[one.id] for one in gathered.again if one.id in checked.faults}
    again = [one for one in gathered.again if one.id not in checked.faults]
    shards = keep(gathered.parts, set(checked.faults), stage / SHARDS)
    figures = totals([*present, *shards])
    wrong = set_faults(
        slot,
        policy,
        delivered=delivery.survey.clips,
        quarantined=[faults[index] for index in sorted(faults)],
        conflicts=[one.conflict for one in again if one.conflict],
        speakers=figures.speakers,
        shared=figures.shared,
        classes=figures.classes,
    )
    if wrong:
        raise DataRefused(str(slot), wrong)
    quarantine = write_quarantine(
        delivery.clips(), _not_yet_kept(delivery, faults), delivery.survey.digests, name, stage / QUARANTINE
    )
    golden = [] if pinned_golden(delivery.workspace, slot) else select([*present, *shards], "test", stage / GOLDEN)
    return Outcome(shards, quarantine, golden, faults, gathered, len(again), checked.summary, figures)


def _not_yet_kept(delivery: Delivery, faults: Mapping[int, Fault]) -> dict[int, Fault]:
    """Faults of clips that are not in quarantine for the same reason already."""
    kept = {(one.sha256, one.path, one.reason) for one in read_quarantine(delivery.files(QUARANTINE))}
    paths = {index: clip.path for index, clip in enumerate(delivery.clips()) if index in faults} if kept else {}
    return {
        index: fault
        for index, fault in faults.items()
        if (delivery.survey.digests[index], paths.get(index, ""), fault.reason) not in kept
    }


def _change(delivery: Delivery, outcome: Outcome) -> Change:
    slot, new = delivery.slot, len(outcome.gathered.indices) - outcome.summary["failed"]
    version, golden = number_after(delivery.current), None
    if outcome.golden:
        number, shared = golden_versions(delivery.workspace, slot) + 1, bool(outcome.totals.shared)
        golden = golden_record(slot, number, outcome.golden, slot.tag(version), closed_set=shared)
    record = _record(delivery, outcome, new, golden.tag if golden else pinned_golden(delivery.workspace, slot))
    arriving = {SHARDS: outcome.shards, QUARANTINE: outcome.quarantine, GOLDEN: outcome.golden}
    return version_change(record, golden, arriving, {}, f"Add {new} clips to {slot} (v{version})")


def _record(delivery: Delivery, outcome: Outcome, new: int, golden: str) -> DatasetVersion:
    current = delivery.current
    counts = dict(current.quarantine) if current else {}
    for reason, count in reasons(outcome.faults.values()).items():
        counts[reason] = counts.get(reason, 0) + count
    entry = {
        "key": delivery.survey.key,
        "name": delivery.survey.delivery,
        "source": delivery.source.resolve().name,
        "importer": delivery.importer.name,
        "options": asdict(delivery.options),
        "delivered": delivery.survey.clips,
        "clips": new,
        "seconds": round(outcome.gathered.seconds, 3),
        "quarantined": len(outcome.faults),
        "repeats": outcome.repeats,
        "withdrawn": outcome.gathered.withdrawn,
    }
    return dataset_record(
        delivery.slot,
        current,
        outcome.totals,
        entry,
        shards=[*delivery.files(SHARDS), *outcome.shards],
        quarantine=counts,
        golden=golden,
        validation=outcome.summary,
        withdrawn=current.withdrawn if current else (),
    )


def _silent(done: int, total: int, seconds: Seconds) -> None:
    """Progress that nobody asked for."""
