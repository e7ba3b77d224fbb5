"""Check the whole ledger: its chain, signatures and checkpoint, and whether the registry agrees with it."""

import contextlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from pipelines.audit.audit_phrases import outcome_text
from pipelines.audit.facts import Fact, State, compared
from pipelines.errors import AttestationError
from pipelines.registry.ledger.chain import Chain, verify_chain
from pipelines.registry.ledger.entry import MOVES, Head, LedgerEntry, LedgerRow, read_entry
from pipelines.registry.ledger.site_moves import about_slot
from pipelines.registry.signing.keys import KeyRing
from pipelines.registry.statements import LineageStatement
from pipelines.registry.verdict_statement import VerdictStatement
from pipelines.texts.english_phrases import Phrase, Recorded, phrase


@dataclass(frozen=True)
class CheckedLedger:
    """The ledger and the result of its check."""

    chain: Chain
    entries: tuple[LedgerEntry, ...]
    """Entries that can be read."""
    recorded: Mapping[str, str]
    """When each statement was first named by an entry, by digest."""

    @property
    def deleted_data(self) -> Mapping[str, int]:
        """The files of DVC remotes that were deleted by policy and not restored: the entry that says so, by MD5."""
        found: dict[str, int] = {}
        for entry in self.entries:
            files = entry.detail.get("files", ())
            if entry.event == "data deleted":
                found |= dict.fromkeys(files, entry.seq)
            elif entry.event == "restored":
                found = {md5: seq for md5, seq in found.items() if md5 not in files} if files else found
        return found

    def deletion(self, slot: str, version: int) -> str:
        """Return by which entry a version was deleted, for people; empty if no entry says so."""
        about = [e for e in self.entries if e.slot == slot and e.event == "deleted" and e.after in (version, None)]
        if not about:
            return ""
        last = about[-1]
        by = phrase("policy") if last.detail.get("policy") else last.principal.name
        if last.reason:
            return phrase(
                "deleted by %(name)s, entry %(entry)s: %(reason)s", name=by, entry=last.seq, reason=last.reason
            )
        return phrase("deleted by %(name)s, entry %(entry)s", name=by, entry=last.seq)

    def champion(self, slot: str) -> LedgerEntry | None:
        """Return the newest entry that decides the slot's champion; None if it never had one."""
        last: LedgerEntry | None = None
        for entry in self.entries:
            mine = about_slot(entry, slot) if entry.event in MOVES else None
            if mine is not None:
                # a retirement of a version that is no longer the champion decides nothing
                retires_other = mine.event == "retired" and last is not None and mine.before != last.after
                last = last if retires_other else mine
        return last


def check_ledger(rows: Iterable[LedgerRow], trusted: KeyRing, checkpoint: Head | None) -> CheckedLedger:
    """Check every entry of a ledger, from its first, and keep the entries that can be read."""
    entries: list[LedgerEntry] = []

    def passing() -> Iterator[LedgerRow]:
        for row in rows:
            yield row
            # the check of the chain names an entry that cannot be read
            with contextlib.suppress(AttestationError):
                entries.append(read_entry(row.entry))

    chain = verify_chain(passing(), trusted, checkpoint)
    # backwards, so that the first entry that names a statement counts
    recorded = {digest: entry.at for entry in reversed(entries) for digest in entry.statements}
    return CheckedLedger(chain, tuple(entries), recorded)


def check_chain(ledger: CheckedLedger, checkpoint: Head | None, file: str) -> tuple[Fact, ...]:
    """Return the result for the chain and the checkpoint, which is read from `file`."""
    chain = ledger.chain
    faults = tuple(
        Fact(phrase("entry %(entry)s", entry=fault.seq), fault.trouble, "failed", fault.detail)
        for fault in chain.faults
    )
    whole: State = "verified" if chain.whole else "failed"
    note: str = "" if chain.whole else phrase("broken at entry %(entry)s", entry=chain.faults[0].seq)
    value = phrase("%(entries)s entries, the newest %(hash)s", entries=chain.entries, hash=chain.head.hash[:16])
    facts, name = [Fact(phrase("chain"), value, whole, note, faults)], phrase("checkpoint")
    if checkpoint is None:
        note = phrase("no file %(file)s: entries cut off at the end cannot be detected", file=file)
        facts.append(Fact(name, phrase("none"), "not verified", note))
    else:
        # a ledger that does not reach it is a fault of the chain
        value = phrase("entry %(entry)s", entry=checkpoint.seq)
        facts.append(Fact(name, value, "" if chain.faults else "verified", file))
    if chain.by_revoked_key:
        held = phrase("entries %(numbers)s", numbers=", ".join(map(str, chain.by_revoked_key[:5])))
        note = phrase("signed by it, and confirmed by later entries of a valid key")
        facts.append(Fact(phrase("revoked key"), held, "", note))
    return tuple(facts)


def check_champion(ledger: CheckedLedger, slot: str, alias: int | None) -> Fact:
    """Compare the alias in the registry with the ledger."""
    last = ledger.champion(slot)
    recorded = None if last is None or last.event == "retired" else last.after
    by = numbered_event(last) if last else phrase("no entry")
    name = phrase("alias champion")
    if recorded == alias:
        return Fact(name, _name(recorded), "verified", phrase("ledger: %(entry)s", entry=by))
    note = phrase("the ledger says %(version)s (%(entry)s)", version=_name(recorded), entry=by)
    return Fact(name, _name(alias), "failed", note)


def numbered_event(entry: LedgerEntry) -> Phrase:
    """Return the number of an entry and its event, which is an identifier."""
    return phrase("entry %(entry)s, %(event)s", entry=entry.seq, event=Recorded(entry.event))


def check_challenger(version: int, champion: int | None, verdict: VerdictStatement | None) -> Fact:
    """Compare the alias in the registry with the newest verdict on its version that has a valid signature."""
    state: State = "failed"
    if version == champion:
        note = phrase("it is the champion")
    elif verdict is None:
        note = phrase("no verdict with a valid signature is about it")
    else:
        note = phrase("its newest verdict: %(outcome)s", outcome=outcome_text(verdict.outcome))
        state = "verified" if verdict.outcome == "passed" else "failed"
    return Fact(phrase("alias challenger"), _name(version), state, note)


def check_registered(ledger: CheckedLedger, slot: str, version: int, lineage: LineageStatement | None) -> Fact:
    """Compare the bundle that the ledger recorded at registration with the signed one."""
    recorded = [e.bundle for e in ledger.entries if (e.slot, e.event, e.after) == (slot, "registered", version)]
    signed = lineage.bundle if lineage else ""
    name, source = phrase("registered in the ledger"), phrase("the signed lineage")
    return compared(name, recorded[-1] if recorded else "", signed, source)


def check_versions(ledger: CheckedLedger, slot: str, registry: Iterable[int]) -> tuple[Fact, ...]:
    """Report versions that only the ledger or only the registry has."""
    recorded: set[int] = set()
    for entry in ledger.entries:
        if entry.slot == slot and entry.event in ("registered", "restored") and entry.after is not None:
            recorded.add(entry.after)
        elif entry.slot == slot and entry.event == "deleted":
            # an entry without a version says that the whole model was deleted
            recorded = recorded - {entry.after} if entry.after is not None else set()
    here, unsigned = set(registry), phrase("the ledger does not have it: no signed lineage")
    name, gone = phrase("version"), phrase("the ledger has it, the registry does not")
    return (
        *(Fact(name, f"v{n}", "failed", gone) for n in sorted(recorded - here)),
        *(Fact(name, f"v{n}", "not verified", unsigned) for n in sorted(here - recorded)),
    )


def _name(version: int | None) -> str:
    return phrase("no champion") if version is None else f"v{version}"
