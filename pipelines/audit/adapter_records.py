"""The records of one adapter and their tree: its signed statements, the ledger, and its data from the index."""

import contextlib
import math
import sqlite3
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace

from elp_core.languages import units_text
from pipelines.audit.facts import Fact
from pipelines.audit.learned_from import learned_branch
from pipelines.audit.server_records import ServerRecords, backbone_of, newest_statements, statement_of
from pipelines.audit.tables import short
from pipelines.errors import AttestationError, RegistryError
from pipelines.number_text import count, metric_title, percent, points
from pipelines.registry.ancestry import by_bundle
from pipelines.registry.client.server_api import StoredStatement
from pipelines.registry.description import verdict_headline
from pipelines.registry.ledger.entry import MOVES, LedgerEntry, read_entry
from pipelines.registry.ledger.site_moves import about_slot
from pipelines.registry.lineage import BackboneOrigin, TrainedLanguage, normaliser_text
from pipelines.registry.registered_adapter import ChampionPeriod, RegisteredAdapter
from pipelines.registry.slot import Slot
from pipelines.registry.statements import LineageStatement
from pipelines.registry.verdict_statement import Span, VerdictStatement

SHOWN = 3
"""Clips that the tree shows of each shard."""
Branches = Mapping[str, tuple[Fact, ...]]
"""The results of a verification, by the name of the branch that they belong to."""


@dataclass(frozen=True)
class AdapterRecords:
    """All that the server records of one version."""

    slot: Slot
    adapter: RegisteredAdapter
    lineage: LineageStatement | None
    verdict: VerdictStatement | None
    """The newest."""
    stored: tuple[StoredStatement, ...]
    """Every statement about it, newest first."""
    entries: tuple[LedgerEntry, ...]
    """Every ledger entry about it."""
    known: Mapping[str, RegisteredAdapter] = field(default_factory=dict)
    """Every registered adapter by its bundle, if this one learned from others."""

    @property
    def version(self) -> int:
        """Number of the version."""
        return self.adapter.version

    @property
    def name(self) -> str:
        """``SITE/TASK v3``."""
        return f"{self.slot} v{self.version}"

    @property
    def status(self) -> str:
        """What it is now, by the ledger."""
        judged = f"never champion ({self.verdict.outcome if self.verdict else 'not gated'})"
        return {"never champion": judged, "was champion": "retired"}.get(self.adapter.status, self.adapter.status)

    @property
    def override(self) -> str:
        """Who requested and approved the override by which it is champion, and the reason; empty without one."""
        if not self.adapter.is_champion:
            return ""
        made = [entry for entry in self.entries if entry.after == self.version and entry.event in MOVES]
        last = made[-1] if made else None
        if last is None or last.event != "overridden":
            return ""
        asked = last.detail.get("asked by", "unknown")
        return f"since {short(last.at)}, requested by {asked}, approved by {last.principal.name}: {last.reason}"


def find_records(records: ServerRecords, slot: Slot, version: int | None) -> AdapterRecords:
    """Collect what the server records of a version; without a number, of the champion or else of the newest version."""
    adapters, periods = records.adapters(str(slot)), records.champion_periods(str(slot))
    number = version if version is not None else _newest(adapters, periods)
    # a model that was deleted and made again has two adapters of one number: the later one is meant
    adapter = next((one for one in reversed(adapters) if one.version == number), None)
    if adapter is None:
        what = "has no adapters yet" if number is None else f"v{number} is not in the ledger of {records.uri}"
        raise RegistryError(f"{slot} {what}; list its versions with: elp versions list {slot}")
    stored = tuple(records.statements(slot.model_name, adapter.version))
    lineage, verdict = newest_statements(map(statement_of, stored))
    entries = tuple(entry for entry in _entries(records, slot) if adapter.version in (entry.before, entry.after))
    known = by_bundle(records.adapters()) if lineage and lineage.learned else {}
    return AdapterRecords(slot, adapter.with_periods(periods), lineage, verdict, stored, entries, known)


def adapter_tree(db: sqlite3.Connection, subject: AdapterRecords, checked: Branches | None = None) -> Fact:
    """Return the tree of an adapter, down to its clips; `checked` results go below the branches."""
    lineage, stored = subject.lineage, subject.stored
    files = sorted(lineage.files.items()) if lineage else ()
    branches = [Fact("status", subject.status)]
    if subject.override:
        branches.append(Fact("OVERRIDE, without a valid verdict", subject.override))
    parts = tuple(Fact(name, f"sha256:{digest}") for name, digest in files)
    branches.append(Fact("bundle", subject.adapter.bundle, children=parts))
    if lineage is None:
        branches.append(Fact("lineage", "no statement", "", "the server has none for this version"))
    else:
        fingerprint = Fact("fingerprint", lineage.fingerprint)
        branches += [
            _dataset(db, lineage),
            _golden(lineage),
            Fact("backbone", backbone_of(lineage), children=(fingerprint, *_origin(lineage.backbone_origin))),
            _training(lineage),
            *learned_branch(lineage, subject.known),
        ]
    recorded = tuple(Fact(one.kind, one.digest, note=f"recorded {short(one.at)}") for one in stored)
    branches += [_verdict(subject.verdict), Fact("statements", str(len(stored)), children=recorded), _ledger(subject)]
    results = checked or {}
    children = (replace(one, children=(*one.children, *results.get(one.name, ()))) for one in branches)
    note = f"registered {short(subject.adapter.registered)}"
    return Fact("adapter", subject.name, note=note, children=tuple(children))


def _origin(origin: BackboneOrigin) -> tuple[Fact, ...]:
    """Return what the lineage says about licence, source and pre-training data of the backbone."""
    commercial = f"commercial use {origin.commercial or 'unknown'}"
    more = (("source", origin.source), ("pre-training data", origin.pretraining))
    licence = Fact("licence", origin.licence or "unknown", note=commercial)
    return (licence, *(Fact(name, value) for name, value in more if value))


def _newest(adapters: list[RegisteredAdapter], periods: list[ChampionPeriod]) -> int | None:
    """Return the champion, or else the newest version that was not deleted, or else the newest version."""
    champion = next((period.version for period in periods if period.until is None), None)
    order = sorted((not one.deleted, one.version) for one in adapters)
    return champion if champion is not None or not order else order[-1][1]


def _entries(records: ServerRecords, slot: Slot) -> Iterator[LedgerEntry]:
    for row in records.ledger(str(slot)):
        # the verification names an entry that cannot be read
        with contextlib.suppress(AttestationError):
            if mine := about_slot(read_entry(row.entry), slot):
                yield mine


def _dataset(db: sqlite3.Connection, lineage: LineageStatement) -> Fact:
    training, counts = lineage.training, lineage.material("dataset").annotations
    used = f"{count(training.clips, 'clip')} trained on, {training.seconds / 60:.1f} minutes"
    children = (
        Fact("Git commit", lineage.digest_of("dataset", "gitCommit")),
        Fact("DVC hash", f"md5:{lineage.digest_of('dataset', 'dvcMd5')}"),
        Fact("amount", f"{counts.get('clips', '?')} clips of {counts.get('speakers', '?')} speakers"),
        Fact("clips used", f"sha256:{lineage.digest_of('clips', 'elpIds')}", note=used),
        *_shards(db, lineage.dataset),
    )
    return Fact("dataset", lineage.dataset, note=lineage.material("dataset").uri, children=children)


def _shards(db: sqlite3.Connection, tag: str) -> Iterator[Fact]:
    """Yield the shards of a dataset version, each with its first clips."""
    shards = db.execute(
        """SELECT f.id, f.name, f.md5, COUNT(*), COUNT(DISTINCT c.speaker) FROM release r
        JOIN span s ON s.slot = r.slot AND s.folder = 'shards' AND r.version BETWEEN s.first AND s.last
        JOIN file f ON f.id = s.file JOIN clip c ON c.file = f.id
        WHERE r.tag = ? GROUP BY f.id ORDER BY f.name""",
        (tag,),
    )
    for number, name, md5, held, speakers in shards.fetchall():
        query = "SELECT id, speaker, split, seconds FROM clip WHERE file = ? ORDER BY id LIMIT ?"
        clips = [
            Fact("clip", clip.hex(), note=f"{speaker or 'unnamed speaker'}, {split}, {seconds:.1f} s")
            for clip, speaker, split, seconds in db.execute(query, (number, SHOWN))
        ]
        more = [Fact("clips", f"and {held - SHOWN} more")] if held > SHOWN else []
        yield Fact(
            "shard",
            name,
            note=f"md5:{md5}, {count(held, 'clip')}, {count(speakers, 'speaker')}",
            children=(*clips, *more),
        )


def _golden(lineage: LineageStatement) -> Fact:
    if not lineage.golden:
        return Fact("golden set", "none", note="none was in force at training")
    children = (
        Fact("digest", f"sha256:{lineage.digest_of('golden', 'elpIds')}"),
        Fact("training clips left out for it", str(lineage.training.excluded)),
    )
    return Fact("golden set", lineage.golden, note="in force at training", children=children)


def _training(lineage: LineageStatement) -> Fact:
    code, packages, machine = lineage.material("code"), lineage.material("packages"), lineage.hardware
    dirty = "with uncommitted changes" if code.annotations.get("dirty") else ""
    commit, torch = code.digest.get("gitCommit", ""), f"torch {packages.annotations.get('torch', '?')}"
    children = (
        Fact("code", f"{code.annotations.get('version', '')} {commit}".strip(), note=dirty),
        Fact("code digest", f"sha256:{code.digest.get('elpCode', '')}"),
        Fact("packages", f"sha256:{packages.digest.get('elpLock', '')}", note=torch),
        Fact("hardware", f"{machine.system}, {machine.cores} cores, {machine.gpu or 'no GPU'}"),
        Fact("seed", str(lineage.seed)),
        Fact("training key", lineage.key),
        *_language(lineage.language),
        *([Fact("in one pass with", ", ".join(lineage.training.beside))] if lineage.training.beside else ()),
        Fact("Prefect flow run", lineage.flow_run or "none: trained outside a flow"),
        Fact("MLflow run", lineage.run),
    )
    return Fact("training", short(lineage.finished), children=children)


def _language(language: TrainedLanguage) -> Iterator[Fact]:
    """Yield what the head writes, unless it is English letters."""
    if language.code:
        rule = f"normaliser {normaliser_text(language.normaliser)}" if language.normaliser else ""
        yield Fact("language", language.code, note=rule)
    if language.units:
        added = f", of them {len(language.added)} new" if language.parent else ""
        yield Fact("units", language.units, note=units_text(language.size, language.kind) + added)
    if language.parent:
        yield Fact("head started from", language.parent, note="a champion on a part of these clips")


def _verdict(verdict: VerdictStatement | None) -> Fact:
    if verdict is None:
        return Fact("verdict", "not gated")
    against = f"v{verdict.against.version}" if verdict.against else "no champion: first version"
    details = verdict.details
    children = (
        *(Fact("why", reason) for reason in (details.reasons if details else ())),
        *_numbers(verdict),
        Fact("against", against, note=verdict.against.bundle if verdict.against else ""),
        Fact("on", verdict.golden.tag, note=verdict.golden.digest),
        Fact("policy", verdict.policy),
        *((Fact("normaliser", verdict.normaliser.name, note=verdict.normaliser.digest),) if verdict.normaliser else ()),
        Fact("evidence", verdict.evidence.path, note=f"sha256:{verdict.evidence.sha256}"),
    )
    note = f"{short(verdict.decided_at)}: {verdict_headline(verdict)}"
    return Fact("verdict", verdict.outcome, note=note, children=children)


def _numbers(verdict: VerdictStatement) -> Iterator[Fact]:
    """Yield what was measured, and the limits of the policy that it was held against; 0.1.0 recorded no limits."""
    details, title = verdict.details, metric_title(verdict.metric)
    if details is None:
        return
    yield Fact(
        title, _interval(verdict.challenger, verdict.challenger_interval), note=f"limit {percent(details.limit)}"
    )
    if verdict.against is not None:
        yield Fact(f"{title} of the champion", _interval(verdict.champion, details.champion_interval))
        low, high = (points(math.nan if bound is None else bound) for bound in verdict.interval or (None, None))
        delta = points(math.nan if verdict.delta is None else verdict.delta)
        yield Fact("difference", f"{delta} ({low} … {high})", note=f"allowed {points(details.margin)}")
    yield from (Fact(f"{one.kind or 'condition'} {one.name}", one.outcome) for one in details.slices)
    yield from (Fact(f"check {one.name}", one.outcome) for one in details.checks if one.outcome != "passed")


def _interval(value: float | None, bounds: Span | None) -> str:
    shown, low, high = (percent(math.nan if one is None else one) for one in (value, *(bounds or (None, None))))
    return f"{shown} ({low} … {high})"


def _ledger(subject: AdapterRecords) -> Fact:
    lines = tuple(
        Fact(
            f"{one.seq} {one.event}",
            short(one.at),
            note=f"by {one.principal.name}" + (one.reason and f": {one.reason}"),
        )
        for one in subject.entries
    )
    return Fact("ledger", count(len(lines), "entry"), children=lines)
