"""What an adapter gains: fewer errors than without an adapter, than the champion before it, or than before training.

Each gain names its source, so that it can be computed again from there.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from pipelines.comparison.findings import FROZEN
from pipelines.number_text import BEFORE
from pipelines.registry.verdict_statement import VerdictStatement
from pipelines.reporting.comparison_records import MeasuredOn, RecordedComparison

GainOver = Literal["frozen", "former", "untrained"]
DEFAULT_ADAPTER = ("slot", "elp")
"""Methods of a comparison that stand for an adapter of the default configuration, the closest first."""
OWN_ADAPTER = ("slot",)
"""Those that stand for an adapter of another configuration."""


@dataclass(frozen=True)
class MeasuredGain:
    """Errors that an adapter has fewer than something else, as shares: 0.12 is 12 of 100. Negative: it has more."""

    over: GainOver
    """The frozen backbone with a trained head, the champion before, or the same adapter before its training."""
    other: str
    """The champion before, such as ``v1``; empty otherwise."""
    metric: str
    before: float
    after: float
    lower: float | None
    """Bounds of `fewer`; None if they are not known."""
    upper: float | None
    source: str
    """Digest of the verdict, name of the comparison, or id of the run."""

    @property
    def fewer(self) -> float:
        """Return the errors that it has fewer."""
        return self.before - self.after

    @property
    def known(self) -> bool:
        """Return whether the interval excludes no difference."""
        return self.lower is not None and self.upper is not None and (self.lower > 0 or self.upper < 0)


@dataclass(frozen=True)
class OtherComparison:
    """A comparison with the frozen backbone that says nothing of an adapter: it was measured on something else."""

    source: str
    measured: tuple[str, ...]
    """Dataset version, golden set and backbone of the comparison, those that differ."""
    present: tuple[str, ...]
    """The same of the adapter."""
    trained: MeasuredGain | None = None
    """Set if these are the same, and the errors of the adapter that it trained are not those of this one."""


def gain_over_former(verdict: VerdictStatement, digest: str) -> MeasuredGain | None:
    """Return the gain that a signed verdict measured against the champion of its moment; None for a first version."""
    if verdict.against is None or verdict.champion is None or verdict.challenger is None:
        return None
    low, high = verdict.interval or (None, None)
    return MeasuredGain(
        over="former",
        other=f"v{verdict.against.version}",
        metric=verdict.metric,
        before=verdict.champion,
        after=verdict.challenger,
        # the verdict's interval is of challenger − champion
        lower=None if high is None else -high,
        upper=None if low is None else -low,
        source=digest,
    )


def frozen_gain(
    comparisons: Sequence[RecordedComparison],
    on: MeasuredOn,
    verdict: VerdictStatement | None = None,
    adapters: Sequence[str] = DEFAULT_ADAPTER,
) -> tuple[MeasuredGain | None, OtherComparison | None]:
    """Return the gain of the newest comparison on this data, golden set and backbone; else the newest of the others.

    A comparison trains its adapter again. If the intervals of its errors and of those that the `verdict` measured do
    not meet, the settings differed, and it says nothing of this adapter. `adapters` are the methods that stand for the
    adapter, the closest first.
    """
    found = [(one, gain) for one in comparisons if (gain := gain_over_frozen(one, adapters))]
    about = [(one, gain) for one, gain in found if not one.on.unlike(on)]
    own = next((gain for one, gain in about if _may_be(one, verdict, adapters)), None)
    if own or not found:
        return own, None
    if about:
        _, gain = about[0]
        return None, OtherComparison(gain.source, (), (), gain)
    (newest, gain), *_ = found
    return None, OtherComparison(gain.source, newest.on.unlike(on), on.unlike(newest.on))


def gain_over_frozen(found: RecordedComparison, adapters: Sequence[str] = DEFAULT_ADAPTER) -> MeasuredGain | None:
    """Return the gain over the frozen backbone with a trained head, from a comparison that has both methods."""
    adapter = _adapter_of(found, adapters)
    if not adapter or FROZEN not in found.methods:
        return None
    paired = found.difference(FROZEN, adapter)
    return MeasuredGain(
        over="frozen",
        other="",
        metric=found.metric,
        before=found.methods[FROZEN].value,
        after=found.methods[adapter].value,
        lower=paired.lower if paired else None,
        upper=paired.upper if paired else None,
        source=found.source,
    )


def _may_be(found: RecordedComparison, verdict: VerdictStatement | None, adapters: Sequence[str]) -> bool:
    """Return whether the adapter of a comparison has the errors that a verdict measured on the same golden set."""
    low, high = (verdict and verdict.metric == found.metric and verdict.challenger_interval) or (None, None)
    own = found.methods[_adapter_of(found, adapters)]
    if low is None or high is None or own.lower is None or own.upper is None:
        return True
    return own.lower <= high and low <= own.upper


def _adapter_of(found: RecordedComparison, adapters: Sequence[str]) -> str:
    return next((name for name in adapters if name in found.methods), "")


def gain_of_training(metrics: Mapping[str, float], run_id: str) -> MeasuredGain | None:
    """Return the gain over the first moment of the training, on its validation clips; None if it was not measured."""
    metric = next((name.removeprefix(BEFORE) for name in sorted(metrics) if name.startswith(BEFORE)), "")
    if not metric or metric not in metrics:
        return None
    return MeasuredGain("untrained", "", metric, metrics[BEFORE + metric], metrics[metric], None, None, run_id)
