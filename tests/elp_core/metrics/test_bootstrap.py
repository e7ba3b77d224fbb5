from __future__ import annotations

import numpy as np
import pytest

from elp_core.errors import CorpusError
from elp_core.metrics.bootstrap import (
    Unit,
    blocks_of,
    error_interval,
    multiplicities,
    resample_eer,
    resample_errors,
    resample_false_rates,
)
from elp_core.metrics.eer import eer
from elp_core.metrics.scores import ClipScores, TrialScores
from elp_core.metrics.wer import error_rate


def transcripts(errors: list[int], words: list[int], speakers: tuple[str, ...]) -> ClipScores:
    blank = ("",) * len(errors)
    return ClipScores(blank, speakers, blank, np.array(errors), np.array(words), blank, blank)


def trials(speakers: int, clips: int, digits: int = 6) -> TrialScores:
    """All pairs of noisy clips; few digits make ties."""
    rng = np.random.default_rng(speakers)
    names = np.repeat(np.arange(speakers), clips)
    points = rng.standard_normal((speakers, 8))[names] + 0.9 * rng.standard_normal((len(names), 8))
    first, second = np.triu_indices(len(names), 1)
    scores = np.round((points[first] * points[second]).sum(1), digits)
    blank = ("",) * len(names)
    labels = tuple(f"s{name}" for name in names)
    return TrialScores(blank, labels, blank, first, second, scores, names[first] == names[second])


def test_resamples_depend_on_the_seed_and_not_on_the_chunk() -> None:
    whole = np.concatenate(list(multiplicities(7, 50, 3, 50)))
    parts = np.concatenate(list(multiplicities(7, 50, 3, 8)))
    assert np.array_equal(whole, parts)
    assert not np.array_equal(whole, np.concatenate(list(multiplicities(7, 50, 4, 50))))
    assert (whole.sum(axis=1) == 7).all()


@pytest.mark.parametrize(
    ("speakers", "by", "count", "unit"),
    [
        (("x", "y", "x"), "speakers", 2, "speakers"),
        (("x", "", ""), "speakers", 3, "speakers"),
        (("", "", ""), "speakers", 3, "clips"),
        (("x", "x"), "clips", 2, "clips"),
    ],
)
def test_unknown_speakers_stand_alone(speakers: tuple[str, ...], by: Unit, count: int, unit: Unit) -> None:
    blocks = blocks_of(speakers, by)
    assert (blocks.count, blocks.unit, len(set(blocks.index.tolist()))) == (count, unit, count)


def test_word_errors_are_those_of_the_repeated_clips() -> None:
    scores = transcripts([1, 0, 3, 2], [4, 5, 6, 2], ("x", "y", "x", "z"))
    blocks = blocks_of(scores.speakers, "speakers")
    weights = np.concatenate(list(multiplicities(3, 40, 0, 40)))
    times = weights[:, blocks.index].astype(int)
    expected = [error_rate(np.repeat(scores.errors, t), np.repeat(scores.tokens, t)) for t in times]
    assert resample_errors([scores], blocks, 40, 0)[0] == pytest.approx(np.array(expected))


def uneven() -> TrialScores:
    """Trials in which a resample often has one target trial, one impostor trial, or none of a kind."""
    names = np.array([0, 0, 1, 2])
    first, second = np.triu_indices(4, 1)
    blank, labels = ("",) * 4, tuple(f"s{name}" for name in names)
    scores = np.array([0.5, 0.1, 0.9, 0.5, 0.2, 0.5])
    return TrialScores(blank, labels, blank, first, second, scores, names[first] == names[second])


def assert_resampled_as_repeated(scores: TrialScores, by: Unit, resamples: int = 60) -> None:
    """Compare the weighted EER of each resample with the EER of trials that are repeated in full."""
    blocks = blocks_of(scores.speakers, by)
    one, other = blocks.index[scores.a], blocks.index[scores.b]
    weights = np.concatenate(list(multiplicities(blocks.count, resamples, 0, resamples)))
    drawn = resample_eer([scores], blocks, resamples, 0)[0]
    for row, found in zip(weights, drawn, strict=True):
        times = np.where(one == other, row[one], row[one] * row[other]).astype(int)
        targets = np.repeat(scores.targets, times)
        whole = 0 < targets.sum() < len(targets)
        expected = eer(np.repeat(scores.scores, times), targets).value if whole else np.nan
        assert found == pytest.approx(expected, abs=1e-9, nan_ok=True)


@pytest.mark.parametrize("by", ["speakers", "clips"])
@pytest.mark.parametrize(("speakers", "clips", "digits"), [(6, 4, 6), (4, 5, 1), (3, 4, 0), (9, 3, 6), (12, 6, 0)])
def test_equal_error_rates_are_those_of_the_repeated_trials(speakers: int, clips: int, digits: int, by: Unit) -> None:
    assert_resampled_as_repeated(trials(speakers, clips, digits), by)


@pytest.mark.parametrize("by", ["speakers", "clips"])
def test_resamples_with_single_trials_and_without_a_kind_are_exact(by: Unit) -> None:
    assert_resampled_as_repeated(uneven(), by, 200)
    drawn = resample_eer([uneven()], blocks_of(uneven().speakers, by), 200, 0)[0]
    assert 0 < np.isnan(drawn).sum() < 200
    perfect = TrialScores(
        *(getattr(uneven(), n) for n in ("ids", "speakers", "conditions", "a", "b")), uneven().targets, uneven().targets
    )
    assert_resampled_as_repeated(perfect, by, 200)
    same = TrialScores(
        *(getattr(uneven(), n) for n in ("ids", "speakers", "conditions", "a", "b")), np.zeros(6), uneven().targets
    )
    assert_resampled_as_repeated(same, by, 200)


def test_two_systems_share_their_resamples() -> None:
    scores = trials(5, 4)
    blocks = blocks_of(scores.speakers, "speakers")
    both = resample_eer([scores, scores], blocks, 30, 0)
    assert np.array_equal(both[0], both[1], equal_nan=True)
    assert len(np.unique(both[0])) > 5


def test_a_resample_without_words_has_no_rate() -> None:
    scores = transcripts([0, 1], [0, 2], ("x", "y"))
    drawn = resample_errors([scores], blocks_of(scores.speakers, "speakers"), 200, 0)[0]
    assert np.isnan(drawn).any()
    assert set(drawn[~np.isnan(drawn)]) == {0.5}


def test_no_trials_are_refused() -> None:
    with pytest.raises(CorpusError, match="no trials to resample"):
        resample_eer([trials(3, 2).select([])], blocks_of(("x", "y"), "speakers"), 10, 0)


@pytest.mark.parametrize(
    ("systems", "by"),
    [([trials(5, 4), trials(5, 4, 0)], "speakers"), ([uneven(), uneven()], "clips"), ([uneven()], "speakers")],
)
def test_false_rates_are_those_of_the_repeated_trials(systems: list[TrialScores], by: Unit) -> None:
    thresholds, blocks = [1.5, 0.5][: len(systems)], blocks_of(systems[0].speakers, by)
    drawn = resample_false_rates(systems, thresholds, blocks, 60, 0)
    assert drawn.shape == (len(systems), 2, 60)
    weights = np.concatenate(list(multiplicities(blocks.count, 60, 0, 60)))
    for place, (system, threshold) in enumerate(zip(systems, thresholds, strict=True)):
        one, other = blocks.index[system.a], blocks.index[system.b]
        for row, times in enumerate(weights):
            count = np.where(one == other, times[one], times[one] * times[other]).astype(int)
            accepted, targets = np.repeat(system.scores, count) >= threshold, np.repeat(system.targets, count)
            expected = [
                accepted[~targets].mean() if (~targets).any() else np.nan,
                (~accepted[targets]).mean() if targets.any() else np.nan,
            ]
            assert drawn[place, :, row] == pytest.approx(expected, nan_ok=True)


def test_false_rates_without_trials_of_a_kind_are_not_a_number() -> None:
    system = trials(2, 1)
    assert np.isnan(resample_false_rates([system], [0.0], blocks_of(system.speakers, "speakers"), 5, 0)[0, 1]).all()


def test_the_interval_of_an_error_rate_holds_it_and_widens_with_the_block() -> None:
    rng = np.random.default_rng(3)
    speakers = tuple(f"s{n // 20}" for n in range(400))
    # speakers differ: some are understood badly
    errors = rng.binomial(10, np.repeat(rng.uniform(0.05, 0.5, 20), 20))
    scores = ClipScores(
        tuple(map(str, range(400))), speakers, ("",) * 400, errors, np.full(400, 10), *(("",) * 400,) * 2
    )
    rate = errors.sum() / 4000
    by_clip, by_speaker = error_interval(scores, "clips"), error_interval(scores)
    assert by_speaker[0] < by_clip[0] < rate < by_clip[1] < by_speaker[1]
    assert error_interval(scores) == by_speaker
    narrow = error_interval(scores, confidence=0.5)
    assert by_speaker[0] < narrow[0] < narrow[1] < by_speaker[1]
    with pytest.raises(CorpusError, match="an interval needs two speakers or more with something to count, got 1"):
        error_interval(scores.select(range(20)))
    with pytest.raises(CorpusError, match="got 0"):
        error_interval(scores.select([]), "clips")
