"""A workspace with dataset versions that no intake made: Git, DVC's cache and shards, in a tenth of a second."""

from __future__ import annotations

import hashlib
import json
import subprocess
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from elp_core.data.corpus import ShardRow, make_row, write_shard
from pipelines.datasets.dataset_version import (
    DATASET_FILE,
    GOLDEN,
    GOLDEN_FILE,
    QUARANTINE,
    SHARDS,
    DatasetVersion,
    Delivery,
    GoldenRef,
    record_text,
)
from pipelines.datasets.delivery import ClipFault, SourceClip
from pipelines.datasets.quarantine import write_quarantine
from pipelines.datasets.validation_summary import ValidationSummary
from pipelines.local import git
from pipelines.registry.lineage import ids_digest
from pipelines.registry.slot import Slot
from tests.support.clips import voice

WORDS = ("open the door", "close the valve", "stop the pump")
WHEN = "2026-03-01T10:00:00+00:00"


def row(seed: int, speaker: str = "ann", split: Any = "train", seconds: float = 0.5, **words: str) -> ShardRow:
    """One clip with a sound of its own."""
    texts = {"text": WORDS[seed % 3], "path": f"{speaker}/{seed:05d}.wav", "delivery": "march", **words}
    return make_row(voice(seconds, 200 + seed % 50, seed), split=split, speaker=speaker, **texts)


@dataclass(frozen=True)
class SlotByHand:
    """The workspace and its slot."""

    root: Path
    slot: Slot

    @classmethod
    def make(cls, root: Path, slot: Slot) -> SlotByHand:
        """Begin without a version."""
        root.mkdir(parents=True)
        for command in (("init", "-q"), ("config", "user.name", "Test"), ("config", "user.email", "t@example.org")):
            subprocess.run(["git", "-C", str(root), *command], check=True)
        return cls(root, slot)

    @property
    def folder(self) -> Path:
        return self.root / self.slot.folder

    def add(
        self,
        version: int,
        rows: Sequence[ShardRow],
        *,
        importer: str = "nemo",
        name: str = "march",
        withdrawn: Iterable[str] = (),
        quarantine: Sequence[tuple[SourceClip, ClipFault]] = (),
        golden: Sequence[ShardRow] = (),
        before: DatasetVersion | None = None,
        repeats: int = 0,
        shard_clips: int = 20_000,
        **more: Any,
    ) -> DatasetVersion:
        """Make a version that holds exactly `rows`, committed and tagged; `golden` makes the first golden set."""
        parts = (rows[first : first + shard_clips] for first in range(0, len(rows), shard_clips))
        shards, shards_hash = self._store(SHARDS, [write_shard(part, self._stage(SHARDS)) for part in parts])
        self._store(QUARANTINE, write_quarantine(quarantine, name, self._stage(QUARANTINE)) if quarantine else [])
        new = len(rows) - (before.clips if before else 0)
        seconds = sum(one.duration for one in rows)
        delivery = Delivery(
            key=f"key-{version}",
            name=name,
            source=f"/home/ann/{name}",
            importer=importer,
            options={},
            delivered=max(new, 0),
            clips=new,
            seconds=seconds,
            quarantined=len(quarantine),
            repeats=repeats,
            version=version,
            created=WHEN,
        )
        tag = self.slot.tag(1, "golden") if golden or (before and before.golden) else ""
        record = DatasetVersion(
            slot=self.slot,
            version=version,
            tag=self.slot.tag(version),
            dvc_hash=shards_hash,
            clips=len(rows),
            seconds=seconds,
            speakers=len({one.speaker for one in rows}),
            splits=Counter(one.split for one in rows),
            split_seconds={split: 1.0 for split in {one.split for one in rows}},
            conditions=Counter(one.condition for one in rows),
            quarantined=len(quarantine),
            quarantine=Counter(fault.reason for _, fault in quarantine),
            golden=tag,
            created=WHEN,
            closed_set=False,
            shards=tuple(shards),
            deliveries=(*(before.deliveries if before else ()), delivery),
            validation=ValidationSummary(),
            withdrawn=tuple(sorted(withdrawn)),
            **more,
        )
        (self.folder / DATASET_FILE).write_text(record_text(record), encoding="utf-8")
        if golden:
            self._pin(golden, tag)
        revision = self._commit(f"Make {record.name}")
        git.tag(self.root, record.tag, record.name, revision)
        if golden:
            git.tag(self.root, tag, tag, revision)
        return record

    def _pin(self, rows: Sequence[ShardRow], tag: str) -> None:
        _, tracked = self._store(GOLDEN, [write_shard(rows, self._stage(GOLDEN))])
        ids = [one.id for one in rows]
        counts = len(ids), 1.0, 1
        ref = GoldenRef(
            *(self.slot, 1, tag, ids_digest(ids), tracked, *counts, {}, self.slot.tag(1), WHEN), closed_set=False
        )
        (self.folder / GOLDEN_FILE).write_text(record_text(ref), encoding="utf-8")

    def _commit(self, subject: str) -> str:
        paths = [path.relative_to(self.root) for path in self.folder.iterdir() if path.is_file()]
        return git.commit(self.root, paths, subject)

    def _stage(self, name: str) -> Path:
        folder = self.folder / name
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    def _store(self, name: str, paths: Sequence[Path]) -> tuple[list[str], str]:
        """Keep these files as the whole folder, as `dvc add` does; return their names and DVC's hash."""
        listing, cache = list[Mapping[str, str]](), self.root / ".dvc" / "cache" / "files" / "md5"
        for path in paths:
            md5 = hashlib.md5(path.read_bytes(), usedforsecurity=False).hexdigest()
            _put(cache, md5, path.read_bytes())
            listing.append({"md5": md5, "relpath": path.name})
        for path in (self.folder / name).glob("*") if (self.folder / name).is_dir() else ():
            if path not in paths:
                path.unlink()
        text = json.dumps(listing).encode()
        tracked = hashlib.md5(text, usedforsecurity=False).hexdigest() + ".dir"
        _put(cache, tracked, text)
        self.folder.mkdir(parents=True, exist_ok=True)
        (self.folder / f"{name}.dvc").write_text(f"outs:\n- md5: {tracked}\n  path: {name}\n", encoding="utf-8")
        return [path.name for path in paths], f"md5:{tracked}"


def _put(cache: Path, md5: str, content: bytes) -> None:
    path = cache / md5[:2] / md5[2:]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
