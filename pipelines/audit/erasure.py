"""What an erasure takes: who holds a person's recordings, who learned from them, who serves, what to do in order."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from dataclasses import dataclass

from pipelines.audit.learned import Held, Learned, Learner, learned, rows_of
from pipelines.datasets.subject import Subject
from pipelines.errors import VersioningError
from pipelines.registry.slot import Slot

_CACHES = "files sets features trials verdicts audit.db audit.db-wal audit.db-shm"
"""Of ``.elp/cache``: what may hold sound, words or names."""


@dataclass(frozen=True)
class Step:
    """One thing to do."""

    what: str
    commands: tuple[str, ...] = ()
    """As they are typed; one after the other."""


@dataclass(frozen=True)
class StoredFile:
    """A file of the DVC remote that holds clips of the subject."""

    name: str
    md5: str
    place: str
    """Path or address in the remote."""
    clips: int
    versions: tuple[str, ...]
    """Which versions hold it, such as ``data/plant-a/asr/v1 … v4``."""
    current: bool
    """Whether a newest version, or a golden set in force, holds it."""


@dataclass(frozen=True)
class SlotPlan:
    """What to do for one slot."""

    slot: str
    holds: tuple[Held, ...]
    """Its newest dataset version, its newest golden set and its quarantine, where they hold the subject."""
    champion: Learner | None
    """The champion of now, where it learned from the subject."""
    learners: tuple[Learner, ...]
    steps: tuple[Step, ...]


@dataclass(frozen=True)
class Plan:
    """The whole plan. Nothing has been done."""

    found: Learned
    slots: tuple[SlotPlan, ...]
    files: tuple[StoredFile, ...]
    after: tuple[Step, ...]
    """When every slot is done."""
    stays: tuple[str, ...]
    """What no command here removes, and where it is."""


def plan(
    db: sqlite3.Connection, subject: Subject, slot: Slot | None = None, place: Callable[[str], str] = lambda md5: md5
) -> Plan:
    """Plan the erasure of a person or a recording.

    Args:
        db: The index, up to date.
        subject: Whom.
        slot: In one slot; None plans for all.
        place: Where the remote keeps a file of this MD5.

    Raises:
        VersioningError: where nothing holds the subject and nothing is left unknown.
    """
    found = learned(db, subject, slot)
    if not found.held and not found.unknown:
        raise VersioningError(
            f"nothing in {slot or 'any slot'} holds {subject}; speakers are written as the delivery named them"
        )
    names = sorted({one.slot for one in found.held} | {one.slot for one in found.adapters})
    slots = tuple(_slot_plan(db, found, name) for name in names)
    files = _files(db, subject, slot, place)
    return Plan(found, slots, files, _after(files), _stays(found))


def _slot_plan(db: sqlite3.Connection, found: Learned, slot: str) -> SlotPlan:
    holds = tuple(one for one in found.held if one.slot == slot and one.version == _newest(db, one))
    learners = tuple(one for one in found.adapters if one.slot == slot)
    champion = next((one for one in learners if one.serves), None)
    steps = []
    if holds:
        steps.append(
            Step(
                "make a dataset version (and golden set) without them; intake keeps them out from then on",
                (f"elp data drop {slot} {found.subject.option}",),
            )
        )
    if champion is not None:
        steps += _replace(db, champion, {one.version for one in learners})
    elif learners:
        kept = ", ".join(f"v{one.version}" for one in learners)
        what = f"the champion did not learn from them: nothing to retrain; do not promote or roll back to {kept}"
        steps.append(Step(what))
    return SlotPlan(slot, holds, champion, learners, tuple(steps))


def _replace(db: sqlite3.Connection, champion: Learner, learners: set[int]) -> list[Step]:
    """How a champion that learned from them stops to serve."""
    slot = champion.slot
    before = db.execute(
        """SELECT r.version FROM reign r JOIN adapter a USING (slot, version, bundle)
        WHERE slot = ? AND until IS NOT NULL AND a.deleted IS NULL ORDER BY seq DESC LIMIT 1""",
        (slot,),
    ).fetchone()
    if before and before[0] not in learners:
        stop = Step(
            f"where v{champion.version} must stop to serve at once: v{before[0]}, champion before it, did not learn "
            "from them",
            (f"elp rollback {slot} --reason erasure",),
        )
    else:
        what = f"where v{champion.version} must stop to serve at once: leave the slot without a champion"
        stop = Step(what, (f"elp retire {slot} --reason erasure",))
    learned = f"v{champion.version} learned from {champion.clips} of the clips: train its successor on what is left"
    return [stop, Step(learned, (f"elp retrain {slot}", f"elp promote {slot}"))]


def _newest(db: sqlite3.Connection, one: Held) -> int:
    kind = "golden" if one.kind == "golden" else "data"
    found = db.execute("SELECT MAX(version) FROM release WHERE slot = ? AND kind = ?", (one.slot, kind)).fetchone()
    return int(found[0])


def _files(
    db: sqlite3.Connection, subject: Subject, slot: Slot | None, place: Callable[[str], str]
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
            (file, str(slot) if slot else ""),
        ).fetchall()
        if spans:
            versions = tuple(_versions(*span[:4]) for span in spans)
            current = any(last == newest for *_, last, newest in spans)
            made.append(StoredFile(name, md5, place(md5), count, versions, current))
    return tuple(sorted(made, key=lambda one: one.name))


def _versions(slot: str, folder: str, first: int, last: int) -> str:
    kind = "golden" if folder == "golden" else "data"
    span = f"v{first}" if first == last else f"v{first} … v{last}"
    return f"{kind}/{slot}/{span}" + (" (quarantine)" if folder == "quarantine" else "")


def _after(files: tuple[StoredFile, ...]) -> tuple[Step, ...]:
    if not files:
        return ()
    current = sum(one.current for one in files)
    warn = f"; {current} of the {len(files)} files are still in a newest version, so drop first" if current else ""
    return (
        Step(
            "remove every file that the newest versions do not use from the DVC remote and from DVC's cache here; no "
            f"older dataset version can be fetched or verified after it{warn}. Where several repositories share the "
            "remote, name the others with --projects",
            ("dvc gc --workspace --cloud --force",),
        ),
        Step(
            "empty the caches of this machine and of every worker (a training that could not be registered yet stays)",
            (f"cd .elp/cache && rm -rf {_CACHES}", "rm -rf .elp/data-docs"),
        ),
    )


def _stays(found: Learned) -> tuple[str, ...]:
    told = [
        "Git: the records of all versions, with counts, names of deliveries and the ids of dropped clips, no sound and "
        "no speaker. A delivery that was named after the person keeps that name.",
        "The ledger and the statements: digests of data and bundles, no sound, no speaker. They cannot be rewritten.",
    ]
    golden = [one.tag for one in found.held if one.kind == "golden"]
    if golden:
        told.append(
            f"MLflow: the evidence of every verdict given on {', '.join(golden)} holds ids, speakers, transcripts and "
            "answers of its clips (gate/ among the artifacts of the runs)."
        )
    if found.adapters:
        names = ", ".join(f"{one.slot} v{one.version}" for one in found.adapters)
        told.append(
            f"MLflow: the adapters that learned from them ({names}) keep what they learned. The guard deletes no bytes "
            "behind a version: whoever runs the server removes the version and then its folder in the artifact store."
        )
    if found.unknown:
        told.append("Adapters of which it cannot be told are listed with the reason: look into each by hand.")
    told.append("The sources of the deliveries, backups, and copies that workers or people made elsewhere.")
    return tuple(told)
