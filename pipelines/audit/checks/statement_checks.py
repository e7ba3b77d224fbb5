"""Check the signed statements: whole, signed by a key of the role, recorded by the ledger, and equal to the tags."""

from collections.abc import Iterable, Mapping
from typing import cast

from pipelines.audit.audit_phrases import outcome_text
from pipelines.audit.checks.ledger_checks import CheckedLedger, numbered_event
from pipelines.audit.facts import Fact, compared
from pipelines.audit.server_records import backbone_of
from pipelines.errors import AttestationError
from pipelines.registry.adapter_version import Tags
from pipelines.registry.client.server_api import StoredStatement
from pipelines.registry.description import parents_text
from pipelines.registry.ledger.entry import LedgerEntry
from pipelines.registry.signing.canonical_json import sha256
from pipelines.registry.signing.envelope import read_envelope, verify
from pipelines.registry.signing.keys import KeyRing, Role
from pipelines.registry.statements import LineageStatement, Statement, parse_statement
from pipelines.registry.verdict_statement import VerdictStatement
from pipelines.texts.english_phrases import Recorded, phrase

CheckedStatement = tuple[Fact, Statement | None]
"""The result for a statement, and what it says; None if it did not pass."""


def check_statement(stored: StoredStatement, trusted: KeyRing, ledger: CheckedLedger) -> CheckedStatement:
    """Check one statement: its digest, signature and key, and that the ledger recorded it about this version."""

    def failed(why: str) -> CheckedStatement:
        return Fact(_statement_of(stored.kind), stored.digest, "failed", why), None

    recorded = ledger.recorded.get(stored.digest)
    try:
        envelope = read_envelope(stored.envelope)
        statement = parse_statement(envelope.payload)
        if envelope.digest != stored.digest:
            return failed(phrase("its payload hashes to %(digest)s", digest=envelope.digest))
        if recorded is None:
            return failed(phrase("no entry of the ledger recorded it"))
        # the time is that of the entry: a key that was revoked later still counts for it
        key = verify(envelope, trusted, cast(Role, statement.kind), recorded_at=recorded)
    except AttestationError as error:
        return failed(str(error))
    about = statement.version if isinstance(statement, VerdictStatement) else stored.version
    if (statement.kind, statement.model, about) != (stored.kind, stored.model, stored.version):
        return failed(
            phrase(
                "it is a %(kind)s about %(found)s, stored as %(stored)s",
                kind=statement.kind,
                found=f"{statement.model} v{about}",
                stored=f"{stored.model} v{stored.version}",
            )
        )
    note = phrase("signed by %(name)s (%(key)s)", name=key.name, key=key.keyid[:12])
    return Fact(_statement_of(stored.kind), stored.digest, "verified", note), statement


def _statement_of(kind: str) -> str:
    found = {"lineage": phrase("lineage statement"), "verdict": phrase("verdict statement")}
    return found.get(kind) or f"{kind} statement"


def check_lost(ledger: CheckedLedger, slot: str, version: int | None, stored: Iterable[StoredStatement]) -> list[Fact]:
    """Report statements that the ledger recorded for a slot (all versions, or one) and the server does not have."""
    here = {one.digest for one in stored}
    lost: dict[str, Fact] = {}
    for entry in ledger.entries:
        if entry.slot == slot and entry.event in ("registered", "gated") and version in (None, entry.after):
            note = phrase(
                "entry %(entry)s (%(event)s) recorded it, the server does not have it any more",
                entry=entry.seq,
                event=Recorded(entry.event),
            )
            lost |= {
                digest: Fact(phrase("statement"), digest, "failed", note)
                for digest in entry.statements
                if digest not in here
            }
    return list(lost.values())


def check_tags(tags: Mapping[str, str], lineage: LineageStatement | None, verdict: VerdictStatement | None) -> Fact:
    """Compare the version's tags with what was signed."""
    wanted: dict[str, str] = {}
    if lineage is not None:
        wanted |= {
            Tags.BUNDLE: lineage.bundle,
            Tags.FINGERPRINT: lineage.fingerprint,
            Tags.BACKBONE: backbone_of(lineage),
            Tags.DATASET: lineage.dataset,
            Tags.REVISION: lineage.digest_of("dataset", "gitCommit"),
            Tags.KEY: lineage.key,
            Tags.SEED: str(lineage.seed),
        }
        if lineage.learned and Tags.PARENTS in tags:
            wanted[Tags.PARENTS] = parents_text([one for one in lineage.learned if one.role != "units"])
        if Tags.DVC_HASH in tags:
            tags = {**tags, Tags.DVC_HASH: plain_md5(tags[Tags.DVC_HASH])}
            wanted[Tags.DVC_HASH] = plain_md5(lineage.digest_of("dataset", "dvcMd5"))
    wanted[Tags.VERDICT] = verdict.outcome if verdict is not None else ""
    if verdict is not None:
        wanted |= {Tags.GOLDEN: verdict.golden.tag, Tags.METRIC: verdict.metric}
    elif tags.get(Tags.VERDICT) == "not gated":
        wanted[Tags.VERDICT] = "not gated"
    facts = tuple(
        compared(name, tags.get(name, ""), expected, phrase("the signed statement"))
        for name, expected in sorted(wanted.items())
    )
    wrong = tuple(fact for fact in facts if fact.state == "failed")
    value = phrase("%(tags)s compared with the statements", tags=len(facts))
    return Fact(phrase("tags"), value, "failed" if wrong else "verified", "", wrong)


def check_reason(entry: LedgerEntry, proven: Iterable[Statement | None]) -> Fact:
    """Check that the entry that made the champion rests on a passed verdict; `proven` are the statements it names."""
    rests, name = phrase("rests on"), numbered_event(entry)
    if entry.event in ("overridden", "retired"):
        why = phrase("by %(name)s: %(reason)s", name=entry.principal.name, reason=entry.reason)
        return Fact(rests, name, "", why)
    verdict = next((one for one in proven if isinstance(one, VerdictStatement)), None)
    if verdict is None:
        return Fact(rests, name, "failed", phrase("it names no verdict with a valid signature"))
    digest = sha256(verdict.payload)[:12]
    if (verdict.version, verdict.bundle, verdict.outcome) == (entry.after, entry.bundle, "passed"):
        return Fact(rests, name, "verified", phrase("verdict %(digest)s: passed", digest=digest))
    note = phrase(
        "verdict %(digest)s is %(outcome)s about v%(version)s, %(bundle)s",
        digest=digest,
        outcome=outcome_text(verdict.outcome),
        version=verdict.version,
        bundle=verdict.bundle,
    )
    return Fact(rests, name, "failed", note)


def plain_md5(digest: str) -> str:
    """Return the digits of a DVC hash."""
    return digest.removeprefix("md5:").removesuffix(".dir")
