"""The signed statements: whole, signed by whom may sign, recorded by the ledger, and what the registry's tags claim."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import cast

from pipelines.audit.checks.ledger_checks import Witness
from pipelines.audit.facts import Fact, compared
from pipelines.audit.server_index import Stored, backbone_of, named
from pipelines.errors import AttestationError
from pipelines.registry.ledger.entry import LedgerEntry
from pipelines.registry.signing.envelope import read_envelope, verify
from pipelines.registry.signing.keys import KeyRing, Role
from pipelines.registry.statements import LineageStatement, Statement, VerdictStatement, parse_statement
from pipelines.registry.tags import Tags


def check_statement(stored: Stored, ring: KeyRing, witness: Witness) -> tuple[Fact, Statement | None]:
    """One statement: its digest, signature and key, and that the ledger recorded it about this version."""
    name = f"{stored.kind} statement"
    recorded = witness.recorded.get(stored.digest)
    try:
        envelope = read_envelope(stored.envelope)
        statement = parse_statement(envelope.payload)
        if envelope.digest != stored.digest:
            return Fact(name, stored.digest, "mismatch", f"its payload hashes to {envelope.digest}"), None
        if recorded is None:
            return Fact(name, stored.digest, "mismatch", "no entry of the ledger recorded it"), None
        key = verify(envelope, ring, cast(Role, statement.kind), recorded_at=recorded)
    except AttestationError as error:
        return Fact(name, stored.digest, "mismatch", str(error)), None
    about = statement.version if isinstance(statement, VerdictStatement) else stored.version
    if (statement.kind, statement.model, about) != (stored.kind, stored.model, stored.version):
        other = f"it is a {statement.kind} about {statement.model} v{about}, stored as {stored.model} v{stored.version}"
        return Fact(name, stored.digest, "mismatch", other), None
    return Fact(name, stored.digest, "ok", f"signed by {key.name} ({key.keyid[:12]})"), statement


def check_lost(witness: Witness, slot: str, versions: Sequence[int] | None, stored: Iterable[Stored]) -> list[Fact]:
    """Statements that the ledger recorded for a slot (all, or some versions) and the server does not give."""
    here = {one.digest for one in stored}
    lost: dict[str, Fact] = {}
    for entry in witness.entries:
        if entry.slot != slot or entry.event not in ("registered", "gated"):
            continue
        if versions is not None and entry.after not in versions:
            continue
        for digest in entry.statements:
            if digest not in here:
                note = f"entry {entry.seq} ({entry.event}) recorded it, the server has it no more"
                lost[digest] = Fact("statement", digest, "mismatch", note)
    return list(lost.values())


def check_tags(tags: Mapping[str, str], lineage: LineageStatement | None, verdict: VerdictStatement | None) -> Fact:
    """What the version's tags claim, against what was signed."""
    wanted: dict[str, str] = {}
    if lineage is not None:
        wanted |= {
            Tags.BUNDLE: lineage.bundle,
            Tags.FINGERPRINT: lineage.fingerprint,
            Tags.BACKBONE: backbone_of(lineage),
            Tags.DATASET: lineage.dataset,
            Tags.REVISION: named(lineage, "dataset", "gitCommit"),
            Tags.KEY: str(lineage.given.get("key", "")),
            Tags.SEED: str(lineage.asked.get("seed", "")),
        }
        if Tags.DVC_HASH in tags:
            tags = {**tags, Tags.DVC_HASH: plain_md5(tags[Tags.DVC_HASH])}
            wanted[Tags.DVC_HASH] = plain_md5(named(lineage, "dataset", "dvcMd5"))
    wanted[Tags.VERDICT] = verdict.outcome if verdict is not None else ""
    if verdict is not None:
        wanted |= {Tags.GOLDEN: verdict.golden.tag, Tags.METRIC: verdict.metric}
    elif tags.get(Tags.VERDICT) == "not gated":
        wanted[Tags.VERDICT] = "not gated"
    facts = tuple(
        compared(name, tags.get(name, ""), expected, "the signed statement")
        for name, expected in sorted(wanted.items())
    )
    wrong = tuple(fact for fact in facts if fact.state == "mismatch")
    told = f"{len(facts)} compared with the statements"
    return Fact("tags", told, "mismatch" if wrong else "ok", "", wrong)


def check_reason(entry: LedgerEntry, proven: Mapping[str, Statement | None]) -> Fact:
    """Whether the entry that made the champion rests on a passed verdict about this very version and bundle.

    Args:
        entry: What `Witness.champion` gave.
        proven: Statements by digest; None where its signature does not hold.
    """
    name = f"entry {entry.seq}, {entry.event}"
    if entry.event in ("overridden", "retired"):
        return Fact("rests on", name, "", f"by {entry.principal.name}: {entry.reason}")
    for digest in entry.statements:
        verdict = proven.get(digest)
        if isinstance(verdict, VerdictStatement):
            about = (verdict.version, verdict.bundle, verdict.outcome)
            if about == (entry.after, entry.bundle, "passed"):
                return Fact("rests on", name, "ok", f"verdict {digest[:12]}: passed")
            told = f"verdict {digest[:12]} is {verdict.outcome} about v{verdict.version}, {verdict.bundle}"
            return Fact("rests on", name, "mismatch", told)
    return Fact("rests on", name, "mismatch", "no verdict whose signature holds is named by it")


def plain_md5(digest: str) -> str:
    """A DVC hash as its digits alone."""
    return digest.removeprefix("md5:").removesuffix(".dir")
