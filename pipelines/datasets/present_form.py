"""Stored transcripts in the present normal form of their slot: whether it can be made from them, and what it is.

Shards hold transcripts in their normal form only, not as they were delivered: what the earlier rule removed does not
come back. The same language in another release is allowed, since its rules remove the same kinds of things.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow.parquet as pq

from elp_core.data.corpus import SCHEMA, write_shard
from elp_core.languages import Language, LanguageConfig, codes
from elp_core.languages.renormalising import losses
from pipelines.datasets.dataset_version import DatasetVersion, TranscriptLanguage
from pipelines.datasets.delivery import ClipFault
from pipelines.datasets.shard_columns import read_columns
from pipelines.errors import UsageError
from pipelines.registry.slot import Slot


@dataclass(frozen=True)
class RenormalisedClip:
    """One clip before and after; with a fault, it goes to quarantine."""

    id: str
    path: str
    before: str
    after: str
    fault: ClipFault | None = None


def require_possible(current: DatasetVersion, config: LanguageConfig, shards: Sequence[Path]) -> None:
    """Raise UsageError if the present normal form needs what stored transcripts lost in theirs."""
    before, after = recorded_language(current.language), config.resolve()
    code = current.language.code or LanguageConfig().code
    if before is None:
        # the same language in another release: its rules remove the same kinds of things
        if code == after.code:
            return
        raise UsageError(
            f"the transcripts of {current.tag} are {current.language}, whose rules are not those of this release: what "
            f"they removed is not known, so those of {after.name} cannot be made from them; {_other_ways(current.slot)}"
        )
    texts = [text for shard in shards for text in pq.read_table(shard, columns=["text"])["text"].to_pylist()]
    for loss in losses(before, after):
        pattern = re.compile(loss.pattern)
        if touched := [text for text in texts if pattern.search(text)]:
            raise UsageError(
                f"the transcripts of {current.tag} are stored in the normal form of {before.name}, without "
                f"{loss.what}; {after.name} needs that in {len(touched):,} of them, such as {touched[0][:60]!r}, and "
                f"it cannot be made from the stored ones: {_other_ways(current.slot)}"
            )


def recorded_language(recorded: TranscriptLanguage) -> Language | None:
    """Return the language whose rules made stored transcripts; None if those rules are not of this release."""
    if not recorded.code:
        return LanguageConfig().resolve()
    letters = "" if recorded.code in codes() else "auto"
    found = LanguageConfig(recorded.code, letters).resolve()
    return found if recorded.normaliser == found.normaliser_id() else None


def _other_ways(slot: Slot) -> str:
    return f"take the original deliveries into a new slot, or set language of {slot} back in elp.yaml"


def in_present_form(
    files: Sequence[Path], config: LanguageConfig, stage: Path
) -> tuple[dict[str, RenormalisedClip], list[Path]]:
    """Return every clip by id, and files with the present transcripts, without the sound, for the checks."""
    clips: dict[str, RenormalisedClip] = {}
    parts = []
    for file in files:
        # without the sound, which the rules do not read
        names = [name for name in SCHEMA.names if name != "audio"]
        rows = read_columns(file, [*names, "audio.path"]).to_pylist()
        fresh = [row for row in rows if row["id"] not in clips]
        for row in fresh:
            after = config.transcript(row["text"])
            clips[row["id"]] = RenormalisedClip(row["id"], row.pop("path"), row["text"], after)
            row |= {"text": after, "audio": {"bytes": b"", "path": ""}}
        if fresh:
            parts.append(write_shard(fresh, stage))
    return clips, parts
