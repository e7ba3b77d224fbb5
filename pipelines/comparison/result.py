"""A finished comparison, as plain values and Markdown."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from elp_core.metrics.scores import title
from pipelines.comparison.curve import Prediction, advice, fit, predict
from pipelines.comparison.difference import Difference, best_of
from pipelines.comparison.trial import Trial
from pipelines.comparison.trials import Failure
from pipelines.comparison.wording import change, millions, percent, size, span, within

SLOTS = (1, 10, 100)
"""Numbers of slots for which the storage is shown."""
HEADERS = (
    "method", "about", "metric", "interval", "against the best", "trainable", "training", "peak memory",
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
    differences: tuple[Difference, ...]
    """Of the pairs that `pairs_of` names."""
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


def rows(found: Comparison) -> list[list[str]]:
    """The table of methods, with the columns that `HEADERS` names."""
    best = best_of(found.methods).method
    changes = {one.method: change(one) for one in found.differences if one.other == best}
    return [_cells(trial, found.about[trial.method], changes.get(trial.method, "the best")) for trial in found.methods]


def _cells(trial: Trial, about: str, against: str) -> list[str]:
    stored = [size(trial.backbone_bytes + n * trial.bundle_bytes) for n in SLOTS]
    return [
        trial.method,
        about,
        percent(trial.value),
        span(trial),
        against,
        millions(trial.parameters),
        f"{trial.train_seconds:.0f} s, {trial.epochs} epochs",
        size(trial.peak_bytes),
        *stored,
        f"{trial.real_time_factor:.4f}",
    ]


def markdown(found: Comparison) -> str:
    """The report as Markdown: findings, methods, learning curve."""
    curve = curve_rows(found)
    parts = [
        f"# Methods compared on {found.slot}",
        "\n".join(f"- {sentence}" for sentence in found.findings),
        table(HEADERS, rows(found)),
    ]
    if curve:
        head = ("minutes of training audio", "clips", title(found.metric), "interval")
        parts += [f"## Learning curve of {found.curve_method}", table(head, curve)]
    return "\n\n".join([*parts, notes(found)]) + "\n"


def curve_rows(found: Comparison) -> list[list[str]]:
    """The learning curve, measured and predicted: minutes, clips, metric, interval."""
    rows = [[f"{t.minutes:.1f}", str(t.clips), percent(t.value), span(t)] for t in found.curve]
    return rows + [[f"{p.minutes:.1f}", "predicted", percent(p.value), within(p.lower, p.upper)] for p in found.ahead]


def notes(found: Comparison) -> str:
    """How it was measured."""
    closed = " Closed set: the speakers of the golden set were heard in training." if found.closed_set else ""
    return (
        f"{found.dataset} on the golden set {found.golden}; backbone {found.backbone} ({found.fingerprint[:23]}…). "
        f"Intervals at {100 * found.confidence:g} %, of the golden set's sampling alone: one training each, another "
        "seed would move the values too. Differences are paired: both methods on the same resampled clips or speakers. "
        "Stored: the backbone in float32 once, and a bundle for each slot. RTF: "
        f"seconds of computing for a second of audio. {found.hardware}.{closed}"
    )


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table."""
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    return "\n".join(lines + ["| " + " | ".join(row) + " |" for row in rows])
