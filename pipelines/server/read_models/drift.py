"""How far champions have moved since they began to serve, from the verdicts that measured them again.

A challenger's gate measures the champion of that day beside it, on the golden set of that day, and signs both numbers.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import sqlalchemy as sa

from pipelines.registry.ledger.entry import LedgerEntry
from pipelines.registry.slot import Slot
from pipelines.registry.statements import ChampionRef, VerdictStatement
from pipelines.server.read_models import ledger_records as records
from pipelines.server.read_models.by_version import Key
from pipelines.server.read_models.ledger_records import Judged


@dataclass(frozen=True)
class Drift:
    """A champion measured twice."""

    change: float
    """Its metric in `now` less that in `then`, as shares."""
    then: Judged
    """The verdict under which it became champion."""
    now: Judged
    """The newest that measured it again: a later challenger's, or one on the champion itself."""

    @property
    def other_golden(self) -> bool:
        """Whether the golden set changed in between: what moved is then not the adapter alone, and may not be it."""
        return self.then.statement.golden != self.now.statement.golden


def drifts(
    registry: sa.Connection, changes: Iterable[LedgerEntry], verdicts: Mapping[Key, Sequence[Judged]]
) -> dict[str, Drift]:
    """By slot, the drift of the champion that a change made; in one query, however many slots there are.

    Args:
        registry: Connection to the registry's database.
        changes: The newest change of champion of each slot.
        verdicts: On the champions, oldest first.
    """
    began: dict[str, Judged] = {}
    for change in changes:
        model = Slot.parse(change.slot).model_name
        own = verdicts.get((model, change.after), ()) if change.after else ()
        if then := verdict_of_change(change, own):
            began[model] = then
    later = records.verdicts_after(registry, {model: then.seq for model, then in began.items()})
    found = {then.statement.slot: drift(then, later.get(model, ())) for model, then in began.items()}
    return {slot: one for slot, one in found.items() if one}


def verdict_of_change(change: LedgerEntry, own: Sequence[Judged]) -> Judged | None:
    """The verdict under which a version became champion; for an override the newest of before; None without any.

    Args:
        change: After which it served.
        own: The verdicts on it, oldest first.
    """
    named = [one for one in own if one.digest in change.statements]
    before = [one for one in own if one.seq < change.seq and one.statement.bundle == change.bundle]
    return next(reversed(named or before), None)


def drift(then: Judged, later: Iterable[Judged]) -> Drift | None:
    """The newest later measure against the first; None where nothing measured the champion again by the same metric.

    Args:
        then: The verdict under which it became champion.
        later: The slot's verdicts after that one, newest first; read no further than to the first that measured it.
    """
    first, champion = then.statement, ChampionRef(then.statement.version, then.statement.bundle)
    for now in later:
        value = _measured(now.statement, champion)
        if first.challenger is not None and value is not None and now.statement.metric == first.metric:
            return Drift(value - first.challenger, then, now)
    return None


def _measured(told: VerdictStatement, champion: ChampionRef) -> float | None:
    """What a verdict says of this champion; None where it is not about it, or the number was not finite."""
    if ChampionRef(told.version, told.bundle) == champion:
        return told.challenger
    return told.champion if told.against == champion else None
