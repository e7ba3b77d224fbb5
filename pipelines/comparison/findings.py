"""What the numbers of a comparison show: methods against each other, and against the results of the ELP paper.

Methods are compared on one golden set and resampled together, as the gate resamples challenger and champion: a clip
that is hard for one method is hard for the other, so the difference of two methods is known better than either value.
Two methods differ if zero is outside the interval of their difference.

The paper (arXiv 2407.21066) shows ELP at or near full fine-tuning with about a tenth of its parameters, E-adapters
that help speech recognition, and L-adapters that help speaker verification and emotion recognition. The effect of E
and L is measured here against the frozen backbone with a weighted sum of its layers, which has neither.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from pipelines.comparison.method_trial import MethodTrial
from pipelines.comparison.trial_runner import FailedTrial
from pipelines.gating.compare import compare_scores
from pipelines.number_text import metric_title, percent, shown_bounds
from pipelines.registry.evidence_scores import Scores
from pipelines.registry.policies import GatePolicy

FROZEN = "weighted-sum"
"""The frozen backbone without an adapter."""
HELPS = {"e": ("asr",), "l": ("asv", "ser")}
"""Tasks that a part of ELP helps in the paper, by the method that has this part alone."""
PARTS = {"e": "E-adapters", "l": "L-adapters"}
TENTH = 0.2
"""Up to this share of full fine-tuning's parameters counts as about a tenth."""
Relation = Literal["lower", "higher", "alike", "unknown"]
_UNKNOWN = "one speaker is not enough to distinguish them"


@dataclass(frozen=True)
class Difference:
    """The metric of `method` minus that of `other`, with its paired interval."""

    method: str
    other: str
    value: float
    lower: float | None
    upper: float | None
    """Both bounds are None if one speaker gives no interval."""

    @property
    def relation(self) -> Relation:
        """Return how `method` compares with `other`: alike if zero is inside the interval."""
        if self.lower is None or self.upper is None:
            return "unknown"
        return "lower" if self.upper < 0 else "higher" if self.lower > 0 else "alike"

    def is_near(self, margin: float) -> bool:
        """Return whether `method` is worse by less than `margin` at most: the whole interval says so."""
        return self.upper is not None and self.upper <= margin

    @property
    def text(self) -> str:
        """The difference and its interval in points."""
        if self.lower is None or self.upper is None:
            return f"{100 * self.value:+.1f} points (interval unknown)"
        return f"{100 * self.value:+.1f} points ({100 * self.lower:+.1f} … {100 * self.upper:+.1f})"


def best_of(methods: Sequence[MethodTrial]) -> MethodTrial:
    """Return the method with the lowest metric, and of equal ones the smaller; `methods` are one or more."""
    return min(methods, key=lambda trial: (trial.value, trial.parameters))


def pairs_of(methods: Sequence[MethodTrial]) -> list[tuple[str, str]]:
    """Return the pairs to compare: each method with the best one, and the pairs of the ELP paper."""
    named, best = {trial.method for trial in methods}, best_of(methods).method
    elp = "elp" if "elp" in named else "slot"
    paper = [(elp, "full"), ("e", FROZEN), ("l", FROZEN)]
    pairs = [*((trial.method, best) for trial in methods), *(pair for pair in paper if named.issuperset(pair))]
    return [(one, other) for one, other in dict.fromkeys(pairs) if one != other]


def differences(
    scores: Mapping[str, Scores], pairs: Iterable[tuple[str, str]], policy: GatePolicy, closed_set: bool
) -> tuple[Difference, ...]:
    """Return each pair's difference; raises CorpusError if two methods were not scored on the same clips."""
    found = []
    for one, other in pairs:
        delta = compare_scores(scores[one], scores[other], policy, closed_set).delta
        assert delta is not None
        bounds = (delta.lower, delta.upper) if math.isfinite(delta.upper - delta.lower) else (None, None)
        found.append(Difference(one, other, delta.value, *bounds))
    return tuple(found)


def findings(
    task: str,
    methods: Sequence[MethodTrial],
    differences: Sequence[Difference],
    advice: str,
    margin: float,
    failed: Sequence[FailedTrial] = (),
) -> tuple[str, ...]:
    """Return the conclusions as sentences, only those that the intervals support.

    `differences` are those of the pairs that `pairs_of` names; `advice`, a sentence on more data, may be empty. A
    method is near another one if the whole interval of their difference is below `margin`, the gate's.
    """
    named = {trial.method: trial for trial in methods}
    paper = filter(None, (_against_paper(task, one, named, margin) for one in differences))
    lost = [f"{one.method} on {100 * one.share:g} % of the audio failed: {one.reason}" for one in failed]
    return (*_best(methods, differences, margin), *paper, *filter(None, [advice]), *lost)


def interval_text(trial: MethodTrial) -> str:
    """Return the interval of a trial's metric in per cent."""
    return "unknown" if trial.upper is None else bounds_text(trial.lower, trial.upper)


def bounds_text(lower: float, upper: float) -> str:
    """Return two shares as the bounds of an interval in per cent."""
    low, high = shown_bounds(max(0.0, lower), lower, upper)
    return f"{100 * low:.1f} … {100 * high:.1f} %"


def millions(number: int) -> str:
    """Return a number of parameters in millions."""
    return f"{number / 1e6:.2f} M"


def _best(methods: Sequence[MethodTrial], differences: Sequence[Difference], margin: float) -> list[str]:
    best = best_of(methods)
    against = {one.method: one for one in differences if one.other == best.method}
    smaller = sorted(
        ((trial, against[trial.method]) for trial in methods if trial.parameters < best.parameters),
        key=lambda pair: pair[0].parameters,
    )
    lowest = f"Lowest {metric_title(best.metric)}: {best.method}, {percent(best.value)} ({interval_text(best)})."
    return [lowest, *([_smallest(best, smaller, margin)] if smaller else [])]


def _smallest(best: MethodTrial, smaller: Sequence[tuple[MethodTrial, Difference]], margin: float) -> str:
    """Return the sentence on the methods with fewer parameters than the best one, in the order of their size."""
    near = f"near {best.method} (by less than {100 * margin:g} points)"
    for trial, one in smaller:
        if one.is_near(margin):
            return (
                f"The smallest method that is {near}: {trial.method}, {percent(trial.value)} with "
                f"{millions(trial.parameters)} trainable parameters, "
                f"{100 * trial.parameters / best.parameters:.0f} % of {best.method}'s; {_at_most(one)}."
            )
    # a wide interval is no reason to choose a method: its value may be far from the best one
    undecided = [f"{one.method} {one.text}" for _, one in smaller if one.relation in ("alike", "unknown")]
    known = f"not decided: {', '.join(undecided)}" if undecided else "all are worse"
    return f"No method with fewer parameters is shown to be {near}; {known}."


def _at_most(one: Difference) -> str:
    return _UNKNOWN if one.upper is None else f"it may be up to {100 * one.upper:.1f} points worse"


def _against_paper(task: str, one: Difference, named: Mapping[str, MethodTrial], margin: float) -> str:
    """Return the sentence on a pair that the paper compares, or an empty text."""
    if one.other == "full" and one.method in ("elp", "slot"):
        share = named[one.method].parameters / named["full"].parameters
        meaning: dict[Relation, str] = {
            "lower": "better than full fine-tuning; the paper has it at or near full fine-tuning",
            "alike": f"at or near full fine-tuning (by less than {100 * margin:g} points), as in the paper"
            if one.is_near(margin)
            else f"it is not decided whether this is near full fine-tuning, as in the paper: {_at_most(one)}",
            "higher": "worse than full fine-tuning; the paper's result (at or near) is not confirmed here",
            "unknown": _UNKNOWN,
        }
        size = "; the paper's about a tenth of the parameters is not confirmed for this backbone and head"
        return (
            f"{one.method} against full fine-tuning: {one.text} at {100 * share:.0f} % of its trainable parameters: "
            f"{meaning[one.relation]}{size if share > TENTH else ''}."
        )
    if one.other == FROZEN and one.method in PARTS:
        part = PARTS[one.method]
        # the paper makes no claim about a part and a task that are not in `HELPS`
        meaning = {
            "lower": f"{part} help here",
            "alike": "this set does not distinguish them",
            "higher": f"{part} alone do worse here",
            "unknown": _UNKNOWN,
        }
        if task in HELPS[one.method]:
            helps = f"{part} help {task.upper()}"
            meaning["lower"] = f"{helps}, as in the paper"
            meaning["alike"] = f"this set does not show that {helps}, which the paper shows"
            meaning["higher"] = f"the paper's result that {helps} is not confirmed here"
        layers = "the frozen backbone's weighted sum of layers"
        return f"{one.method} against {layers}: {one.text}: {meaning[one.relation]}."
    return ""
