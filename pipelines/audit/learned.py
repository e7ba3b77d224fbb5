"""Who learned from a person or a recording: dataset versions, adapters and champions, present and past.

An adapter learned from the clips of the training and validation splits of its dataset version, less those of the
golden set then in force: the weights were fitted on the first, the second chose the epoch and the threshold. A clip of
a golden set was not learned from: it was only judged on. Each training says, signed, the digest of the clips that it
used; where the index comes to the same digest, the answer for it is exact, and otherwise it says so.
"""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from pipelines.audit.data_index import LEARNING
from pipelines.datasets.subject import Subject
from pipelines.errors import UsageError
from pipelines.registry.slot import Slot


@dataclass(frozen=True)
class Held:
    """A version that holds clips of the subject."""

    slot: str
    kind: str
    """``data``, ``golden`` or ``quarantine`` (named by the dataset version that holds it)."""
    version: int
    tag: str
    clips: int
    """Clips of the subject in it; in quarantine, files."""
    learnable: int = 0
    """Of a dataset version: those that a training on it uses."""
    splits: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class ChampionPeriod:
    """A time for which an adapter was its slot's champion."""

    since: str
    until: str | None
    """None while it lasts."""
    event: str
    who: str
    reason: str


def status_of(reigns: Sequence[ChampionPeriod], deleted: str) -> str:
    """``champion``, ``was champion``, ``deleted`` or ``never champion``."""
    if any(reign.until is None for reign in reigns):
        return "champion"
    return "deleted" if deleted else "was champion" if reigns else "never champion"


@dataclass(frozen=True)
class Learner:
    """An adapter that learned from the subject, or may have."""

    slot: str
    version: int
    dataset: str
    clips: int
    """Clips of the subject that its training used."""
    certain: bool
    """Whether the clips of its dataset version are those its lineage names."""
    note: str
    """Why it is not certain."""
    registered: str
    deleted: str
    """When it was deleted from the registry; empty where it is there."""
    reigns: tuple[ChampionPeriod, ...]

    @property
    def serves(self) -> bool:
        """Whether it is its slot's champion now."""
        return self.status == "champion"

    @property
    def status(self) -> str:
        """As `status_of` tells it."""
        return status_of(self.reigns, self.deleted)


@dataclass(frozen=True)
class Learned:
    """The answer for one subject."""

    subject: Subject
    slot: Slot | None
    """None where all slots were asked."""
    clips: int
    """Different recordings of the subject, in all versions."""
    speakers: tuple[str, ...]
    """Speakers of these recordings; other than the one asked for where a recording came under two names."""
    held: tuple[Held, ...]
    adapters: tuple[Learner, ...]
    unknown: tuple[Learner, ...]
    """Adapters of which it cannot be told: their dataset version is not in this workspace, or its files are gone."""

    @property
    def champions(self) -> tuple[Learner, ...]:
        """Those that serve now."""
        return tuple(adapter for adapter in self.adapters if adapter.serves)


def learned(db: sqlite3.Connection, subject: Subject, slot: Slot | None = None) -> Learned:
    """Everything that holds, or learned from, a person or a recording.

    Args:
        db: The index, up to date.
        subject: Whom.
        slot: Of one slot; None looks at all.
    """
    where = str(slot) if slot else ""
    clips = _clips(db, subject)
    by_file: dict[int, Counter[str]] = {}
    for file, _, _, split in clips:
        by_file.setdefault(file, Counter())[split] += 1
    held = _held(db, by_file, clips, where)
    counts = {one.tag: one.learnable for one in held if one.kind == "data"}
    learners = _learners(db, counts, where)
    adapters, unknown = ([one for one in learners if bool(one.clips) is sure] for sure in (True, False))
    ids = {clip for _, clip, _, split in clips if split in (*LEARNING, "test")}
    speakers = sorted({speaker for _, _, speaker, _ in clips if speaker})
    return Learned(subject, slot, len(ids), tuple(speakers), tuple(held), tuple(adapters), tuple(unknown))


def _clips(db: sqlite3.Connection, subject: Subject) -> list[tuple[int, bytes, str, str]]:
    """Rows of file, id, speaker, split.

    Raises:
        UsageError: where the first digits of an id fit several clips.
    """
    where, values = rows_of(subject)
    found = db.execute(f"SELECT file, id, speaker, split FROM clip WHERE {where}", values).fetchall()
    ids = sorted({clip.hex() for _, clip, _, _ in found})
    if subject.clip and len(ids) > 1:
        raise UsageError(f"{len(ids)} clips begin with {subject.clip} ({ids[0]}, {ids[1]} …); give more digits")
    return found


def rows_of(subject: Subject) -> tuple[str, tuple[str | bytes, ...]]:
    """The condition on rows of `clip` that are the subject's, which an index answers, and its values."""
    if subject.speaker:
        return "speaker = ?", (subject.speaker,)
    return "id BETWEEN ? AND ?", tuple(bytes.fromhex(subject.clip.ljust(64, digit)) for digit in "0f")


def _held(
    db: sqlite3.Connection, by_file: dict[int, Counter[str]], clips: list[tuple[int, bytes, str, str]], slot: str
) -> list[Held]:
    """Each version that holds the files, with what training on it uses of them."""
    pinned = _pinned(db, clips)
    found: dict[tuple[str, str, int, str, str], tuple[Counter[str], int]] = {}
    for file, splits in by_file.items():
        for place in _places(db, file, slot):
            before, learnable = found.get(place, (Counter(), 0))
            mine = 0
            if place[1] == "data":
                left_out = pinned.get((file, place[4]), 0)
                mine = sum(splits[split] for split in LEARNING) - left_out
            found[place] = before + splits, learnable + mine
    return [
        Held(slot, kind, version, tag, splits.total(), learnable, dict(splits))
        for (slot, kind, version, tag, _), (splits, learnable) in sorted(found.items())
    ]


def _places(db: sqlite3.Connection, file: int, slot: str) -> list[tuple[str, str, int, str, str]]:
    """Slot, kind, version, tag and golden set in force of each version that holds the file."""
    return db.execute(
        """SELECT r.slot, CASE s.folder WHEN 'quarantine' THEN 'quarantine' ELSE r.kind END, r.version, r.tag, r.golden
        FROM span s JOIN release r ON r.slot = s.slot AND r.version BETWEEN s.first AND s.last
            AND r.kind = CASE s.folder WHEN 'golden' THEN 'golden' ELSE 'data' END
        WHERE s.file = ? AND ? IN ('', s.slot)""",
        (file, slot),
    ).fetchall()


def _pinned(db: sqlite3.Connection, clips: list[tuple[int, bytes, str, str]]) -> dict[tuple[int, str], int]:
    """By file and golden set: clips of a learning split that the golden set keeps out of training."""
    counts: Counter[tuple[int, str]] = Counter()
    for file, clip, _, split in clips:
        if split in LEARNING:
            tags = db.execute(
                """SELECT DISTINCT g.tag FROM clip c JOIN span s ON s.file = c.file AND s.folder = 'golden'
                JOIN release g ON g.slot = s.slot AND g.kind = 'golden' AND g.version BETWEEN s.first AND s.last
                WHERE c.id = ?""",
                (clip,),
            )
            counts.update((file, tag) for (tag,) in tags)
    return dict(counts)


def _learners(db: sqlite3.Connection, counts: dict[str, int], slot: str) -> list[Learner]:
    """Adapters trained on a version that holds the subject, and those of which the index cannot tell."""
    rows = db.execute(
        """SELECT a.slot, a.version, a.bundle, a.dataset, a.revision, a.clips, a.registered, a.deleted, r.revision,
            u.digest, (SELECT reason FROM gap WHERE gap.tag = a.dataset LIMIT 1)
        FROM adapter a LEFT JOIN release r ON r.tag = a.dataset
            LEFT JOIN used u ON u.slot = r.slot AND u.version = r.version
        WHERE ? IN ('', a.slot) ORDER BY a.slot, a.version""",
        (slot,),
    )
    found = []
    for mine, version, bundle, dataset, revision, ids, registered, deleted, commit, used, gap in rows.fetchall():
        count = counts.get(dataset or "", 0)
        note = _doubt(dataset, revision, commit, gap)
        if not note and used != ids:
            note = f"its lineage names other clips than {dataset} gives"
        if count or note:
            reigns = reigns_of(db, mine, version, bundle)
            values = (mine, version, dataset or "", count, not note, note, registered, deleted or "", reigns)
            found.append(Learner(*values))
    return found


def _doubt(dataset: str | None, revision: str | None, commit: str | None, gap: str | None) -> str:
    """Why it cannot be told what a training used; empty where it can."""
    if dataset is None:
        return "its lineage statement is not on the server"
    if commit is None:
        return f"{dataset} is not in this workspace; ask in the workspace that it was trained from"
    if commit != revision:
        return f"{dataset} is at {commit[:12]} here, the adapter was trained from {(revision or 'nothing')[:12]}"
    return gap or ""


def reigns_of(db: sqlite3.Connection, slot: str, version: int, bundle: str) -> tuple[ChampionPeriod, ...]:
    """The times for which a version with this bundle was champion, oldest first."""
    rows = db.execute(
        "SELECT since, until, event, who, reason FROM reign WHERE (slot, version, bundle) = (?, ?, ?) ORDER BY seq",
        (slot, version, bundle),
    )
    return tuple(ChampionPeriod(*row) for row in rows)
