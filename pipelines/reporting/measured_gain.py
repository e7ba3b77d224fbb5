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
    comparisons: Sequence[RecordedComparison], on: MeasuredOn, adapters: Sequence[str] = DEFAULT_ADAPTER
) -> tuple[MeasuredGain | None, OtherComparison | None]:
    """Return the gain of the newest comparison on this data, golden set and backbone; else the newest of the others.

    `adapters` are the methods of a comparison that stand for the adapter, the closest first.
    """
    found = [(one.on, gain) for one in comparisons if (gain := gain_over_frozen(one, adapters))]
    own = next((gain for measured, gain in found if not measured.unlike(on)), None)
    if own or not found:
        return own, None
    (measured, gain), *_ = found
    return None, OtherComparison(gain.source, measured.unlike(on), on.unlike(measured))


def gain_over_frozen(found: RecordedComparison, adapters: Sequence[str] = DEFAULT_ADAPTER) -> MeasuredGain | None:
    """Return the gain over the frozen backbone with a trained head, from a comparison that has both methods."""
    adapter = next((name for name in adapters if name in found.methods), "")
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


def gain_of_training(metrics: Mapping[str, float], run_id: str) -> MeasuredGain | None:
    """Return the gain over the first moment of the training, on its validation clips; None if it was not measured."""
    metric = next((name.removeprefix(BEFORE) for name in sorted(metrics) if name.startswith(BEFORE)), "")
    if not metric or metric not in metrics:
        return None
    return MeasuredGain("untrained", "", metric, metrics[BEFORE + metric], metrics[metric], None, None, run_id)
