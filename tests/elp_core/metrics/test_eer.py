from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import roc_curve

from elp_core.errors import CorpusError
from elp_core.metrics.eer import detection_curve, eer, evaluate_trials, false_rates, min_dcf
from elp_core.metrics.scores import TrialScores
from elp_core.types import Clip

LISTS = st.lists(st.tuples(st.integers(-4, 4), st.booleans()), min_size=2, max_size=40).filter(
    lambda rows: len({target for _, target in rows}) == 2
)


def columns(rows: list[tuple[int, bool]]) -> tuple[np.ndarray, np.ndarray]:
    return np.array([score for score, _ in rows], float), np.array([target for _, target in rows])


def normal(targets: int = 500, others: int = 3000) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    scores = np.concatenate([rng.normal(2, 1, targets), rng.normal(0, 1, others)])
    return scores, np.arange(len(scores)) < targets


@pytest.mark.parametrize(
    ("scores", "targets", "value"),
    [
        ([0.9, 0.1], [True, False], 0.0),
        ([0.1, 0.9], [True, False], 1.0),
        ([0.5, 0.5, 0.5], [True, False, False], 0.5),
        ([0.8, 0.4, 0.6, 0.2], [True, True, False, False], 0.5),
    ],
)
def test_small_sets_by_hand(scores: list[float], targets: list[bool], value: float) -> None:
    assert eer(np.array(scores), np.array(targets)).value == pytest.approx(value)


def test_it_lies_where_sklearns_curve_crosses() -> None:
    scores, targets = normal()
    false_alarm, hit, _ = roc_curve(targets, scores, drop_intermediate=False)
    expected = np.interp(0.0, (false_alarm - (1 - hit)), false_alarm)
    assert eer(scores, targets).value == pytest.approx(expected, abs=1e-12)


def slow_eer(scores: np.ndarray, targets: np.ndarray) -> tuple[float, float]:
    """Value and threshold from the whole curve, point by point."""
    points = list(zip(*detection_curve(scores, targets), strict=True))
    for (miss, alarm, at), (miss_next, alarm_next, at_next) in itertools.pairwise(points):
        if miss_next >= alarm_next:
            share = (miss - alarm) / ((miss - alarm) - (miss_next - alarm_next))
            return miss + share * (miss_next - miss), at + share * (at_next - at)
    raise AssertionError("the curve ends with miss 1 and false alarm 0")


@given(LISTS)
def test_the_bisection_finds_what_the_whole_curve_shows(rows: list[tuple[int, bool]]) -> None:
    found = eer(*columns(rows))
    assert (found.value, found.threshold) == pytest.approx(slow_eer(*columns(rows)), abs=1e-12)
    assert (found.targets, found.targets + found.nontargets) == (sum(hit for _, hit in rows), len(rows))


@given(LISTS)
def test_order_and_scale_of_scores_change_nothing(rows: list[tuple[int, bool]]) -> None:
    scores, targets = columns(rows)
    found = eer(scores, targets).value
    turned = np.random.default_rng(len(rows)).permutation(len(rows))
    assert eer(3 * scores[turned] + 1, targets[turned]).value == pytest.approx(found)
    assert 0.0 <= found <= 1.0


@given(LISTS)
def test_swapping_the_classes_mirrors_it(rows: list[tuple[int, bool]]) -> None:
    scores, targets = columns(rows)
    assert eer(-scores, ~targets).value == pytest.approx(eer(scores, targets).value)


def test_the_curve_runs_from_accept_all_to_accept_none() -> None:
    miss, false_alarm, thresholds = detection_curve(*normal(20, 30))
    assert (miss[0], false_alarm[0], miss[-1], false_alarm[-1]) == (0.0, 1.0, 1.0, 0.0)
    assert (np.diff(miss) >= 0).all()
    assert (np.diff(false_alarm) <= 0).all()
    assert (np.diff(thresholds) > 0).all()


def test_detection_cost_is_one_for_a_useless_system_and_zero_for_a_perfect_one() -> None:
    targets = np.array([True, False, False])
    assert min_dcf(np.zeros(3), targets).value == pytest.approx(1.0)
    assert min_dcf(targets.astype(float), targets).value == pytest.approx(0.0)


def test_the_minimum_cost_is_what_its_threshold_and_counts_say() -> None:
    rng = np.random.default_rng(4)
    targets = np.arange(400) % 4 == 0
    scores = rng.standard_normal(400) + 2 * targets
    found = min_dcf(scores, targets, prior=0.1)
    accepted = scores >= found.threshold
    assert found.misses == (targets & ~accepted).sum()
    assert found.false_alarms == (~targets & accepted).sum()
    assert found.value == pytest.approx((0.1 * found.misses / 100 + 0.9 * found.false_alarms / 300) / 0.1)
    costs = [
        (0.1 * (targets & (scores < t)).mean() / 0.25 + 0.9 * (~targets & (scores >= t)).mean() / 0.75) for t in scores
    ]
    assert found.value == pytest.approx(min(costs) / 0.1)


@pytest.mark.parametrize(("targets", "count"), [([True, True], 2), ([False, False], 0)])
def test_one_kind_of_trial_is_refused(targets: list[bool], count: int) -> None:
    with pytest.raises(CorpusError, match=f"^{count} target and {2 - count} impostor trials; an equal error rate"):
        eer(np.array([0.1, 0.2]), np.array(targets))


def test_an_evaluation_counts_its_trials() -> None:
    pairs = np.array([0, 0, 1]), np.array([1, 2, 2])
    clips = [Clip(name, b"", 1.0, "test", speaker=speaker) for name, speaker in zip("xyz", "sst", strict=True)]
    found = evaluate_trials(clips, *pairs, np.array([0.9, 0.1, 0.2]), np.array([1, 0, 0], bool))
    assert (found.metric, found.value) == ("eer", 0.0)
    assert found.extra == pytest.approx(
        {
            "threshold": 0.9,
            "min_dcf": 0.0,
            "min_dcf_threshold": 0.9,
            "min_dcf_misses": 0.0,
            "min_dcf_false_alarms": 0.0,
            "trials": 3.0,
            "targets": 1.0,
            "nontargets": 2.0,
            "clips": 3.0,
        }
    )
    assert isinstance(found.scores, TrialScores)
    assert found.scores.speakers == ("s", "s", "t")


def test_lists_of_whole_numbers_are_accepted() -> None:
    scores, targets = [3, 1, 2, 0], [1, 0, 1, 0]
    expected = np.array(scores, float), np.array(targets, bool)
    assert eer(scores, targets) == eer(*expected)
    assert false_rates(scores, targets, 2) == false_rates(*expected, 2.0) == (0.0, 0.0)
    for one, other in zip(detection_curve(scores, targets), detection_curve(*expected), strict=True):
        assert one.tolist() == other.tolist()


def test_the_cost_of_a_false_alarm_scales_the_normalisation() -> None:
    scores, targets = np.array([0.1, 0.9, 0.5, 0.4]), np.array([True, True, False, False])
    found = min_dcf(scores, targets, prior=0.9, cost_miss=2.0, cost_false_alarm=3.0)
    assert (found.misses, found.false_alarms) == (1, 0) or (found.misses, found.false_alarms) == (0, 2)
    cost = 2.0 * 0.9 * found.misses / 2 + 3.0 * 0.1 * found.false_alarms / 2
    assert found.value == pytest.approx(cost / 0.3)


@given(LISTS)
def test_false_rates_are_the_detection_curves(rows: list[tuple[int, bool]]) -> None:
    scores, targets = columns(rows)
    for miss, false_alarm, threshold in zip(*detection_curve(scores, targets), strict=True):
        assert false_rates(scores, targets, threshold) == pytest.approx((false_alarm, miss))


def test_false_rates_need_both_kinds() -> None:
    with pytest.raises(CorpusError, match="2 target and 0 impostor trials"):
        false_rates(np.array([1.0, 2.0]), np.array([True, True]), 0.0)
