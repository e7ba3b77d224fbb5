"""What a comparison's numbers say, in sentences: against each other, and against what the paper of ELP shows.

The paper (arXiv 2407.21066) shows ELP at or near full fine-tuning at about a tenth of its parameters, E-adapters
helping speech recognition, and L-adapters helping speaker verification and emotion recognition. What E and L bring is
read off here against the frozen backbone with a weighted sum of its layers, which has neither.

Two methods are told apart only where their intervals lie apart. That is a strict rule: intervals that overlap a little
may still belong to methods that differ.
"""

from __future__ import annotations

from collections.abc import Sequence

from elp_core.metrics.scores import title
from pipelines.comparison.trial import Trial
from pipelines.comparison.trials import Failure
from pipelines.comparison.wording import millions, percent, span

HELPS = {"e": ("asr",), "l": ("asv", "ser")}
"""Tasks that the paper shows a part of ELP to help, by the method that has this part alone."""
PARTS = {"e": "E-adapters", "l": "L-adapters"}
FROZEN = "weighted-sum"
LOWER, UNTOLD, HIGHER = -1, 0, 1
TENTH = 0.2
"""Up to this share of full fine-tuning's parameters counts as about a tenth."""


def findings(task: str, methods: Sequence[Trial], curve_advice: str, failed: Sequence[Failure] = ()) -> tuple[str, ...]:
    """What a reader should take away; said only where the intervals allow it."""
    lost = [f"{one.method} on {100 * one.share:g} % of the audio failed: {one.reason}" for one in failed]
    return (*_best(methods), *_paper(task, methods), *([curve_advice] if curve_advice else ()), *lost)


def _best(methods: Sequence[Trial]) -> list[str]:
    """The method with the lowest metric, and the smallest that meets it."""
    if not methods:
        return []
    best = min(methods, key=lambda trial: trial.value)
    said = [f"Lowest {title(best.metric)}: {best.method}, {percent(best.value)} ({span(best)})."]
    near = [trial for trial in methods if best.upper is None or trial.lower <= best.upper]
    small = min(near, key=lambda trial: trial.parameters)
    if small is not best:
        share = small.parameters / best.parameters
        said.append(
            f"The smallest method whose interval meets the best one's: {small.method}, {percent(small.value)} with "
            f"{millions(small.parameters)} trainable parameters, {100 * share:.0f} % of {best.method}'s."
        )
    return said


def _paper(task: str, methods: Sequence[Trial]) -> list[str]:
    """Whether what the paper shows is seen here."""
    named = {trial.method: trial for trial in methods}
    full, frozen, elp = named.get("full"), named.get(FROZEN), named.get("elp") or named.get("slot")
    said = [_near_full(elp, full)] if full and elp else []
    for name in PARTS:
        if frozen and name in named:
            said.append(_against_frozen(named[name], frozen, task))
    return said


def _near_full(elp: Trial, full: Trial) -> str:
    share = elp.parameters / full.parameters
    meaning = {
        LOWER: "the intervals lie apart: better than full fine-tuning, where the paper has it at or near",
        UNTOLD: f"{_untold(elp, full)}: at or near full fine-tuning, as in the paper, as far as this set can tell",
        HIGHER: "the intervals lie apart: at or near full fine-tuning, as the paper has it, does not hold here",
    }[_order(elp, full)]
    if share > TENTH:
        meaning += "; the paper's about a tenth of the parameters does not hold for this backbone and head"
    return (
        f"{elp.method} against full fine-tuning: {_points(elp, full)} at {100 * share:.0f} % of its trainable "
        f"parameters ({meaning})."
    )


def _against_frozen(part: Trial, frozen: Trial, task: str) -> str:
    name, order = PARTS[part.method], _order(part, frozen)
    if task in HELPS[part.method]:
        help_it = f"{name} help {task.upper()}"
        meaning = {
            LOWER: f"the intervals lie apart: {help_it}, as in the paper",
            UNTOLD: f"{_untold(part, frozen)}: this set does not show that {help_it}, as the paper does",
            HIGHER: f"the intervals lie apart: that {help_it}, as the paper has it, does not hold here",
        }[order]
    else:
        meaning = {
            LOWER: f"the intervals lie apart: {name} help here",
            UNTOLD: f"{_untold(part, frozen)}: this set does not tell them apart",
            HIGHER: f"the intervals lie apart: {name} by themselves do worse here",
        }[order]
    return f"{part.method} against the frozen backbone's weighted sum of layers: {_points(part, frozen)} ({meaning})."


def _points(one: Trial, other: Trial) -> str:
    return f"{100 * (one.value - other.value):+.1f} points ({span(one)} against {span(other)})"


def _order(one: Trial, other: Trial) -> int:
    """`LOWER` or `HIGHER` where the interval of `one` lies apart from the other's, else `UNTOLD`."""
    if one.upper is not None and one.upper < other.lower:
        return LOWER
    return HIGHER if other.upper is not None and other.upper < one.lower else UNTOLD


def _untold(one: Trial, other: Trial) -> str:
    return "an interval is unknown" if one.upper is None or other.upper is None else "the intervals overlap"
