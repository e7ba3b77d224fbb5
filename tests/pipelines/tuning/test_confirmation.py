from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from elp_core.metrics.scores import ClipScores, TrialScores
from pipelines.registry.policies import GatePolicy
from pipelines.tuning.clip_errors import block_errors, errors_by_clip
from pipelines.tuning.confirmation import ConfirmedDifference, confirm, least_difference, resolution
from pipelines.tuning.finalists import choose_finalists
from pipelines.tuning.tuning_result import Finalist, TriedConfiguration, choose_winner

POLICY = GatePolicy(resamples=400, margin=0.02)


def scores(errors: np.ndarray) -> ClipScores:
    count = len(errors)
    texts = ("a",) * count
    ids, speakers = (tuple(f"{kind}{n % size}" for n in range(count)) for kind, size in (("c", count), ("s", 20)))
    return ClipScores(ids, speakers, ("",) * count, errors, np.full(count, 5), texts, texts)


def seeds(rate: float, *numbers: int) -> list[ClipScores]:
    return [scores(np.random.default_rng(number).binomial(5, rate, 400)) for number in numbers]


@pytest.mark.parametrize(
    ("rate", "relation"), [(0.1, "better"), (0.2, "no worse"), (0.4, "worse"), (0.225, "undecided")]
)
def test_a_finalist_is_compared_over_all_seeds(rate: float, relation: str) -> None:
    found = confirm(seeds(rate, 1, 2, 3), seeds(0.2, 4, 5, 6), POLICY, closed_set=False)
    assert found.relation == relation
    assert found.delta == pytest.approx(rate - 0.2, abs=0.02)
    assert found.delta == pytest.approx(sum(found.by_seed) / 3)
    assert (found.blocks, found.clips) == (20, 400)


def test_two_configurations_above_the_limit_of_the_gate_decide_nothing() -> None:
    bad = seeds(0.7, 1, 2)
    assert confirm(bad, bad, POLICY, closed_set=False).relation == "undecided"
    assert confirm(bad, seeds(0.9, 3, 4), POLICY, closed_set=False).relation == "undecided"


def test_what_the_scored_clips_can_show_is_said() -> None:
    few, one = (replace(scores(np.zeros(16, int)), speakers=("a",) * 8 + (other,) * 8) for other in "ba")
    many = least_difference(scores(np.zeros(4000, int)), POLICY, closed_set=False)
    assert 0 < many < POLICY.margin < least_difference(few, POLICY, closed_set=False)
    assert resolution(4000, many, 0.02).endswith("points at best, and the margin is 2.0 points")
    assert "expect no decision" in resolution(16, least_difference(few, POLICY, closed_set=False), 0.02)
    assert resolution(16, least_difference(one, POLICY, closed_set=False), 0.02).startswith("one speaker scores")


def test_one_lucky_seed_makes_no_finalist_better() -> None:
    present = seeds(0.2, 4, 5)
    worse = scores(present[1].errors + np.eye(1, 400, dtype=int)[0])
    found = confirm([*seeds(0.0, 1), worse], present, POLICY, closed_set=False)
    assert found.upper is not None
    assert found.upper < 0 < max(found.by_seed)
    assert found.relation == "no worse"


def test_each_clip_of_trials_has_the_errors_of_its_trials() -> None:
    a, b = np.array([0, 0, 1, 1]), np.array([1, 2, 2, 3])
    names = ("a", "b", "c", "d")
    similar, same = np.array([0.9, 0.8, 0.1, 0.2]), np.array([True, False, False, True])
    trials = TrialScores(names, names, ("",) * 4, a, b, similar, same)
    errors = errors_by_clip(trials)
    assert errors.max() <= 1
    # the trial of clips 0 and 2 is accepted, and they are of two speakers
    assert errors[0] > 0
    assert errors_by_clip(scores(np.array([0, 5]))).tolist() == [0.0, 1.0]


def test_groups_of_clips_do_not_depend_on_their_order() -> None:
    ids, errors = tuple(f"c{n}" for n in range(100)), np.arange(100.0)
    turned = block_errors(ids[::-1], errors[::-1])
    assert turned == pytest.approx(block_errors(ids, errors))
    assert len(turned) == 40


TRIAL = TriedConfiguration("t", {"adapter": {"tune_norms": True}}, "search", "finished", 0.2, 100, 1.0, 1.0)


def trial(value: float, parameters: int, **other: object) -> TriedConfiguration:
    made = replace(TRIAL, value=value, parameters=parameters, settings={"adapter": {"n": parameters}})
    return replace(made, **other)


def test_the_best_and_the_smallest_that_is_close_are_finalists() -> None:
    trials = [
        trial(0.20, 100), trial(0.19, 400), trial(0.21, 50), trial(0.30, 10), trial(0.1, 40, state="pruned"),
        trial(0.1, 30, within=False), trial(0.1, 20, role="head only"),
    ]  # fmt: skip
    assert [one.parameters for one in choose_finalists(trials, 0.2, 0.02)] == [400, 50]
    assert [one.parameters for one in choose_finalists(trials, 0.1, 0.02)] == [400]
    assert choose_finalists(trials[4:], 0.2, 0.02) == []


def test_the_winner_is_better_or_smaller_and_confirmed() -> None:
    def finalist(relation: str, value: float, parameters: int) -> Finalist:
        difference = ConfirmedDifference(value, 0.2, value - 0.2, 0, 0, (0.0,), relation, 1, "clips", 1)
        return Finalist(trial(value, parameters), difference)

    present = trial(0.2, 1000, role="present")
    small, smaller = finalist("no worse", 0.2, 300), finalist("no worse", 0.21, 200)
    open_ = finalist("undecided", 0.1, 1)
    assert choose_winner((small, smaller, open_), present) == 1
    assert choose_winner((small, smaller, finalist("better", 0.1, 900)), present) == 2
    assert choose_winner((open_, finalist("no worse", 0.2, 1000)), present) is None
