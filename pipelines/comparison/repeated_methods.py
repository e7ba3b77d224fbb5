"""Methods that were trained with several seeds, tuned rates or heads: their part of the report."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from pipelines.comparison.findings import Difference
from pipelines.comparison.head_rankings import HeadChange, head_change
from pipelines.comparison.method_trial import MethodTrial
from pipelines.comparison.rate_budget import FACTORS, RateChoice, TriedRate, factor_text
from pipelines.comparison.seed_resampling import FEW_SEEDS, SeedDraws, resample_seeds
from pipelines.number_text import count
from pipelines.registry.evidence_scores import Scores
from pipelines.registry.policies import GatePolicy

Key = tuple[str, str]
"""A method and a head."""


@dataclass(frozen=True)
class RepeatedMethod:
    """One method under one head."""

    method: str
    head: str
    value: float
    """Mean metric over the seeds."""
    lower: float | None
    upper: float | None
    """The interval over seeds and blocks; None if one speaker gives none."""
    by_seed: tuple[float, ...]
    rank: int
    """Among the methods under this head, 1 for the lowest metric."""
    rank_lower: int
    rank_upper: int
    factor: float
    """Of its rates, chosen on the validation split."""
    tried: tuple[TriedRate, ...]
    """The budget; empty without one."""

    @property
    def at_edge(self) -> bool:
        """Return whether the highest or the lowest rate that worked was chosen, so that a better one may lie beyond."""
        factors = [one.factor for one in self.tried if one.validation is not None]
        return len(factors) > 1 and self.factor in (min(factors), max(factors))


@dataclass(frozen=True)
class RepeatedComparison:
    """What several seeds, rates and heads add to a comparison."""

    seeds: int
    budget: int
    """Rates that each method was tried with."""
    heads: tuple[str, ...]
    blocks: int
    methods: tuple[RepeatedMethod, ...]
    changes: tuple[HeadChange, ...]
    """The first head against each of the others."""


class Repeats:
    """The trainings of a comparison by method and head, and their resamples for each head."""

    def __init__(
        self,
        trials: Mapping[Key, Sequence[MethodTrial]],
        scores: Mapping[Key, Sequence[Scores]],
        policy: GatePolicy,
        closed_set: bool,
    ) -> None:
        self.trials = trials
        self.heads = tuple(dict.fromkeys(head for _, head in trials))
        self.names = {head: [method for method, own in trials if own == head] for head in self.heads}
        self.draws: dict[str, SeedDraws] = {
            head: resample_seeds([scores[name, head] for name in names], policy, closed_set)
            for head, names in self.names.items()
        }

    def rows(self, head: str) -> tuple[MethodTrial, ...]:
        """Return a row of the report for each method under a head: means over its seeds, with the interval of both."""
        found = []
        for place, name in enumerate(self.names[head]):
            seeds = self.trials[name, head]
            value, lower, upper = self.draws[head].interval(place)
            seconds = sum(trial.train_seconds for trial in seeds) / len(seeds)
            also = {key: sum(trial.also[key] for trial in seeds) / len(seeds) for key in seeds[0].also}
            found.append(
                replace(
                    seeds[0], value=value, lower=max(0.0, lower), upper=_finite(upper), train_seconds=seconds, also=also
                )
            )
        return tuple(found)

    def differences(self, head: str, pairs: Sequence[tuple[str, str]]) -> tuple[Difference, ...]:
        """Return the difference of each pair of methods under a head, over the same resamples."""
        found, names = [], self.names[head]
        for one, other in pairs:
            value, lower, upper = self.draws[head].interval(names.index(one), names.index(other))
            known = _finite(upper - lower) is not None
            found.append(Difference(one, other, value, *((lower, upper) if known else (None, None))))
        return tuple(found)

    def changes(self) -> tuple[HeadChange, ...]:
        """Return whether the order of the methods changes, for the first head with each other one."""
        first, *others = self.heads
        found = []
        for head in others:
            shared = [name for name in self.names[first] if name in self.names[head]]
            draws = [_chosen(self.draws[h], [self.names[h].index(name) for name in shared]) for h in (first, head)]
            found.append(head_change(shared, (first or "default", head), (draws[0], draws[1])))
        return tuple(change for change in found if change)

    def summary(self, budget: int, choices: Mapping[Key, RateChoice]) -> RepeatedComparison:
        """Return the record for the report."""
        methods = []
        for head in self.heads:
            draws, ranks = self.draws[head], self.draws[head].ranks()
            for place, name in enumerate(self.names[head]):
                value, lower, upper = draws.interval(place)
                choice = choices.get((name, head))
                known = _finite(upper - lower) is not None
                methods.append(
                    RepeatedMethod(
                        name, head, value, lower if known else None, upper if known else None,
                        tuple(float(one) for one in draws.values[place]), *ranks[place],
                        choice.factor if choice else 1.0, choice.tried if choice else (),
                    )
                )  # fmt: skip
        first = self.draws[self.heads[0]]
        seeds = first.values.shape[1]
        return RepeatedComparison(seeds, budget, self.heads, first.count, tuple(methods), self.changes())


def repeat_sentences(found: RepeatedComparison) -> list[str]:
    """Return the sentences on seeds, budget and heads."""
    said = [change.text for change in found.changes]
    if len(found.heads) > 1 and not said:
        said.append("Whether the ranking changes with the head is not known: this takes three methods or more.")
    if found.budget > 1:
        changed = [one for one in found.methods if one.factor != 1.0]
        named = ", ".join(f"{one.method}{_with(one.head)} × {factor_text(one.factor)}" for one in changed)
        others = "; the others × 1" if 0 < len(changed) < len(found.methods) else ""
        said.append(
            f"Each method was tried with {found.budget} learning rates, and the validation split chose: "
            f"{named or 'the default rates everywhere'}{others}."
        )
        if edge := ", ".join(f"{one.method}{_with(one.head)}" for one in found.methods if one.at_edge):
            more = f"; --budget {len(FACTORS)} tries more" if found.budget < len(FACTORS) else ""
            said.append(f"The highest or the lowest rate won for {edge}: a better one may lie beyond{more}.")
    else:
        said.append("Each method was trained with its default learning rates only; --budget 3 or more tries others.")
    if found.seeds > 1:
        few = f"; {FEW_SEEDS} or more seeds would make it narrower and surer" if found.seeds < FEW_SEEDS else ""
        said.append(
            f"Intervals and ranks are over {count(found.seeds, 'seed')} and the sampling of the golden set{few}."
        )
    else:
        said.append("One seed: another one would change values and ranks; --seeds 3 or more shows by how much.")
    return said


def finished_seeds(
    trials: Sequence[MethodTrial], methods: Sequence[str], heads: Sequence[str], seeds: int
) -> dict[Key, list[MethodTrial]]:
    """Return the trainings on all of the audio by method and head, in the order of the seeds, if no seed failed."""
    found: dict[Key, list[MethodTrial]] = {}
    for head in heads:
        for method in methods:
            own = [t for t in trials if (t.method, t.head, t.share) == (method, head, 1.0)]
            if len(own) == seeds:
                found[method, head] = sorted(own, key=lambda trial: trial.seed)
    return found


def _chosen(draws: SeedDraws, systems: Sequence[int]) -> SeedDraws:
    at = list(systems)
    return replace(draws, values=draws.values[at], blocks=draws.blocks[at], seeds=draws.seeds[at])


def _finite(value: float) -> float | None:
    return value if abs(value) < float("inf") else None


def _with(head: str) -> str:
    return f" with {head}" if head else ""
