"""The tree of one adapter: its signed statements, the ledger, and its data down to the clips, from the index."""

import math
import sqlite3
from collections.abc import Iterator, Mapping
from dataclasses import replace

from elp_core.languages import units_text
from pipelines.audit.adapter_records import AdapterRecords
from pipelines.audit.audit_phrases import clips_text, outcome_text
from pipelines.audit.facts import Fact
from pipelines.audit.learned_from import learned_branch
from pipelines.audit.server_records import backbone_of
from pipelines.audit.tables import short
from pipelines.number_text import metric_title, percent, points
from pipelines.registry.description import verdict_headline
from pipelines.registry.lineage import BackboneOrigin, TrainedLanguage, normaliser_text
from pipelines.registry.statements import LineageStatement
from pipelines.registry.verdict_statement import Span, VerdictStatement
from pipelines.texts.english_phrases import Phrase, Recorded, phrase, phrase_many

_COMMERCIAL = {"allowed": phrase("commercial use allowed"), "forbidden": phrase("commercial use forbidden")}
SHOWN = 3
"""Clips that the tree shows of each shard."""
Branches = Mapping[str, tuple[Fact, ...]]
"""The results of a verification, by the name of the branch that they belong to."""


def adapter_tree(db: sqlite3.Connection, subject: AdapterRecords, checked: Branches | None = None) -> Fact:
    """Return the tree of an adapter, down to its clips; `checked` results go below the branches."""
    lineage, stored = subject.lineage, subject.stored
    files = sorted(lineage.files.items()) if lineage else ()
    branches = [Fact(phrase("status"), subject.status)]
    if subject.override:
        branches.append(Fact(phrase("OVERRIDE, without a valid verdict"), subject.override))
    parts = tuple(Fact(name, f"sha256:{digest}") for name, digest in files)
    branches.append(Fact(phrase("bundle"), subject.adapter.bundle, children=parts))
    if lineage is None:
        branches.append(
            Fact(phrase("lineage"), phrase("no statement"), "", phrase("the server has none for this version"))
        )
    else:
        fingerprint = Fact(phrase("fingerprint"), lineage.fingerprint)
        branches += [
            _dataset(db, lineage),
            _golden(lineage),
            Fact(phrase("backbone"), backbone_of(lineage), children=(fingerprint, *_origin(lineage.backbone_origin))),
            _training(lineage),
            *learned_branch(lineage, subject.known),
        ]
    kinds = {"lineage": phrase("lineage"), "verdict": phrase("verdict")}
    recorded = tuple(
        Fact(kinds.get(one.kind, one.kind), one.digest, note=phrase("recorded %(moment)s", moment=short(one.at)))
        for one in stored
    )
    statements = Fact(phrase("statements"), str(len(stored)), children=recorded)
    branches += [_verdict(subject.verdict), statements, _ledger(subject)]
    results = checked or {}
    children = (replace(one, children=(*one.children, *results.get(one.name, ()))) for one in branches)
    note = phrase("registered %(moment)s", moment=short(subject.adapter.registered))
    return Fact(phrase("adapter"), subject.name, note=note, children=tuple(children))


def _origin(origin: BackboneOrigin) -> tuple[Fact, ...]:
    """Return what the lineage says about licence, source and pre-training data of the backbone."""
    commercial = _COMMERCIAL.get(origin.commercial, phrase("commercial use unknown"))
    more = ((phrase("source"), origin.source), (phrase("pre-training data"), origin.pretraining))
    licence = Fact(phrase("licence"), origin.licence or phrase("unknown"), note=commercial)
    return (licence, *(Fact(name, value) for name, value in more if value))


def _dataset(db: sqlite3.Connection, lineage: LineageStatement) -> Fact:
    training, counts = lineage.training, lineage.material("dataset").annotations
    used = phrase(
        "%(clips)s trained on, %(minutes)s minutes",
        clips=clips_text(training.clips),
        minutes=f"{training.seconds / 60:.1f}",
    )
    held = phrase(
        "%(clips)s clips of %(speakers)s speakers",
        clips=counts.get("clips", "?"),
        speakers=counts.get("speakers", "?"),
    )
    children = (
        Fact(phrase("Git commit"), lineage.digest_of("dataset", "gitCommit")),
        Fact(phrase("DVC hash"), f"md5:{lineage.digest_of('dataset', 'dvcMd5')}"),
        Fact(phrase("amount"), held),
        Fact(phrase("clips used"), f"sha256:{lineage.digest_of('clips', 'elpIds')}", note=used),
        *_shards(db, lineage.dataset),
    )
    return Fact(phrase("dataset"), lineage.dataset, note=lineage.material("dataset").uri, children=children)


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
            Fact(phrase("clip"), clip.hex(), note=_clip_note(speaker, split, seconds))
            for clip, speaker, split, seconds in db.execute(query, (number, SHOWN))
        ]
        rest = phrase("and %(number)s more", number=held - SHOWN)
        more = [Fact(phrase("clips"), rest)] if held > SHOWN else []
        people = phrase_many("%(number)s speaker", "%(number)s speakers", speakers)
        yield Fact(
            phrase("shard"),
            name,
            note=phrase("md5:%(md5)s, %(clips)s, %(speakers)s", md5=md5, clips=clips_text(held), speakers=people),
            children=(*clips, *more),
        )


def _clip_note(speaker: str, split: str, seconds: float) -> Phrase:
    splits = {"train": phrase("train"), "validation": phrase("validation"), "test": phrase("test")}
    return phrase(
        "%(speaker)s, %(split)s, %(seconds)s s",
        speaker=speaker or phrase("unnamed speaker"),
        split=splits.get(split, split),
        seconds=f"{seconds:.1f}",
    )


def _golden(lineage: LineageStatement) -> Fact:
    if not lineage.golden:
        return Fact(phrase("golden set"), phrase("none"), note=phrase("none was in force at training"))
    children = (
        Fact(phrase("digest"), f"sha256:{lineage.digest_of('golden', 'elpIds')}"),
        Fact(phrase("training clips left out for it"), str(lineage.training.excluded)),
    )
    return Fact(phrase("golden set"), lineage.golden, note=phrase("in force at training"), children=children)


def _training(lineage: LineageStatement) -> Fact:
    code, packages, machine = lineage.material("code"), lineage.material("packages"), lineage.hardware
    dirty = phrase("with uncommitted changes") if code.annotations.get("dirty") else ""
    commit, torch = code.digest.get("gitCommit", ""), f"torch {packages.annotations.get('torch', '?')}"
    hardware = phrase(
        "%(system)s, %(cores)s cores, %(gpu)s",
        system=machine.system,
        cores=machine.cores,
        gpu=machine.gpu or phrase("no GPU"),
    )
    children = (
        Fact(phrase("code"), f"{code.annotations.get('version', '')} {commit}".strip(), note=dirty),
        Fact(phrase("code digest"), f"sha256:{code.digest.get('elpCode', '')}"),
        Fact(phrase("packages"), f"sha256:{packages.digest.get('elpLock', '')}", note=torch),
        Fact(phrase("hardware"), hardware),
        Fact(phrase("seed"), str(lineage.seed)),
        Fact(phrase("training key"), lineage.key),
        *_language(lineage.language),
        *([Fact(phrase("in one pass with"), ", ".join(lineage.training.beside))] if lineage.training.beside else ()),
        Fact(phrase("Prefect flow run"), lineage.flow_run or phrase("none: trained outside a flow")),
        Fact(phrase("MLflow run"), lineage.run),
    )
    return Fact(phrase("training"), short(lineage.finished), children=children)


def _language(language: TrainedLanguage) -> Iterator[Fact]:
    """Yield what the head writes, unless it is English letters."""
    if language.code:
        name = normaliser_text(language.normaliser) if language.normaliser else ""
        rule = phrase("normaliser %(name)s", name=name) if name else ""
        yield Fact(phrase("language"), language.code, note=rule)
    if language.units:
        added = f", of them {len(language.added)} new" if language.parent else ""
        yield Fact(phrase("units"), language.units, note=units_text(language.size, language.kind) + added)
    if language.parent:
        yield Fact(phrase("head started from"), language.parent, note=phrase("a champion on a part of these clips"))


def _verdict(verdict: VerdictStatement | None) -> Fact:
    if verdict is None:
        return Fact(phrase("verdict"), phrase("not gated"))
    against = f"v{verdict.against.version}" if verdict.against else phrase("no champion: first version")
    details = verdict.details
    children = (
        *(Fact(phrase("why"), reason) for reason in (details.reasons if details else ())),
        *_numbers(verdict),
        Fact(phrase("against"), against, note=verdict.against.bundle if verdict.against else ""),
        Fact(phrase("on"), verdict.golden.tag, note=verdict.golden.digest),
        Fact(phrase("policy"), verdict.policy),
        *_normaliser(verdict),
        Fact(phrase("evidence"), verdict.evidence.path, note=f"sha256:{verdict.evidence.sha256}"),
    )
    note = f"{short(verdict.decided_at)}: {verdict_headline(verdict)}"
    return Fact(phrase("verdict"), outcome_text(verdict.outcome), note=note, children=children)


def _normaliser(verdict: VerdictStatement) -> Iterator[Fact]:
    if found := verdict.normaliser:
        yield Fact(phrase("normaliser"), found.name, note=found.digest)


def _numbers(verdict: VerdictStatement) -> Iterator[Fact]:
    """Yield what was measured, and the limits of the policy that it was held against; 0.1.0 recorded no limits."""
    details, title = verdict.details, metric_title(verdict.metric)
    if details is None:
        return
    limit = phrase("limit %(value)s", value=percent(details.limit))
    yield Fact(title, _interval(verdict.challenger, verdict.challenger_interval), note=limit)
    if verdict.against is not None:
        name = phrase("%(metric)s of the champion", metric=title)
        yield Fact(name, _interval(verdict.champion, details.champion_interval))
        low, high = (points(math.nan if bound is None else bound) for bound in verdict.interval or (None, None))
        delta = points(math.nan if verdict.delta is None else verdict.delta)
        allowed = phrase("allowed %(difference)s", difference=points(details.margin))
        yield Fact(phrase("difference"), f"{delta} ({low} … {high})", note=allowed)
    for one in details.slices:
        name = phrase("group %(name)s", name=one.name) if one.kind else phrase("condition %(name)s", name=one.name)
        yield Fact(name, outcome_text(one.outcome))
    for one in details.checks:
        if one.outcome != "passed":
            yield Fact(phrase("check %(name)s", name=one.name), outcome_text(one.outcome))


def _interval(value: float | None, bounds: Span | None) -> str:
    shown, low, high = (percent(math.nan if one is None else one) for one in (value, *(bounds or (None, None))))
    return f"{shown} ({low} … {high})"


def _ledger(subject: AdapterRecords) -> Fact:
    lines = tuple(
        Fact(Recorded(f"{one.seq} {one.event}"), short(one.at), note=_entry_note(one.principal.name, one.reason))
        for one in subject.entries
    )
    entries = phrase_many("%(number)s entry", "%(number)s entries", len(lines))
    return Fact(phrase("ledger"), entries, children=lines)


def _entry_note(name: str, reason: str) -> Phrase:
    if reason:
        return phrase("by %(name)s: %(reason)s", name=name, reason=reason)
    return phrase("by %(name)s", name=name)
