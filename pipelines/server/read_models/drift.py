"""How much a champion's metric has changed since its promotion, from later verdicts that measured it again.

The gate of a challenger measures the champion of that day on the golden set of that day, and signs both numbers.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from pipelines.registry.ledger.entry import LedgerEntry
from pipelines.registry.slot import Slot
from pipelines.registry.verdict_statement import ChampionRef, VerdictStatement
from pipelines.server.read_models.by_version import Key
from pipelines.server.read_models.signed_records import RecordedVerdict, last_changes, verdicts, verdicts_after


@dataclass(frozen=True)
class Drift:
    """A champion measured twice."""

    change: float
    """The metric in `now` minus the metric in `then`, as shares."""
    then: RecordedVerdict
    """The verdict under which it became champion."""
    now: RecordedVerdict
    """The newest verdict that measured it again: on a later challenger, or on the champion itself."""

    @property
    def other_golden(self) -> bool:
        """Whether the golden set changed in between. The change is then not the adapter's alone."""
        return self.then.statement.golden != self.now.statement.golden

    def to_json(self) -> dict[str, Any]:
        """Return the answer of the server's API. Rates are shares; `seq` is the ledger entry of the newer verdict."""
        then, details = self.then.statement, self.now.statement.details
        return {
            "slot": then.slot,
            "version": then.version,
            "metric": then.metric,
            "then": then.challenger,
            "now": (then.challenger or 0.0) + self.change,
            "change": self.change,
            "margin": details.margin if details else None,
            "other_golden": self.other_golden,
            "seq": self.now.seq,
        }


def read_drifts(registry: sa.Connection, slot: str = "") -> list[Drift]:
    """Return the drift of every champion that was measured again, or of one slot's."""
    changes = {name: change for name, change in last_changes(registry).items() if slot in ("", name)}
    keys = [(Slot.parse(name).model_name, change.after) for name, change in changes.items() if change.after]
    return list(find_drifts(registry, changes.values(), verdicts(registry, keys)).values())


def find_drifts(
    registry: sa.Connection, changes: Iterable[LedgerEntry], verdicts: Mapping[Key, Sequence[RecordedVerdict]]
) -> dict[str, Drift]:
    """Return, by slot, the drift of each champion, in one query for all slots.

    `changes` are the newest changes of champion of each slot, `verdicts` those on the champions, oldest first.
    """
    began: dict[str, RecordedVerdict] = {}
    for change in changes:
        model = Slot.parse(change.slot).model_name
        own = verdicts.get((model, change.after), ()) if change.after else ()
        if then := verdict_of_change(change, own):
            began[model] = then
    later = verdicts_after(registry, {model: then.seq for model, then in began.items()})
    found = {then.statement.slot: drift_since(then, later.get(model, ())) for model, then in began.items()}
    return {slot: one for slot, one in found.items() if one}


def verdict_of_change(change: LedgerEntry, own: Sequence[RecordedVerdict]) -> RecordedVerdict | None:
    """Return the verdict under which a version became champion, or None; `own` are those on it, oldest first."""
    # an override names no verdict: then it is the newest one that was known
    named = [one for one in own if one.digest in change.statements]
    before = [one for one in own if one.seq < change.seq and one.statement.bundle == change.bundle]
    return next(reversed(named or before), None)


def drift_since(then: RecordedVerdict, later: Iterable[RecordedVerdict]) -> Drift | None:
    """Compare the newest later measurement with the first; None if no verdict measured the champion in the same way.

    The same way is the same metric of transcripts under the same normaliser. `later` are the slot's later verdicts,
    newest first; they are read up to the first that measured the champion.
    """
    first, champion = then.statement, ChampionRef(then.statement.version, then.statement.bundle)
    for now in later:
        value = _measured(now.statement, champion)
        same = (now.statement.metric, now.statement.normaliser) == (first.metric, first.normaliser)
        if first.challenger is not None and value is not None and same:
            return Drift(value - first.challenger, then, now)
    return None


def _measured(verdict: VerdictStatement, champion: ChampionRef) -> float | None:
    """Return the champion's metric in a verdict; None if the verdict is about others, or the number was not finite."""
    if ChampionRef(verdict.version, verdict.bundle) == champion:
        return verdict.challenger
    return verdict.champion if verdict.against == champion else None
