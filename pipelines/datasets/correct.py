"""Correct words, speakers, labels, splits or groups of known clips: a new dataset version; the old one stays.

Shards are immutable: new shards replace those that hold such clips. The record of the version keeps a digest of the
words that a corrected clip had before: a later delivery with the old words is a repeat, and does not undo the
correction.
"""

import tempfile
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from elp_core.data.corpus import SCHEMA, write_shard
from elp_core.languages import LanguageConfig
from pipelines.datasets.changed_clips import changed_clips, rewritten_folder
from pipelines.datasets.checks import check_clips
from pipelines.datasets.corrections import Correction, Corrections, read_corrections, stored_clips
from pipelines.datasets.dataset_version import GOLDEN, QUARANTINE, SHARDS, DatasetVersion, GoldenRef
from pipelines.datasets.delivery import ClipFault
from pipelines.datasets.expectations import validate_rows
from pipelines.datasets.quarantine import read_quarantine
from pipelines.datasets.shard_rewriting import RewrittenFolder
from pipelines.datasets.shared_branch import on_newest_state
from pipelines.datasets.slot_change import SlotChange, require_space, slot_transaction, store_change
from pipelines.datasets.slot_language import rare_letters, require_same_language
from pipelines.datasets.slot_shards import present_files, restore_shards, slot_shards
from pipelines.datasets.transcripts import without_tags
from pipelines.datasets.validation_summary import ValidationSummary
from pipelines.datasets.versions import version_at
from pipelines.errors import DataRefused, UsageError
from pipelines.local.workspace import Workspace
from pipelines.registry.names import normal_name
from pipelines.registry.policies import TagRule
from pipelines.registry.slot import Slot

Shards = Mapping[str, Sequence[Path]]
"""Files by the name of their folder in the slot."""


@dataclass(frozen=True)
class Corrected:
    """What a file of corrections changed, or would change."""

    dataset: DatasetVersion
    """The new version; the newest one if nothing changes, or nothing was stored."""
    corrections: tuple[Correction, ...]
    rows: int
    """Rows of the file."""
    quarantined: int
    """Rows that name a file in quarantine."""
    golden_clips: int
    """Corrected clips that the golden set in force holds."""
    golden: GoldenRef | None = None
    """The new golden set; None if the golden set in force held none of the clips."""
    stored: bool = False
    """Whether a version was made."""


@on_newest_state
def correct_clips(
    workspace: Workspace, slot: Slot, file: Path, *, golden: bool = False, encoding: str = ""
) -> Corrected:
    """Make a new version of the slot's data with the corrections in `file`; without a change, make none.

    Clips of the golden set are corrected with `golden` only, and then in a new golden set. Raise IntakeError with the
    lines of rows that cannot be applied, UsageError if golden clips are among them, DataRefused if the corrected clips
    or the data as a whole would fail the checks of a delivery, WorkspaceError if the workspace cannot be changed now,
    VersioningError if Git or DVC failed; then nothing was changed.
    """
    with slot_transaction(workspace, slot) as stage:
        current = version_at(workspace, "latest", slot)
        restore_shards(workspace, slot, current, golden=True)
        shards = {name: slot_shards(workspace, slot, name) for name in (SHARDS, GOLDEN, QUARANTINE)}
        require_space(workspace.root, sum(path.stat().st_size for path in (*shards[SHARDS], *shards[GOLDEN])))
        found, change = _prepare(workspace, current, shards, file, stage, golden=golden, encoding=encoding)
        if change is None:
            return found
        stored = store_change(workspace, change)
    assert stored.dataset is not None
    return replace(found, dataset=stored.dataset, golden=stored.golden, stored=True)


def plan_corrections(
    workspace: Workspace, slot: Slot, file: Path, *, golden: bool = False, encoding: str = ""
) -> Corrected:
    """Return what `correct_clips` would change, with its checks and its errors; nothing of the workspace is changed."""
    current = version_at(workspace, "latest", slot)
    with tempfile.TemporaryDirectory(prefix="elp-plan-") as folder:
        stage = Path(folder)
        shards = {
            name: present_files(workspace, current, name, stage / "cache") for name in (SHARDS, GOLDEN, QUARANTINE)
        }
        return _prepare(workspace, current, shards, file, stage, stage / "docs", golden=golden, encoding=encoding)[0]


def _prepare(
    workspace: Workspace,
    current: DatasetVersion,
    shards: Shards,
    file: Path,
    stage: Path,
    docs: Path | None = None,
    *,
    golden: bool,
    encoding: str,
) -> tuple[Corrected, SlotChange | None]:
    """Read and check the corrections; nothing outside `stage` and the Data Docs is written."""
    slot, settings = current.slot, workspace.settings.for_slot(current.slot)
    require_same_language(current, settings.language)
    clips, pinned = stored_clips(shards[SHARDS]), stored_clips(shards.get(GOLDEN, ()))
    corrections = read_corrections(
        file,
        # a golden clip may have left the newest version's shards
        pinned | clips,
        lambda text: _in_normal_form(text, settings.data.tags, settings.language),
        encoding=encoding,
        withdrawn=current.withdrawn,
        quarantined={normal_name(clip.path) for clip in read_quarantine(shards.get(QUARANTINE, ()))},
        closed_set=settings.data.closed_set,
    )
    after = {one.after.id: one for one in corrections.found}
    golden_clips = len(after.keys() & pinned.keys())
    _refuse_golden(slot, corrections, pinned.keys(), allowed=golden)
    found = Corrected(current, corrections.found, corrections.rows, corrections.quarantined, golden_clips)
    if not after:
        return found, None
    staged = {SHARDS: rewritten_folder(shards[SHARDS], after, stage / SHARDS)}
    staged[GOLDEN] = rewritten_folder(shards.get(GOLDEN, ()), after, stage / GOLDEN, test_only=True)
    summary = _require_good_clips(workspace, current, after, staged, stage, docs)
    change = changed_clips(
        workspace, current, staged, corrections.found, summary, what="correct", rows=corrections.rows
    )
    return found, change


def _in_normal_form(text: str, tags: TagRule, language: LanguageConfig) -> str | ClipFault:
    words = without_tags(text, tags)
    return words if isinstance(words, ClipFault) else language.transcript(words)


def _refuse_golden(slot: Slot, corrections: Corrections, pinned: Collection[str], *, allowed: bool) -> None:
    lines = [one.line for one in corrections.found if one.before.id in pinned]
    if lines and not allowed:
        raise UsageError(
            f"{len(lines)} of the clips are in the golden set of {slot} (the first: line {lines[0]}); verdicts on it "
            "are out of date when it changes: add --golden to make a new golden set, or leave these rows out"
        )


def _require_good_clips(
    workspace: Workspace,
    current: DatasetVersion,
    after: Mapping[str, Correction],
    staged: Mapping[str, RewrittenFolder],
    stage: Path,
    docs: Path | None,
) -> ValidationSummary:
    """Check the corrected clips by the rules of intake; DataRefused names the lines of those that break one."""
    slot, shards = current.slot, staged[SHARDS]
    rows: dict[str, dict[str, Any]] = {}
    for shard in (path for folder in staged.values() for path in folder.arriving):
        # without the sound, which the rules do not read
        found = pq.read_table(shard, columns=[name for name in SCHEMA.names if name != "audio"]).to_pylist()
        rows |= {row["id"]: {**row, "audio": {"bytes": b"", "path": ""}} for row in found if row["id"] in after}
    part = write_shard([*rows.values()], stage / "corrected")
    rare = rare_letters(workspace.settings.for_slot(slot).language, current, shards.staying, shards.arriving)
    checked = check_clips([part], workspace, slot, "correct", validate_rows, docs, rare)
    bad = sorted((after[clip].line, fault) for clip, fault in checked.faults.items())
    if bad:
        raise DataRefused(
            str(slot), [f"line {line}: {fault.reason}: {fault.detail}" for line, fault in bad[:20]], "the correction"
        )
    return checked.summary
