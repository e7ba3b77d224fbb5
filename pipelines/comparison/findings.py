"""What a comparison's numbers say, in sentences: against each other, and against what the paper of ELP shows.

The paper (arXiv 2407.21066) shows ELP at or near full fine-tuning at about a tenth of its parameters, E-adapters
helping speech recognition, and L-adapters helping speaker verification and emotion recognition. What E and L bring is
read off here against the frozen backbone with a weighted sum of its layers, which has neither. Two methods are told
apart where zero lies outside the interval of their difference.
"""

from __future__ import annotations

from collections.abc import Sequence

from elp_core.metrics.scores import title
from pipelines.comparison.difference import FROZEN, Difference, Told, best_of
from pipelines.comparison.trial import Trial
from pipelines.comparison.trials import Failure
from pipelines.comparison.wording import change, millions, percent, span

HELPS = {"e": ("asr",), "l": ("asv", "ser")}
"""Tasks that the paper shows a part of ELP to help, by the method that has this part alone."""
PARTS = {"e": "E-adapters", "l": "L-adapters"}
TENTH = 0.2
"""Up to this share of full fine-tuning's parameters counts as about a tenth."""


def findings(
    task: str,
    methods: Sequence[Trial],
    differences: Sequence[Difference],
    curve_advice: str,
    failed: Sequence[Failure] = (),
) -> tuple[str, ...]:
    """What a reader should take away; said only where the intervals allow it.

    Args:
        task: of the slot.
        methods: one or more.
        differences: of the pairs that `pairs_of` names.
        curve_advice: a sentence on more data; may be empty.
        failed: trials that are missing.
    """
    named = {trial.method: trial for trial in methods}
    paper = [said for one in differences if (said := _of_the_paper(task, one, named))]
    lost = [f"{one.method} on {100 * one.share:g} % of the audio failed: {one.reason}" for one in failed]
    return (*_best(methods, differences), *paper, *([curve_advice] if curve_advice else ()), *lost)


def _best(methods: Sequence[Trial], differences: Sequence[Difference]) -> list[str]:
    """The method with the lowest metric, and the smallest that cannot be told from it."""
    best = best_of(methods)
    said = [f"Lowest {title(best.metric)}: {best.method}, {percent(best.value)} ({span(best)})."]
    worse = {one.method for one in differences if one.other == best.method and one.told == "higher"}
    small = min((trial for trial in methods if trial.method not in worse), key=lambda trial: trial.parameters)
    if small is not best:
        share = small.parameters / best.parameters
        said.append(
            f"The smallest method that this set does not tell from the best one: {small.method}, "
            f"{percent(small.value)} with {millions(small.parameters)} trainable parameters, "
            f"{100 * share:.0f} % of {best.method}'s."
        )
    return said


def _of_the_paper(task: str, one: Difference, named: dict[str, Trial]) -> str:
    if one.other == "full" and one.method in ("elp", "slot"):
        return _against_full(one, named[one.method].parameters / named["full"].parameters)
    if one.other == FROZEN and one.method in PARTS:
        helps = f"{PARTS[one.method]} help {task.upper()}"
        meaning = _as_shown(helps) if task in HELPS[one.method] else _not_shown(PARTS[one.method])
        return f"{one.method} against the frozen backbone's weighted sum of layers: {change(one)}: {meaning[one.told]}."
    return ""


def _against_full(one: Difference, share: float) -> str:
    meaning: dict[Told, str] = {
        "lower": "better than full fine-tuning, where the paper has it at or near",
        "alike": "at or near full fine-tuning, as in the paper, as far as this set can tell",
        "higher": "at or near full fine-tuning, as the paper has it, does not hold here",
        "unknown": "one speaker does not tell the two apart",
    }
    far = "; the paper's about a tenth of the parameters does not hold for this backbone and head"
    return (
        f"{one.method} against full fine-tuning: {change(one)} at {100 * share:.0f} % of its trainable parameters: "
        f"{meaning[one.told]}{far if share > TENTH else ''}."
    )


def _as_shown(helps: str) -> dict[Told, str]:
    """Meanings, where the paper shows that this part helps this task."""
    return {
        "lower": f"{helps}, as in the paper",
        "alike": f"this set does not show that {helps}, as the paper does",
        "higher": f"that {helps}, as the paper has it, does not hold here",
        "unknown": "one speaker does not tell the two apart",
    }


def _not_shown(part: str) -> dict[Told, str]:
    """Meanings, where the paper says nothing of this part and this task."""
    return {
        "lower": f"{part} help here",
        "alike": "this set does not tell them apart",
        "higher": f"{part} by themselves do worse here",
        "unknown": "one speaker does not tell the two apart",
    }
