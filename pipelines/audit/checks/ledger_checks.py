"""The whole ledger: its chain, signatures and anchor, and whether the registry stands where its last word says."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from pipelines.audit.facts import Fact, State, compared
from pipelines.errors import AttestationError
from pipelines.registry.ledger.chain import Chain, verify_chain
from pipelines.registry.ledger.entry import MOVES, Head, LedgerEntry, LedgerRow, read_entry
from pipelines.registry.signing.keys import KeyRing
from pipelines.registry.statements import LineageStatement, VerdictStatement


@dataclass(frozen=True)
class Witness:
    """The ledger, once through the check."""

    chain: Chain
    entries: tuple[LedgerEntry, ...]
    """Those that can be read."""
    recorded: Mapping[str, str]
    """Digest of each statement that an entry names -> when it was named first."""

    def champion(self, slot: str) -> LedgerEntry | None:
        """The entry that has the last word on the slot's champion; None where no version ever was."""
        last: LedgerEntry | None = None
        for entry in self.entries:
            if entry.slot != slot or entry.event not in MOVES:
                continue
            retires_other = entry.event == "retired" and last is not None and entry.before != last.after
            if not retires_other:
                last = entry
        return last


def read_ledger(rows: Iterable[LedgerRow], ring: KeyRing, anchor: Head | None) -> Witness:
    """Check every entry of a ledger, from its first, and keep what can be read."""
    entries: list[LedgerEntry] = []
    recorded: dict[str, str] = {}

    def passing() -> Iterator[LedgerRow]:
        for row in rows:
            yield row
            try:
                entry = read_entry(row.entry)
            except AttestationError:
                # the chain's own check names it
                continue
            entries.append(entry)
            for digest in entry.statements:
                recorded.setdefault(digest, entry.at)

    chain = verify_chain(passing(), ring, anchor)
    return Witness(chain, tuple(entries), recorded)


def check_chain(witness: Witness, anchor: Head | None, where: str) -> tuple[Fact, ...]:
    """What came of the chain; `where` says where the anchor lies."""
    chain = witness.chain
    faults = tuple(Fact(f"entry {fault.seq}", fault.trouble, "mismatch", fault.detail) for fault in chain.faults)
    whole: State = "ok" if chain.whole else "mismatch"
    note = "" if chain.whole else f"broken at entry {chain.faults[0].seq}"
    facts = [Fact("chain", f"{chain.entries} entries, the newest {chain.head.hash[:16]}", whole, note, faults)]
    if anchor is None:
        facts.append(Fact("anchor", "none", "unchecked", f"no file {where}: entries cut off at the end cannot be seen"))
    else:
        # whether the ledger reaches it is among the chain's faults
        facts.append(Fact("anchor", f"entry {anchor.seq}", "" if chain.faults else "ok", where))
    if chain.by_revoked_key:
        held = ", ".join(map(str, chain.by_revoked_key[:5]))
        facts.append(Fact("revoked key", f"entries {held}", "", "signed by it, and held by good entries after them"))
    return tuple(facts)


def check_champion(witness: Witness, slot: str, alias: int | None) -> Fact:
    """The alias of the registry against the ledger's last word."""
    last = witness.champion(slot)
    told = None if last is None or last.event == "retired" else last.after
    by = f"entry {last.seq}, {last.event}" if last else "no entry"
    if told == alias:
        return Fact("alias champion", _name(told), "ok", f"ledger: {by}")
    return Fact("alias champion", _name(alias), "mismatch", f"the ledger says {_name(told)} ({by})")


def check_challenger(version: int, champion: int | None, verdict: VerdictStatement | None) -> Fact:
    """The alias of the registry against the newest signed verdict on the version that it points at.

    Args:
        version: Where the alias stands.
        champion: Where the other one stands.
        verdict: The newest on `version` whose signature holds; None where there is none.
    """
    name, where = "alias challenger", _name(version)
    if version == champion:
        return Fact(name, where, "mismatch", "it is the champion")
    if verdict is None:
        return Fact(name, where, "mismatch", "no verdict whose signature holds is about it")
    state: State = "ok" if verdict.outcome == "passed" else "mismatch"
    return Fact(name, where, state, f"its newest verdict: {verdict.outcome}")


def check_registered(witness: Witness, slot: str, version: int, lineage: LineageStatement | None) -> Fact:
    """The bundle that the ledger saw at registration, against the signed one."""
    told = [e.bundle for e in witness.entries if (e.slot, e.event, e.after) == (slot, "registered", version)]
    signed = lineage.bundle if lineage else ""
    return compared("registered in the ledger", told[-1] if told else "", signed, "the signed lineage")


def check_versions(witness: Witness, slot: str, registry: Iterable[int]) -> tuple[Fact, ...]:
    """Versions that only one of the two knows."""
    told: set[int] = set()
    for entry in witness.entries:
        if entry.slot == slot and entry.event == "registered" and entry.after is not None:
            told.add(entry.after)
        elif entry.slot == slot and entry.event == "deleted":
            # without a version, the whole model was deleted
            told = told - {entry.after} if entry.after is not None else set()
    here = set(registry)
    lost = sorted(told - here)
    strangers = sorted(here - told)
    return (
        *(Fact("version", f"v{n}", "mismatch", "the ledger has it, the registry has not") for n in lost),
        *(Fact("version", f"v{n}", "unchecked", "the ledger does not know it: no signed lineage") for n in strangers),
    )


def _name(version: int | None) -> str:
    return "no champion" if version is None else f"v{version}"
