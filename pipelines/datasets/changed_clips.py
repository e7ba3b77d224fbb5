"""Store clips whose words or splits changed: new shards in place of those that hold them, the records, the trials."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from pipelines.datasets.checks import require_good_set
from pipelines.datasets.corrections import Correction, with_earlier_words
from pipelines.datasets.dataset_version import (
    GOLDEN,
    SHARDS,
    TRIALS_FILE,
    DatasetVersion,
    PinnedTrials,
)
from pipelines.datasets.own_change import record_change
from pipelines.datasets.shard_rewriting import RewrittenFolder, rewrite_folder
from pipelines.datasets.shard_totals import count_shards
from pipelines.datasets.slot_change import SlotChange
from pipelines.datasets.slot_language import added_units, next_units
from pipelines.datasets.slot_shards import next_records, pinned_golden
from pipelines.datasets.validation_summary import ValidationSummary
from pipelines.datasets.versions import golden_ref
from pipelines.errors import DataRefused
from pipelines.local.workspace import Workspace
from pipelines.number_text import count
from pipelines.registry.slot import Slot

Operation = Literal["correct", "resplit"]
_NAMES: dict[Operation, tuple[str, str]] = {
    "correct": ("(corrected)", "the correction"),
    "resplit": ("(resplit)", "the resplit"),
}
"""For each operation, the source that the record of its version names, and what a refusal calls it."""


def rewritten_folder(
    shards: Sequence[Path], after: Mapping[str, Correction], stage: Path, *, test_only: bool = False
) -> RewrittenFolder:
    """Write new shards in place of those that hold corrected clips; with `test_only`, clips of other splits leave."""

    def rewrite(row: dict[str, Any]) -> dict[str, Any] | None:
        now = _corrected(row, after)
        # a clip that its speaker's other split takes along is no test clip any more
        return now if not test_only or now["id"] not in after or now["split"] == "test" else None

    return rewrite_folder(shards, after.__contains__, rewrite, stage)


def _corrected(row: dict[str, Any], after: Mapping[str, Correction]) -> dict[str, Any]:
    one = after.get(row["id"])
    return row | {name: getattr(one.after, name) for name in one.changes} if one else row


def changed_clips(
    workspace: Workspace,
    current: DatasetVersion,
    staged: Mapping[str, RewrittenFolder],
    found: Sequence[Correction],
    summary: ValidationSummary,
    *,
    what: Operation,
    rows: int,
) -> SlotChange:
    """Return the change that stores corrected clips; `what` names the operation, and `rows` counts what it was given.

    DataRefused: the data as a whole would be bad, or no golden clip would be left.
    """
    source, step = _NAMES[what]
    slot, number, golden = current.slot, current.version + 1, staged[GOLDEN]
    totals = count_shards(staged[SHARDS].files)
    require_good_set(workspace, slot, totals, delivered=len(found), quarantined=[], step=step)
    if golden.leaving and not golden.files:
        left = f"no clip of {pinned_golden(workspace, slot)} would be left; add test clips first"
        raise DataRefused(str(slot), [left], step)
    renewed = bool(golden.leaving or golden.arriving)
    pinned = _kept_trials(workspace, slot, found, what) if renewed and pinned_golden(workspace, slot) else None
    language = workspace.settings.for_slot(slot).language
    # a corrected transcript can have a letter that the slot has no unit for yet
    units = next_units(slot, language, current, staged[SHARDS].staying, staged[SHARDS].arriving)
    words = sorted(f"{one.after.id} {one.after.digest}" for one in found)
    figures = {"delivered": rows, "repeats": len(found), "new_units": added_units(current, units)}
    delivery = record_change(what, source, number, [what, str(number), *words], **figures)
    version, ref = next_records(
        workspace,
        slot,
        current,
        delivery,
        totals,
        golden=golden.files if renewed else [],
        quarantine=current.quarantine,
        validation=summary,
        withdrawn=current.withdrawn,
        corrected=with_earlier_words(current.corrected, found),
        language=current.language,
        units=units,
        trials=pinned,
    )
    arriving = {name: folder.arriving for name, folder in staged.items()}
    leaving = {name: folder.leaving for name, folder in staged.items()}
    # names and transcripts stay out of Git, whose history cannot be erased
    subject = f"{what.capitalize()} {count(len(found), 'clip')} of {slot} (v{number})"
    text = (workspace.root / slot.folder / TRIALS_FILE).read_text(encoding="utf-8") if pinned else ""
    return SlotChange(slot, subject, version, ref, arriving, leaving, text)


def _kept_trials(workspace: Workspace, slot: Slot, found: Sequence[Correction], what: Operation) -> PinnedTrials | None:
    """Return the trials of the golden set in force, which new words do not change; None if it has no list.

    DataRefused if a golden clip may leave, or a trial may contradict its speaker.
    """
    pinned = golden_ref(workspace, "latest", slot)
    if pinned.trials and what == "resplit":
        # their file names the clips of the set by their places
        fault = (
            f"{pinned.tag} has the trials {pinned.trials.name}, which are between its clips; leave --golden out, so "
            "that this set stays"
        )
        raise DataRefused(str(slot), [fault], _NAMES[what][1])
    if pinned.trials and any({"speaker", "split"} & one.changes.keys() for one in found):
        fault = (
            f"{pinned.tag} has the trials {pinned.trials.name}, which depend on the speakers of its clips; "
            "correct the clips of other splits alone, or pin a golden set without this list first"
        )
        raise DataRefused(str(slot), [fault], _NAMES[what][1])
    return pinned.trials
