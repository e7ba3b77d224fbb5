"""How far a champion has moved since it was promoted, as later verdicts measured it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from pipelines.attest.statements import Against, VerdictStatement
from pipelines.guard.read.records import Judged


@dataclass(frozen=True)
class Drift:
    """A champion's metric when it was measured last, against the one under which it was promoted."""

    change: float
    """Present value less the value at promotion, as shares."""
    source: str
    """Whose gate measured it again: the version judged, such as ``v7``."""
    golden: str
    """Tag of the golden set that measured it."""
    moved: bool
    """The golden set has other clips than at promotion: then the change is not the adapter's alone."""
    at: str
    """When that verdict was taken: UTC, ISO 8601."""


def drift(own: Sequence[Judged], others: Iterable[Judged], since: str) -> Drift | None:
    """The newest verdict that measured a champion, against the one that made it champion.

    Each gate of a later challenger measures the champion again beside it.

    Args:
        own: verdicts on the champion, oldest first.
        others: verdicts on other versions of its slot, in any order.
        since: when it began to serve; empty where that is not known.

    Returns:
        None where nothing measured it again since then, or by another metric.
    """
    before = [one for one in own if not since or one.at <= since] or list(own[:1])
    if not before:
        return None
    first = before[-1]
    told = first.statement
    later = max(_later(first, own, others), key=lambda found: found[0].at, default=None)
    if later is None or told.challenger is None or later[0].statement.metric != told.metric:
        return None
    judged, value = later
    now = judged.statement
    moved = now.golden.digest != told.golden.digest
    return Drift(value - told.challenger, f"v{now.version}", now.golden.tag, moved, judged.at)


def _later(first: Judged, own: Sequence[Judged], others: Iterable[Judged]) -> Iterator[tuple[Judged, float]]:
    """Verdicts after `first` and what they measured of the champion."""
    champion = Against(first.statement.version, first.statement.bundle)
    for judged in (*own, *others):
        value = _value(judged.statement, champion)
        if judged.at > first.at and value is not None:
            yield judged, value


def _value(told: VerdictStatement, champion: Against) -> float | None:
    if (told.version, told.bundle) == (champion.version, champion.bundle):
        return told.challenger
    return told.champion if told.against == champion else None
