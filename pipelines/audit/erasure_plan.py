"""The erasure plan: what holds a person's recordings, which adapters were trained on them, and what to do in order."""

import sqlite3
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass

from pipelines.audit.kept_after_erasure import what_stays
from pipelines.audit.replacement_steps import Step, adapter_steps
from pipelines.audit.server_records import ServerRecords
from pipelines.audit.trained_on import Holding, TrainedAdapter, TrainedOn, find_trained_on, rows_of
from pipelines.datasets.subject import Subject
from pipelines.errors import VersioningError
from pipelines.registry.slot import Slot
from pipelines.texts.english_phrases import phrase

CACHES = "files sets features trials verdicts tuning sweeps audit.db audit.db-wal audit.db-shm"
"""Entries of ``.elp/cache``, and of the cache of a worker, that may hold sound, words or names."""


@dataclass(frozen=True)
class StoredFile:
    """A file of the DVC remote that holds clips of the subject."""

    name: str
    md5: str
    place: str
    """Path or address in the remote."""
    clips: int
    versions: tuple[str, ...]
    """The versions that hold it, such as ``data/plant-a/asr/v1 … v4``; empty if no known version does."""
    current: bool
    """Whether a newest version, or a golden set in force, holds it."""


@dataclass(frozen=True)
class SlotPlan:
    """What to do for one slot."""

    slot: str
    holds: tuple[Holding, ...]
    """Those of its newest dataset version, newest golden set and quarantine that hold the subject."""
    champion: TrainedAdapter | None
    """The present champion, if it was trained on the subject."""
    trained: tuple[TrainedAdapter, ...]
    drops: tuple[Step, ...]
    """What comes first, in all slots: a training anywhere may start from adapters whose clips are not dropped yet."""
    steps: tuple[Step, ...]
    """What to do with the adapters then."""


@dataclass(frozen=True)
class ErasurePlan:
    """The whole plan. Nothing has been done."""

    found: TrainedOn
    slots: tuple[SlotPlan, ...]
    files: tuple[StoredFile, ...]
    after: tuple[Step, ...]
    """What to do when every slot is done."""
    stays: tuple[str, ...]
    """What no command here removes, and where it is."""


def plan_erasure(
    db: sqlite3.Connection,
    records: ServerRecords,
    subject: Subject,
    slot: Slot | None = None,
    place: Callable[[str], str] = lambda md5: md5,
    logged: Mapping[str, int] | None = None,
    teachers: Callable[[str], Collection[str]] = lambda slot: (),
    unnamed: Collection[str] = (),
) -> ErasurePlan:
    """Plan the erasure of a subject in one slot or in all.

    `place` returns the path of an MD5 in the DVC remote; `logged` has the number of its logged requests by slot;
    `teachers` returns the bundles that labelled clips of a slot's newest dataset version; `unnamed` are indexed files
    that count although no known version may name them.
    """
    found, files = find_trained_on(db, records, subject, slot), _files(db, subject, slot, place, unnamed)
    if not found.holdings and not found.adapters and not found.unknown and not logged and not files:
        raise nothing_holds(found, slot)
    doubtful = (one for one in found.unknown if one.is_champion)
    names = sorted({one.slot for one in found.holdings} | {one.slot for one in (*found.adapters, *doubtful)})
    versions = db.execute("SELECT slot, kind, MAX(version) FROM release GROUP BY slot, kind").fetchall()
    newest = {(name, kind): version for name, kind, version in versions}
    tags = frozenset(tag for (tag,) in db.execute("SELECT tag FROM release"))
    slots = tuple(_slot_plan(newest, tags, records, found, name, teachers(name)) for name in names)
    after = (*_requests(logged or {}, subject, slot), *_after(files, found))
    return ErasurePlan(found, slots, files, after, what_stays(found))


def nothing_holds(found: TrainedOn, slot: Slot | None = None) -> VersioningError:
    """Return the error for a subject that no data and no adapter holds, with the names that are similar."""
    similar = f"; similar names: {', '.join(map(repr, found.similar))}" if found.similar else ""
    return VersioningError(
        f"nothing in {slot or 'any slot'} holds {found.subject}; speakers are written as the delivery named them"
        f"{similar}"
    )


def _slot_plan(
    newest: Mapping[tuple[str, str], int],
    tags: frozenset[str],
    records: ServerRecords,
    found: TrainedOn,
    slot: str,
    teachers: Collection[str],
) -> SlotPlan:
    # a quarantine belongs to a dataset version
    kinds = {"data": "data", "golden": "golden", "quarantine": "data"}
    mine = (one for one in found.holdings if one.slot == slot)
    holds = tuple(one for one in mine if one.version == newest[slot, kinds[one.kind]])
    trained = tuple(one for one in found.adapters if one.slot == slot)
    champion = next((one for one in trained if one.is_champion), None)
    drops = []
    if holds:
        what = phrase("make a dataset version (and golden set) without them; later deliveries cannot bring them back")
        drops.append(Step(what, (f"elp data drop {slot} {found.subject.option}",)))
    # a training on their labels would learn from the person again
    if taught := sorted({one.bundle for one in found.adapters} & set(teachers)):
        what = phrase(
            "drop the pseudo-labels of adapters that were trained on them, or learned from such: they name no speaker"
        )
        drops.append(Step(what, tuple(f"elp data drop {slot} --teacher {bundle}" for bundle in taught)))
    unknown = tuple(one for one in found.unknown if one.slot == slot)
    steps = adapter_steps(records, tags, champion, trained, unknown)
    return SlotPlan(slot, holds, champion, trained, tuple(drops), steps)


def _files(
    db: sqlite3.Connection,
    subject: Subject,
    slot: Slot | None,
    place: Callable[[str], str],
    unnamed: Collection[str],
) -> tuple[StoredFile, ...]:
    where, values = rows_of(subject)
    rows = db.execute(f"SELECT file, COUNT(*) FROM clip WHERE {where} GROUP BY file", values).fetchall()
    made = []
    for file, count in rows:
        md5, name = db.execute("SELECT md5, name FROM file WHERE id = ?", (file,)).fetchone()
        spans = db.execute(
            """SELECT s.slot, s.folder, s.first, s.last, (SELECT MAX(version) FROM release r WHERE r.slot = s.slot
                AND r.kind = CASE s.folder WHEN 'golden' THEN 'golden' ELSE 'data' END)
            FROM span s WHERE s.file = ? AND ? IN ('', s.slot) ORDER BY 1, 2, 3""",
            (file, str(slot or "")),
        ).fetchall()
        if spans or (slot is None and md5 in unnamed):
            versions = tuple(_versions(*span[:4]) for span in spans)
            current = any(last == newest for *_, last, newest in spans)
            made.append(StoredFile(name, md5, place(md5), count, versions, current))
    return tuple(sorted(made, key=lambda one: one.name))


def _versions(slot: str, folder: str, first: int, last: int) -> str:
    kind = "golden" if folder == "golden" else "data"
    span = f"v{first}" if first == last else f"v{first} … v{last}"
    return f"{kind}/{slot}/{span}" + (" (quarantine)" if folder == "quarantine" else "")


def _requests(logged: Mapping[str, int], subject: Subject, slot: Slot | None) -> tuple[Step, ...]:
    """Return the step for what `elp serve` has logged of a subject."""
    if not logged:
        return ()
    held = ", ".join(f"{name}: {number}" for name, number in sorted(logged.items()))
    what = phrase(
        "remove their logged requests with their audio (%(held)s); do the same on every other host that serves",
        held=held,
    )
    return (Step(what, (f"elp requests erase {f'{slot} ' if slot else ''}{subject.option}",)),)


def _after(files: tuple[StoredFile, ...], found: TrainedOn) -> tuple[Step, ...]:
    if not files:
        return ()
    current = sum(one.current for one in files)
    collect = phrase(
        "move the files that hold them from the DVC remote to its trash, whatever else is based on them; the "
        "%(command)s after their time there deletes them for good. After that, no older dataset version with such a "
        "file can be fetched or verified",
        command="elp gc",
    )
    if current:
        collect = phrase(
            "%(step)s; %(current)s of the %(all)s files are still in a newest version, so drop first",
            step=collect,
            current=current,
            all=len(files),
        )
    empty = phrase(
        "while no run is in progress, empty the caches of this machine (a training that is not registered yet is "
        "kept), and those of every worker: the workers of %(up)s have theirs in .elp/worker if the workspace has a Git "
        "address; on another machine, the same entries of cache/ and the folder clones/ in the worker's home",
        up="elp up",
    )
    # in parentheses, so that the commands can be typed one after the other
    caches = (
        "rm -rf .elp/data-docs .elp/worker/clones",
        f"(cd .elp/cache && rm -rf {CACHES})",
        f"test ! -d .elp/worker/cache || (cd .elp/worker/cache && rm -rf {CACHES})",
    )
    return (
        Step(collect, (f"elp gc {found.subject.option} --yes",)),
        Step(empty, (*caches, *_references(found))),
    )


def _references(found: TrainedOn) -> tuple[str, ...]:
    """Return the commands that delete the monitor's references on golden sets with the subject: they name its blocks.

    The one on the golden set in force stays: its champion's training data may be gone, so it could not be made again.
    """
    folders = ((f".elp/monitor/{one.slot}/references", one.tag) for one in found.holdings if one.kind == "golden")
    return tuple(
        f"test ! -d {folder} || find {folder} -mindepth 1 -maxdepth 1 "
        f"-exec grep -qs '\"{tag}\"' {{}}/reference.json \\; -exec rm -rf {{}} +"
        for folder, tag in folders
    )
