"""Drop the pseudo-labels of one adapter, or of one delivery, as a whole: a new dataset version without these clips.

A recording without its pseudo-label is an unlabelled recording again, so it is not withdrawn: a later delivery in which
a person labels it is taken in. The golden set never holds such clips.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipelines.datasets.checks import require_good_set
from pipelines.datasets.dataset_version import DROP_TAUGHT, SHARDS, DatasetVersion
from pipelines.datasets.own_change import record_change
from pipelines.datasets.shard_columns import read_columns
from pipelines.datasets.shard_rewriting import RewrittenFolder, rewrite_folder
from pipelines.datasets.shard_totals import count_shards
from pipelines.datasets.shared_branch import on_newest_state
from pipelines.datasets.slot_change import SlotChange, require_space, slot_transaction, store_change
from pipelines.datasets.slot_language import pinned_units, require_same_language
from pipelines.datasets.slot_shards import next_records, restore_shards, slot_shards
from pipelines.datasets.versions import version_at
from pipelines.errors import DataRefused, UsageError
from pipelines.local.workspace import Workspace
from pipelines.number_text import count
from pipelines.registry.slot import Slot

_MIN_DIGITS = 8


@dataclass(frozen=True)
class TaughtClips:
    """The clips that one adapter labelled, or those of one delivery that an adapter labelled."""

    teacher: str = ""
    """Digest of the bundle, or its beginning of 8 digits or more, with or without ``sha256:``."""
    delivery: str = ""
    """Short name of the delivery."""

    def __post_init__(self) -> None:
        if bool(self.teacher) == bool(self.delivery):
            raise UsageError("give one of --teacher DIGEST and --delivery NAME")
        digits = self.teacher.removeprefix("sha256:").lower()
        if self.teacher and (len(digits) < _MIN_DIGITS or not set(digits) <= set("0123456789abcdef")):
            raise UsageError(f"--teacher takes the {_MIN_DIGITS} to 64 digits of a digest, got {self.teacher!r}")
        object.__setattr__(self, "teacher", digits)

    def matches(self, teacher: str, delivery: str) -> bool:
        """Return whether a row with these values is one of the clips."""
        if not teacher:
            return False
        return teacher.removeprefix("sha256:").startswith(self.teacher) if self.teacher else delivery == self.delivery

    def __str__(self) -> str:
        return f"the adapter {self.teacher}" if self.teacher else f"the delivery {self.delivery}"


@on_newest_state
def drop_taught(workspace: Workspace, slot: Slot, wanted: TaughtClips) -> DatasetVersion:
    """Make a new version of the slot's data without the pseudo-labels of an adapter, or of a delivery.

    Raise UsageError if the newest version has none of them; other errors are those of `drop_clips`.
    """
    with slot_transaction(workspace, slot) as stage:
        current = version_at(workspace, "latest", slot)
        require_same_language(current, workspace.settings.for_slot(slot).language, normaliser=False)
        restore_shards(workspace, slot, current)
        shards = slot_shards(workspace, slot, SHARDS)
        gone = {key for shard in shards for key in _matching(shard, wanted)}
        if not gone:
            known = ", ".join(current.teachers) or "none"
            raise UsageError(f"{current.tag} has no pseudo-label of {wanted}; adapters that labelled clips: {known}")
        require_space(workspace.root, sum(path.stat().st_size for path in shards))

        def rewrite(row: dict[str, Any]) -> dict[str, Any] | None:
            return None if row["id"] in gone else row

        folder = rewrite_folder(shards, gone.__contains__, rewrite, stage / SHARDS)
        stored = store_change(workspace, _change(workspace, current, folder, gone)).dataset
    assert stored is not None
    return stored


def _matching(shard: Path, wanted: TaughtClips) -> list[str]:
    rows = read_columns(shard, ["id", "teacher", "delivery"]).to_pylist()
    return [row["id"] for row in rows if wanted.matches(row["teacher"], row["delivery"])]


def _change(workspace: Workspace, current: DatasetVersion, folder: RewrittenFolder, gone: set[str]) -> SlotChange:
    slot, number, totals = current.slot, current.version + 1, count_shards(folder.files)
    step = "the drop of pseudo-labels"
    if not totals.ids:
        raise DataRefused(str(slot), ["no clip would be left; add recordings that people labelled first"], step)
    require_good_set(workspace, slot, totals, delivered=len(totals.ids), quarantined=[], step=step)
    content = [DROP_TAUGHT, str(number), *sorted(gone)]
    lost = {"clips": -len(gone), "seconds": round(totals.seconds - current.seconds, 3)}
    delivery = record_change(DROP_TAUGHT, "(pseudo-labels dropped)", number, content, **lost)
    version, _ = next_records(
        workspace,
        slot,
        current,
        delivery,
        totals,
        golden=[],
        quarantine=current.quarantine,
        validation=current.validation,
        withdrawn=current.withdrawn,
        corrected=current.corrected,
        language=current.language,
        # kept whole: a head's outputs have their meaning by their place
        units=pinned_units(current),
    )
    subject = f"Drop {count(len(gone), 'pseudo-label')} from {slot} (v{number})"
    return SlotChange(slot, subject, version, arriving={SHARDS: folder.arriving}, leaving={SHARDS: folder.leaving})
