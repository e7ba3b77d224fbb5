"""A finished comparison, as plain values, Markdown and its sentences."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from elp_core.metrics.scores import title
from pipelines.comparison.curve import Prediction, advice, fit, predict
from pipelines.comparison.trial import Trial
from pipelines.comparison.trials import Failure

SLOTS = (1, 10, 100)
"""Numbers of slots for which the storage is shown."""
HEADERS = (
    "method", "about", "metric", "interval", "trainable", "training", "peak memory",
    *(f"stored, {n} slot{'s' if n > 1 else ''}" for n in SLOTS), "RTF",
)  # fmt: skip


@dataclass(frozen=True)
class Comparison:
    """Methods side by side on one slot, and the learning curve of one of them."""

    slot: str
    dataset: str
    """Tag of the dataset version."""
    golden: str
    backbone: str
    fingerprint: str
    metric: str
    confidence: float
    closed_set: bool
    hardware: str
    methods: tuple[Trial, ...]
    """All trained on the whole training split, in the order asked for."""
    about: dict[str, str]
    """One line on each method."""
    curve_method: str
    curve: tuple[Trial, ...]
    """The curve's method at rising shares of the training split."""
    ahead: tuple[Prediction, ...]
    """What the curve says of more audio than there is; empty where it says nothing."""
    failed: tuple[Failure, ...]
    """Trials that did not come to an end."""
    findings: tuple[str, ...]
    """What the numbers say, in sentences."""


def foresee(curve: Sequence[Trial]) -> tuple[tuple[Prediction, ...], str]:
    """Predictions at two and four times the audio there is, and the advice in words."""
    if not curve:
        return (), ""
    last = max(curve, key=lambda trial: trial.share)
    law = fit([t.minutes for t in curve], [t.value for t in curve], 0.5 / max(1, last.tokens))
    ahead = tuple(predict(law, factor * last.minutes) for factor in (2, 4)) if law and law.falls else ()
    return ahead, advice(law, last.minutes, last.value)


def findings(methods: Sequence[Trial], curve_advice: str, failed: Sequence[Failure] = ()) -> tuple[str, ...]:
    """What a reader should take away; said only where the intervals allow it."""
    said = []
    if methods:
        best = min(methods, key=lambda trial: trial.value)
        said.append(f"Lowest {title(best.metric)}: {best.method}, {percent(best.value)} ({span(best)}).")
        near = [trial for trial in methods if best.upper is None or trial.lower <= best.upper]
        small = min(near, key=lambda trial: trial.parameters)
        if small is not best:
            share = small.parameters / best.parameters
            said.append(
                f"The smallest method whose interval meets the best one's: {small.method}, {percent(small.value)} with "
                f"{millions(small.parameters)} trainable parameters, {100 * share:.0f} % of {best.method}'s."
            )
    named = {trial.method: trial for trial in methods}
    full, elp = named.get("full"), named.get("elp") or named.get("slot")
    if full and elp:
        said.append(_against(elp, full))
    lost = [f"{one.method} on {100 * one.share:g} % of the audio failed: {one.reason}" for one in failed]
    return (*said, *([curve_advice] if curve_advice else ()), *lost)


def _against(elp: Trial, full: Trial) -> str:
    change, share = 100 * (elp.value - full.value), 100 * elp.parameters / full.parameters
    apart = any(one.upper is not None and other.lower > one.upper for one, other in ((elp, full), (full, elp)))
    meaning = "the intervals lie apart" if apart else "the intervals overlap: this set does not tell them apart"
    return (
        f"{elp.method} against full fine-tuning: {change:+.1f} points at {share:.0f} % of its trainable parameters "
        f"({meaning})."
    )


def cells(trial: Trial, about: str) -> list[str]:
    """One row of the table, as `HEADERS` names its columns."""
    stored = [size(trial.backbone_bytes + n * trial.bundle_bytes) for n in SLOTS]
    return [
        trial.method,
        about,
        percent(trial.value),
        span(trial),
        millions(trial.parameters),
        f"{trial.train_seconds:.0f} s, {trial.epochs} epochs",
        size(trial.peak_bytes),
        *stored,
        f"{trial.real_time_factor:.4f}",
    ]


def markdown(found: Comparison) -> str:
    """The report as Markdown: findings, methods, learning curve."""
    rows = [cells(trial, found.about[trial.method]) for trial in found.methods]
    curve = curve_rows(found)
    parts = [
        f"# Methods compared on {found.slot}",
        "\n".join(f"- {sentence}" for sentence in found.findings),
        table(HEADERS, rows),
    ]
    if curve:
        head = ("minutes of training audio", "clips", title(found.metric), "interval")
        parts += [f"## Learning curve of {found.curve_method}", table(head, curve)]
    return "\n\n".join([*parts, notes(found)]) + "\n"


def curve_rows(found: Comparison) -> list[list[str]]:
    """The learning curve, measured and predicted: minutes, clips, metric, interval."""
    rows = [[f"{t.minutes:.1f}", str(t.clips), percent(t.value), span(t)] for t in found.curve]
    return rows + [[f"{p.minutes:.1f}", "predicted", percent(p.value), _bounds(p.lower, p.upper)] for p in found.ahead]


def notes(found: Comparison) -> str:
    """How it was measured."""
    closed = " Closed set: the speakers of the golden set were heard in training." if found.closed_set else ""
    return (
        f"{found.dataset} on the golden set {found.golden}; backbone {found.backbone} ({found.fingerprint[:23]}…). "
        f"Intervals at {100 * found.confidence:g} %, of the golden set's sampling alone: one training each, another "
        "seed would move the values too. Stored: the backbone in float32 once, and a bundle for each slot. RTF: "
        f"seconds of computing for a second of audio. {found.hardware}.{closed}"
    )


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table."""
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    return "\n".join(lines + ["| " + " | ".join(row) + " |" for row in rows])


def percent(share: float) -> str:
    """A share as per cent, two digits."""
    return f"{100 * share:.2f} %"


def span(trial: Trial) -> str:
    """The interval of a trial's metric."""
    return "unknown" if trial.upper is None else _bounds(trial.lower, trial.upper)


def _bounds(lower: float, upper: float) -> str:
    return f"{100 * lower:.1f} … {100 * upper:.1f} %"


def millions(count: int) -> str:
    """A number of parameters."""
    return f"{count / 1e6:.2f} M"


def size(count: int) -> str:
    """Bytes as MB or GB."""
    return f"{count / 1e9:.2f} GB" if count >= 1e9 else f"{count / 1e6:.1f} MB"
