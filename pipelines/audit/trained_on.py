"""What was trained on a person or a recording: dataset versions, adapters and champions, present and past.

An adapter was trained on the clips of the training and validation splits of its dataset version, without those of the
golden set in force: the first fit the weights, the second select the epoch and the threshold. Adapters are only judged
on the clips of a golden set. Each training signs the digest of the clips that it used. If the index computes the same
digest, the answer for this adapter is exact; if not, the adapter is reported with the reason.

An adapter also learns from the adapters that its training started from, and from those that labelled its clips. The
answer closes over them, through any number of them and across slots.
"""

import sqlite3
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from pipelines.audit.data_index import LEARNING, used_digests
from pipelines.audit.server_records import ServerRecords
from pipelines.datasets.subject import Subject
from pipelines.errors import UsageError
from pipelines.number_text import count
from pipelines.registry.ancestry import Ancestor, ancestors, by_bundle
from pipelines.registry.names import similar_to
from pipelines.registry.registered_adapter import RegisteredAdapter
from pipelines.registry.slot import Slot
from pipelines.texts.english_phrases import phrase

_LAST_NAMED = """SELECT every.rowid FROM clip c
    JOIN span s ON s.file = c.file AND s.folder IN ('shards', 'golden')
    JOIN clip every ON every.id = c.id LEFT JOIN span held ON held.file = every.file
    WHERE c.speaker = ? AND (held.slot = s.slot OR held.file IS NULL)
        AND s.last = (SELECT MAX(later.last) FROM clip d JOIN span later ON later.file = d.file
            WHERE d.id = c.id AND later.slot = s.slot AND later.folder = s.folder)
    UNION ALL SELECT every.rowid FROM clip c JOIN clip every ON every.id = c.id
    WHERE c.speaker = ? AND NOT EXISTS (SELECT 1 FROM clip d JOIN span ON span.file = d.file WHERE d.id = c.id)"""
"""All rows in a slot of the recordings that have a speaker's name in the last version of the slot that holds them; in
files of no known version, all rows of these recordings, and of those that no known version holds."""
_Id = tuple[str, int, str]
"""Slot, version and bundle of an adapter."""
_FEW_SLOTS = 5
"""Up to so many slots are asked for their champion periods one by one."""


@dataclass(frozen=True)
class Holding:
    """A version that holds clips of the subject."""

    slot: str
    kind: str
    """``data``, ``golden`` or ``quarantine`` (named by the dataset version that holds it)."""
    version: int
    tag: str
    clips: int
    """Clips of the subject in it; in quarantine, files."""
    learnable: int = 0
    """For a dataset version: the clips that a training on it uses."""
    splits: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class TrainedAdapter(RegisteredAdapter):
    """An adapter that was trained on the subject, or may have been."""

    clips: int
    """Clips of the subject that its training used itself."""
    certain: bool
    """Whether the clips of its dataset version are those that its lineage names; of all that it learned from, too."""
    note: str
    """Why it is not certain."""
    chain: str = ""
    """The way to an adapter that it learned from and that was trained on the subject, such as ``v7 ← v6 ← v3, which was
    trained on 12 of the clips``; empty if there is none."""


@dataclass(frozen=True)
class TrainedOn:
    """The answer for one subject."""

    subject: Subject
    slot: Slot | None
    """None if the question was about all slots."""
    clips: int
    """Different recordings of the subject, in all files that were read."""
    speakers: tuple[str, ...]
    """Speakers of these recordings: more than the one in question if a recording was delivered under two names."""
    holdings: tuple[Holding, ...]
    adapters: tuple[TrainedAdapter, ...]
    unknown: tuple[TrainedAdapter, ...]
    """Adapters whose training data is unknown: the dataset version is not in this workspace, or its files are gone."""
    similar: dict[str, int] = field(default_factory=dict)
    """Recordings by speaker, of names that differ from the subject's only by case, width, blanks or a channel's
    ending (``-left``): the answer does not include them."""

    @property
    def champions(self) -> tuple[TrainedAdapter, ...]:
        """Those that are champion now."""
        return tuple(adapter for adapter in self.adapters if adapter.is_champion)


def find_trained_on(
    db: sqlite3.Connection, records: ServerRecords, subject: Subject, slot: Slot | None = None
) -> TrainedOn:
    """Find everything that holds, or was trained on, a person or a recording, in one slot or in all."""
    only, clips = str(slot or ""), _clips(db, subject)
    holdings = _holdings(db, clips, only)
    counts = {one.tag: one.learnable for one in holdings if one.kind == "data"}
    trained = _trained(db, records, counts, only)
    adapters, unknown = (
        tuple(one for one in trained if bool(one.clips or one.chain) is sure) for sure in (True, False)
    )
    ids = {clip for _, clip, _, split in clips if split in (*LEARNING, "test")}
    speakers = sorted({speaker for _, _, speaker, _ in clips if speaker})
    return TrainedOn(
        subject, slot, len(ids), tuple(speakers), tuple(holdings), adapters, unknown, similar_speakers(db, subject)
    )


def similar_speakers(db: sqlite3.Connection, subject: Subject) -> dict[str, int]:
    """Return the recordings of each speaker with a similar name, as `similar_to` finds them."""
    if not subject.speaker:
        return {}
    names = (name for (name,) in db.execute("SELECT DISTINCT speaker FROM clip"))
    found = similar_to(subject.speaker, dict.fromkeys(names, 0))
    counted = "SELECT COUNT(DISTINCT id) FROM clip WHERE speaker = ?"
    return {name: db.execute(counted, (name,)).fetchone()[0] for name in sorted(found)}


def rows_of(subject: Subject) -> tuple[str, tuple[str | bytes, ...]]:
    """Return the SQL condition that selects the subject's rows of `clip` by an index, and its values.

    Rows of a speaker are those with the name, and those of recordings that had another name before a correction: in
    each slot, the last version that holds a recording decides whose it is. If none does, every name counts.
    """
    if subject.speaker:
        return f"(speaker = ? OR rowid IN ({_LAST_NAMED}))", (subject.speaker,) * 3
    return "id BETWEEN ? AND ?", tuple(bytes.fromhex(subject.clip.ljust(64, digit)) for digit in "0f")


def _clips(db: sqlite3.Connection, subject: Subject) -> list[tuple[int, bytes, str, str]]:
    """Return rows of file, id, speaker, split."""
    where, values = rows_of(subject)
    found = db.execute(f"SELECT file, id, speaker, split FROM clip WHERE {where}", values).fetchall()
    ids = sorted({clip.hex() for _, clip, _, _ in found})
    if subject.clip and len(ids) > 1:
        raise UsageError(
            f"the ids of {count(len(ids), 'clip')} begin with {subject.clip} ({ids[0]}, {ids[1]} …); give more digits"
        )
    return found


def _holdings(db: sqlite3.Connection, clips: list[tuple[int, bytes, str, str]], slot: str) -> list[Holding]:
    places = """SELECT r.slot, CASE s.folder WHEN 'quarantine' THEN 'quarantine' ELSE r.kind END, r.version, r.tag,
            r.golden
        FROM span s JOIN release r ON r.slot = s.slot AND r.version BETWEEN s.first AND s.last
            AND r.kind = CASE s.folder WHEN 'golden' THEN 'golden' ELSE 'data' END
        WHERE s.file = ? AND ? IN ('', s.slot)"""
    pinned, by_file = _pinned(db, clips), defaultdict[int, Counter[str]](Counter)
    for file, _, _, split in clips:
        by_file[file][split] += 1
    found: dict[tuple[str, str, int, str], Holding] = {}
    for file, splits in by_file.items():
        for name, kind, version, tag, golden in db.execute(places, (file, slot)):
            place = (name, kind, version, tag)
            old = found.get(place) or Holding(name, kind, version, tag, 0)
            learnable = sum(splits[split] for split in LEARNING) - pinned[file, golden] if kind == "data" else 0
            found[place] = replace(
                old,
                clips=old.clips + splits.total(),
                learnable=old.learnable + learnable,
                splits=dict(Counter(old.splits) + splits),
            )
    return [one for _, one in sorted(found.items())]


def _pinned(db: sqlite3.Connection, clips: list[tuple[int, bytes, str, str]]) -> Counter[tuple[int, str]]:
    """Count, by file and golden set, the clips of a learning split that the golden set keeps out of training."""
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
    return counts


def _trained(db: sqlite3.Connection, records: ServerRecords, counts: dict[str, int], slot: str) -> list[TrainedAdapter]:
    """Return the adapters that learned from the subject, and those whose training data is unknown.

    With a `slot` the clips are those of this slot; adapters of other slots that learned from its adapters belong to the
    answer, too.
    """
    adapters = records.adapters()
    asked = [adapter for adapter in adapters if slot in ("", adapter.slot)]
    known, found, notes = by_bundle(adapters), list[TrainedAdapter](), _notes(db, asked)
    direct = {_id(one): clips for one in asked if (clips := counts.get(one.dataset, 0))}
    for adapter in adapters:
        before = ancestors(adapter.learned, known)
        chain = _chain(adapter, before, direct)
        note = notes.get(_id(adapter), "") or _unknown_ancestor(adapter, before, notes)
        clips = direct.get(_id(adapter), 0)
        if clips or chain or (note and slot in ("", adapter.slot)):
            found.append(TrainedAdapter(**vars(adapter), clips=clips, certain=not note, note=note, chain=chain))
    slots = sorted({adapter.slot for adapter in found})
    return records.with_periods(found, slots if len(slots) <= _FEW_SLOTS else [""])


def _id(adapter: RegisteredAdapter) -> _Id:
    return adapter.slot, adapter.version, adapter.bundle


def _notes(db: sqlite3.Connection, adapters: Sequence[RegisteredAdapter]) -> dict[_Id, str]:
    """Return why the training data of each adapter is unknown; empty if it is known."""
    revisions = dict(db.execute("SELECT tag, revision FROM release"))
    gaps = dict(db.execute("SELECT tag, MIN(reason) FROM gap GROUP BY tag"))
    used = used_digests(db, {adapter.dataset for adapter in adapters})
    notes = {}
    for adapter in adapters:
        tag = adapter.dataset
        note = _why_unknown(adapter, revisions.get(tag)) or gaps.get(tag, "")
        if not note and used.get(tag) != adapter.clips_digest:
            note = phrase("its lineage names other clips than %(tag)s has", tag=tag)
        notes[_id(adapter)] = note
    return notes


def _chain(adapter: RegisteredAdapter, before: Iterable[Ancestor], direct: Mapping[_Id, int]) -> str:
    """Return the way to the nearest adapter that was trained on the subject; empty if there is none."""
    for one in before:
        if one.adapter and (clips := direct.get(_id(one.adapter))):
            chain = one.chain(adapter.slot, adapter.version)
            return phrase("%(chain)s, which was trained on %(clips)s of the clips", chain=chain, clips=clips)
    return ""


def _unknown_ancestor(adapter: RegisteredAdapter, before: Iterable[Ancestor], notes: Mapping[_Id, str]) -> str:
    """Return why it is unknown what an adapter learned from other adapters; empty if it is known."""
    for one in before:
        chain = one.chain(adapter.slot, adapter.version)
        if one.adapter is None:
            return phrase(
                "it learned from %(name)s, of which the server has no record (%(chain)s)",
                name=one.learned.name,
                chain=chain,
            )
        if reason := notes.get(_id(one.adapter), ""):
            return phrase(
                "it learned from %(name)s (%(chain)s): %(reason)s", name=one.adapter.name, chain=chain, reason=reason
            )
    return ""


def _why_unknown(adapter: RegisteredAdapter, revision: str | None) -> str:
    """Return why the dataset version is not the one that the training used; empty if it is."""
    if not adapter.dataset:
        return phrase("its lineage statement is not on the server")
    if revision is None:
        return phrase(
            "%(data)s is not in this workspace; ask in the workspace that it was trained from", data=adapter.dataset
        )
    if revision != adapter.revision:
        return phrase(
            "%(data)s is at %(here)s here, the adapter was trained from %(trained)s",
            data=adapter.dataset,
            here=revision[:12],
            trained=adapter.revision[:12] or phrase("nothing"),
        )
    return ""
