"""Check the signed statements: whole, signed by a key of the role, recorded by the ledger, and equal to the tags."""

from collections.abc import Iterable, Mapping
from typing import cast

from pipelines.audit.checks.ledger_checks import CheckedLedger
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

CheckedStatement = tuple[Fact, Statement | None]
"""The result for a statement, and what it says; None if it did not pass."""


def check_statement(stored: StoredStatement, trusted: KeyRing, ledger: CheckedLedger) -> CheckedStatement:
    """Check one statement: its digest, signature and key, and that the ledger recorded it about this version."""

    def failed(why: str) -> CheckedStatement:
        return Fact(f"{stored.kind} statement", stored.digest, "failed", why), None

    recorded = ledger.recorded.get(stored.digest)
    try:
        envelope = read_envelope(stored.envelope)
        statement = parse_statement(envelope.payload)
        if envelope.digest != stored.digest:
            return failed(f"its payload hashes to {envelope.digest}")
        if recorded is None:
            return failed("no entry of the ledger recorded it")
        # the time is that of the entry: a key that was revoked later still counts for it
        key = verify(envelope, trusted, cast(Role, statement.kind), recorded_at=recorded)
    except AttestationError as error:
        return failed(str(error))
    about = statement.version if isinstance(statement, VerdictStatement) else stored.version
    if (statement.kind, statement.model, about) != (stored.kind, stored.model, stored.version):
        found = f"{statement.kind} about {statement.model} v{about}"
        return failed(f"it is a {found}, stored as {stored.model} v{stored.version}")
    note = f"signed by {key.name} ({key.keyid[:12]})"
    return Fact(f"{stored.kind} statement", stored.digest, "verified", note), statement


def check_lost(ledger: CheckedLedger, slot: str, version: int | None, stored: Iterable[StoredStatement]) -> list[Fact]:
    """Report statements that the ledger recorded for a slot (all versions, or one) and the server does not have."""
    here = {one.digest for one in stored}
    lost: dict[str, Fact] = {}
    for entry in ledger.entries:
        if entry.slot == slot and entry.event in ("registered", "gated") and version in (None, entry.after):
            note = f"entry {entry.seq} ({entry.event}) recorded it, the server does not have it any more"
            lost |= {
                digest: Fact("statement", digest, "failed", note) for digest in entry.statements if digest not in here
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
        compared(name, tags.get(name, ""), expected, "the signed statement")
        for name, expected in sorted(wanted.items())
    )
    wrong = tuple(fact for fact in facts if fact.state == "failed")
    return Fact("tags", f"{len(facts)} compared with the statements", "failed" if wrong else "verified", "", wrong)


def check_reason(entry: LedgerEntry, proven: Iterable[Statement | None]) -> Fact:
    """Check that the entry that made the champion rests on a passed verdict; `proven` are the statements it names."""
    name = f"entry {entry.seq}, {entry.event}"
    if entry.event in ("overridden", "retired"):
        return Fact("rests on", name, "", f"by {entry.principal.name}: {entry.reason}")
    verdict = next((one for one in proven if isinstance(one, VerdictStatement)), None)
    if verdict is None:
        return Fact("rests on", name, "failed", "it names no verdict with a valid signature")
    digest = sha256(verdict.payload)[:12]
    if (verdict.version, verdict.bundle, verdict.outcome) == (entry.after, entry.bundle, "passed"):
        return Fact("rests on", name, "verified", f"verdict {digest}: passed")
    note = f"verdict {digest} is {verdict.outcome} about v{verdict.version}, {verdict.bundle}"
    return Fact("rests on", name, "failed", note)


def plain_md5(digest: str) -> str:
    """Return the digits of a DVC hash."""
    return digest.removeprefix("md5:").removesuffix(".dir")
