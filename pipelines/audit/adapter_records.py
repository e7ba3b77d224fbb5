"""The records of one adapter: its signed statements and the ledger entries about it."""

import contextlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from pipelines.audit.audit_phrases import outcome_text
from pipelines.audit.server_records import ServerRecords, newest_statements, statement_of
from pipelines.audit.tables import short
from pipelines.errors import AttestationError, RegistryError
from pipelines.registry.ancestry import by_bundle
from pipelines.registry.client.server_api import StoredStatement
from pipelines.registry.ledger.entry import MOVES, LedgerEntry, read_entry
from pipelines.registry.ledger.site_moves import about_slot
from pipelines.registry.registered_adapter import ChampionPeriod, RegisteredAdapter
from pipelines.registry.slot import Slot
from pipelines.registry.statements import LineageStatement
from pipelines.registry.verdict_statement import VerdictStatement
from pipelines.texts.english_phrases import phrase


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
        outcome = outcome_text(self.verdict.outcome) if self.verdict else phrase("not gated")
        found = {
            "champion": phrase("champion"),
            "was champion": phrase("retired"),
            "deleted": phrase("deleted"),
            "never champion": phrase("never champion (%(outcome)s)", outcome=outcome),
        }
        return found[self.adapter.status]

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
        return phrase(
            "since %(moment)s, requested by %(first)s, approved by %(second)s: %(reason)s",
            moment=short(last.at),
            first=asked,
            second=last.principal.name,
            reason=last.reason,
        )


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
