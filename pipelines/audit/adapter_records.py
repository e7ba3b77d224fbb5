"""The tree of one adapter, from its signed statements, the ledger and the index: quick, and nothing verified."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from pipelines.audit.facts import Fact
from pipelines.audit.learned import ChampionPeriod, reigns_of
from pipelines.audit.server_index import Records, Stored, backbone_of, named, statement_of
from pipelines.audit.tables import short
from pipelines.errors import AttestationError, RegistryError
from pipelines.registry.description import verdict_headline
from pipelines.registry.ledger.entry import MOVES, LedgerEntry, read_entry
from pipelines.registry.slot import Slot
from pipelines.registry.statements import LineageStatement, VerdictStatement

SHOWN = 3
"""Clips that the tree shows of each shard."""
Branches = Mapping[str, tuple[Fact, ...]]
"""What a verification found, by the name of the branch that it hangs on."""


@dataclass(frozen=True)
class Dossier:
    """All that the server records of one version."""

    slot: Slot
    version: int
    bundle: str
    registered: str
    deleted: str
    lineage: LineageStatement | None
    verdict: VerdictStatement | None
    """The newest."""
    stored: tuple[Stored, ...]
    """Every statement on it, the newest first."""
    entries: tuple[LedgerEntry, ...]
    """Every entry of the ledger about it."""
    reigns: tuple[ChampionPeriod, ...]

    @property
    def name(self) -> str:
        """``SITE/TASK v3``."""
        return f"{self.slot} v{self.version}"

    @property
    def status(self) -> str:
        """What it is now, by the ledger."""
        if any(reign.until is None for reign in self.reigns):
            return "champion"
        if self.deleted:
            return "deleted"
        return "retired" if self.reigns else f"never champion ({self.verdict.outcome if self.verdict else 'not gated'})"

    @property
    def override(self) -> str:
        """Who let it serve without a verdict that counts, and why, where it serves so now; else empty."""
        if self.status != "champion":
            return ""
        made = (entry for entry in reversed(self.entries) if entry.after == self.version and entry.event in MOVES)
        last = next(made, None)
        if last is None or last.event != "overridden":
            return ""
        asked = last.detail.get("asked by", "unknown")
        return f"since {short(last.at)}, asked by {asked}, approved by {last.principal.name}: {last.reason}"


def dossier(db: sqlite3.Connection, records: Records, slot: Slot, version: int | None) -> Dossier:
    """What the server records of a version; without a number, of the champion, or else of the newest version.

    Raises:
        RegistryError: where the ledger knows no such version.
    """
    number = version if version is not None else _newest(db, slot)
    row = db.execute(
        "SELECT bundle, registered, deleted FROM adapter WHERE slot = ? AND version = ? ORDER BY registered DESC",
        (str(slot), number),
    ).fetchone()
    if row is None or number is None:
        what = "has no adapters yet" if number is None else f"v{number} is not in the ledger of {records.uri}"
        raise RegistryError(f"{slot} {what}; what there is: elp versions {slot}")
    stored = tuple(records.statements(model=slot.model_name, version=number))
    told = [statement_of(one) for one in stored]
    entries = tuple(entry for entry in _entries(records, slot) if number in (entry.before, entry.after))
    return Dossier(
        slot,
        number,
        bundle=row[0],
        registered=row[1],
        deleted=row[2] or "",
        lineage=next((one for one in told if isinstance(one, LineageStatement)), None),
        verdict=next((one for one in told if isinstance(one, VerdictStatement)), None),
        stored=stored,
        entries=entries,
        reigns=reigns_of(db, str(slot), number, row[0]),
    )


def tree(db: sqlite3.Connection, subject: Dossier, found: Branches | None = None) -> Fact:
    """The adapter from the top down to its clips and its backbone.

    Args:
        db: The index, for shards and clips.
        subject: The version.
        found: What a verification found, to hang below the branches.
    """
    found = found or {}
    lineage = subject.lineage
    branches = [Fact("status", subject.status), _bundle(subject, found)]
    if subject.override:
        branches.insert(1, Fact("OVERRIDE, no verdict that counts", subject.override))
    if lineage is None:
        branches.append(Fact("lineage", "no statement", "", "the server holds none for this version"))
    else:
        branches += [
            _dataset(db, lineage, found),
            _golden(lineage, found),
            _backbone(lineage, found),
            _making(lineage, found),
        ]
    branches += [_verdict(subject, found), _statements(subject, found), _ledger(subject, found)]
    return Fact("adapter", subject.name, note=f"registered {short(subject.registered)}", children=tuple(branches))


def _newest(db: sqlite3.Connection, slot: Slot) -> int | None:
    """The champion, or else the newest version that was not deleted."""
    row = db.execute("SELECT version FROM reign WHERE slot = ? AND until IS NULL", (str(slot),)).fetchone()
    if row is None:
        query = "SELECT version FROM adapter WHERE slot = ? ORDER BY deleted IS NOT NULL, version DESC LIMIT 1"
        row = db.execute(query, (str(slot),)).fetchone()
    return row[0] if row else None


def _entries(records: Records, slot: Slot) -> Iterator[LedgerEntry]:
    for row in records.ledger(slot=str(slot)):
        try:
            yield read_entry(row.entry)
        except AttestationError:
            # the verification names an entry that cannot be read
            continue


def _bundle(subject: Dossier, found: Branches) -> Fact:
    files = tuple(Fact(name, f"sha256:{digest}") for name, digest in sorted(_files(subject).items()))
    return Fact("bundle", subject.bundle, children=(*files, *found.get("bundle", ())))


def _files(subject: Dossier) -> Mapping[str, str]:
    return subject.lineage.files if subject.lineage else {}


def _dataset(db: sqlite3.Connection, lineage: LineageStatement, found: Branches) -> Fact:
    training: Mapping[str, Any] = lineage.given.get("training", {})
    told = lineage.material("dataset").annotations
    used = f"{training.get('clips', '?')} clips trained on, {training.get('seconds', 0) / 60:.1f} minutes"
    children = (
        Fact("Git commit", named(lineage, "dataset", "gitCommit")),
        Fact("DVC hash", f"md5:{named(lineage, 'dataset', 'dvcMd5')}"),
        Fact("amount", f"{told.get('clips', '?')} clips of {told.get('speakers', '?')} speakers"),
        Fact("clips used", f"sha256:{named(lineage, 'clips', 'elpIds')}", note=used),
        *_shards(db, lineage.dataset),
        *found.get("dataset", ()),
    )
    return Fact("dataset", lineage.dataset, note=lineage.material("dataset").uri, children=children)


def _shards(db: sqlite3.Connection, tag: str) -> Iterator[Fact]:
    """The shards of a dataset version, each with its first clips."""
    shards = db.execute(
        """SELECT f.id, f.name, f.md5, COUNT(*), COUNT(DISTINCT c.speaker) FROM release r
        JOIN span s ON s.slot = r.slot AND s.folder = 'shards' AND r.version BETWEEN s.first AND s.last
        JOIN file f ON f.id = s.file JOIN clip c ON c.file = f.id
        WHERE r.tag = ? GROUP BY f.id ORDER BY f.name""",
        (tag,),
    )
    for number, name, md5, count, speakers in shards.fetchall():
        query = "SELECT id, speaker, split, seconds FROM clip WHERE file = ? ORDER BY id LIMIT ?"
        clips = [
            Fact("clip", clip.hex(), note=f"{speaker or 'unnamed speaker'}, {split}, {seconds:.1f} s")
            for clip, speaker, split, seconds in db.execute(query, (number, SHOWN))
        ]
        more = [Fact("clips", f"and {count - SHOWN} more")] if count > SHOWN else []
        yield Fact("shard", name, note=f"md5:{md5}, {count} clips, {speakers} speakers", children=(*clips, *more))


def _golden(lineage: LineageStatement, found: Branches) -> Fact:
    tag = str(lineage.asked.get("golden", ""))
    if not tag:
        return Fact("golden set", "none", note="none was pinned at training", children=found.get("golden set", ()))
    left_out = lineage.given.get("training", {}).get("excluded", "?")
    children = (
        Fact("digest", f"sha256:{named(lineage, 'golden', 'elpIds')}"),
        Fact("clips of training left out for it", str(left_out)),
    )
    return Fact("golden set", tag, note="in force at training", children=(*children, *found.get("golden set", ())))


def _backbone(lineage: LineageStatement, found: Branches) -> Fact:
    fingerprint = Fact("fingerprint", lineage.fingerprint)
    return Fact("backbone", backbone_of(lineage), children=(fingerprint, *found.get("backbone", ())))


def _making(lineage: LineageStatement, found: Branches) -> Fact:
    code, packages = lineage.material("code"), lineage.material("packages")
    machine: Mapping[str, Any] = lineage.given.get("hardware", {})
    dirty = "with uncommitted changes" if code.annotations.get("dirty") else ""
    commit = code.digest.get("gitCommit", "")
    return Fact(
        "made by",
        short(lineage.finished),
        children=(
            Fact("code", f"{code.annotations.get('version', '')} {commit}".strip(), note=dirty),
            Fact("code digest", f"sha256:{code.digest.get('elpCode', '')}"),
            Fact("packages", f"sha256:{packages.digest.get('elpLock', '')}", note=_torch(packages.annotations)),
            Fact("hardware", f"{machine.get('system', '')}, {machine.get('cores', '?')} cores, {_gpu(machine)}"),
            Fact("seed", str(lineage.asked.get("seed", ""))),
            Fact("training key", str(lineage.given.get("key", ""))),
            Fact("Prefect flow run", str(lineage.given.get("flow_run") or "none: trained outside a flow")),
            Fact("MLflow run", lineage.run),
            *found.get("made by", ()),
        ),
    )


def _torch(packages: Mapping[str, Any]) -> str:
    return f"torch {packages.get('torch', '?')}"


def _gpu(machine: Mapping[str, Any]) -> str:
    return str(machine.get("gpu") or "no GPU")


def _verdict(subject: Dossier, found: Branches) -> Fact:
    told = subject.verdict
    if told is None:
        return Fact("verdict", "not gated", children=found.get("verdict", ()))
    against = f"v{told.against.version}" if told.against else "no champion: first version"
    return Fact(
        "verdict",
        told.outcome,
        note=f"{short(told.decided_at)}: {verdict_headline(told)}",
        children=(
            Fact("against", against, note=told.against.bundle if told.against else ""),
            Fact("on", told.golden.tag, note=told.golden.digest),
            Fact("policy", told.policy),
            Fact("evidence", told.evidence.path, note=f"sha256:{told.evidence.sha256}"),
            *found.get("verdict", ()),
        ),
    )


def _statements(subject: Dossier, found: Branches) -> Fact:
    told = tuple(Fact(one.kind, one.digest, note=f"recorded {short(one.at)}") for one in subject.stored)
    return Fact("statements", str(len(told)), children=(*told, *found.get("statements", ())))


def _ledger(subject: Dossier, found: Branches) -> Fact:
    lines = tuple(
        Fact(
            f"{entry.seq} {entry.event}",
            short(entry.at),
            note=f"by {entry.principal.name}" + (f": {entry.reason}" if entry.reason else ""),
        )
        for entry in subject.entries
    )
    return Fact("ledger", f"{len(lines)} entries", children=(*lines, *found.get("ledger", ())))
