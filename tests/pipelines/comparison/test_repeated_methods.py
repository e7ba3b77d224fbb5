"""Seeds, tuned rates and heads of a comparison: what is chosen, resampled and said."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from elp_core.errors import CorpusError
from elp_core.metrics.scores import ClipScores
from pipelines.comparison.comparison_report import comparison_html, comparison_markdown, draw_comparison
from pipelines.comparison.comparison_words import repeat_rows
from pipelines.comparison.head_rankings import head_change
from pipelines.comparison.method_trial import MethodTrial, WantedTrial
from pipelines.comparison.rate_budget import FACTORS, TriedRate, choose_rates, factor_text, tuning_trials
from pipelines.comparison.repeated_methods import Repeats, finished_seeds, repeat_sentences
from pipelines.comparison.seed_resampling import SeedDraws, resample_seeds
from pipelines.comparison.trial_runner import FailedTrial
from pipelines.gating.compare import compare_scores
from pipelines.registry.policies import GatePolicy
from pipelines.texts.message_catalogue import LANGUAGES, texts
from tests.pipelines.comparison.test_comparison_report import comparison
from tests.support.both_languages import compare_pages
from tests.support.compared import FULL
from tests.support.html import read_html

POLICY = GatePolicy(resamples=400)
SPEAKERS, EACH = 20, 6


def scores_of(rate: float, seed: int) -> ClipScores:
    """Scores of one training: clips of 20 speakers of 5 words, each wrong with probability `rate`."""
    rng, size = np.random.default_rng(seed), SPEAKERS * EACH
    names, blank = tuple(f"c{n:03}" for n in range(size)), ("",) * size
    errors = rng.binomial(5, rate, size)
    return ClipScores(
        names, tuple(f"s{n % SPEAKERS}" for n in range(size)), blank, errors, np.full(size, 5), blank, blank
    )


def draws_of(*rates: tuple[float, ...]) -> SeedDraws:
    """Systems with a rate for each seed."""
    systems = [[scores_of(rate, 10 * n + k) for k, rate in enumerate(seeds)] for n, seeds in enumerate(rates)]
    return resample_seeds(systems, POLICY, closed_set=False)


def test_with_one_seed_the_interval_is_that_of_the_gate() -> None:
    one, other = scores_of(0.2, 0), scores_of(0.3, 1)
    found = compare_scores(one, None, POLICY, False).challenger
    draws = resample_seeds([[one], [other]], POLICY, False)
    assert draws.interval(0) == (found.value, found.lower, found.upper)
    assert draws.relation(0, 1) == -1
    assert draws.relation(1, 0) == 1


def test_equal_seeds_add_nothing_and_different_ones_widen_the_interval() -> None:
    one = scores_of(0.2, 0)
    alone = resample_seeds([[one]], POLICY, False).interval(0)
    equal = resample_seeds([[one, one, one]], POLICY, False).interval(0)
    assert equal == pytest.approx(alone, abs=0.01)
    value, lower, upper = draws_of((0.1, 0.2, 0.3)).interval(0)
    assert upper - lower > 2 * (alone[2] - alone[1])
    # three seeds with a deviation of ten points: 4.3 times 10 / √3
    assert upper - value == pytest.approx(4.3 * 0.1 / 3**0.5, rel=0.25)


def test_what_all_methods_have_in_common_cancels_in_their_difference() -> None:
    clips = [scores_of(0.2, seed) for seed in range(3)]
    worse = [replace(one, errors=one.errors + (np.arange(len(one)) % 5 == 0)) for one in clips]
    draws = resample_seeds([worse, clips], POLICY, False)
    value, lower, upper = draws.interval(0, 1)
    assert value == pytest.approx(0.04)
    assert 0 < lower < value < upper < 0.1
    assert draws.ranks() == [(2, 2, 2), (1, 1, 1)]


def test_one_speaker_gives_no_interval_and_other_clips_are_refused() -> None:
    one = replace(scores_of(0.2, 0), speakers=("anna",) * (SPEAKERS * EACH))
    assert resample_seeds([[one, one]], POLICY, False).interval(0)[1:] == (-np.inf, np.inf)
    with pytest.raises(CorpusError, match="same number of seeds"):
        resample_seeds([[one, one], [one]], POLICY, False)


def test_the_ranking_changes_if_two_methods_swap_beyond_chance() -> None:
    heads, names = ("mean", "mhfa"), ("a", "b", "c", "d")
    first = draws_of(*((rate, rate) for rate in (0.1, 0.3, 0.5, 0.7)))
    assert (same := head_change(names, heads, (first, first))) is not None
    assert (same.answer, same.tau, same.turned) == ("no", 1.0, 0)
    assert (turned := head_change(names, heads, (first, draws_of(*((r, r) for r in (0.3, 0.1, 0.5, 0.7)))))) is not None
    assert (turned.answer, turned.swapped, turned.turned) == ("yes", (("a", "b"),), 1)
    assert "a is better than b with mean and worse with mhfa" in turned.text
    close, other = (draws_of(*((r, r) for r in rates)) for rates in ((0.30, 0.31, 0.32, 0.33), (0.31, 0.3, 0.33, 0.3)))
    assert (unsure := head_change(names, heads, (close, other))) is not None
    assert unsure.answer == "undecided"
    assert head_change(("a", "b"), heads, (first, first)) is None


def trial(wanted: WantedTrial, validation: float, value: float = 0.2) -> MethodTrial:
    return replace(FULL, **wanted._asdict(), validation=validation, value=value)


def test_the_validation_split_chooses_the_rate_and_a_failed_one_costs_only_itself() -> None:
    wanted = tuning_trials(("l", "e"), ("", "mhfa"), 3)
    assert [w.factor for w in wanted[:3]] == list(FACTORS[:3])
    values = iter([0.3, 0.2, 0.2, 0.1, 0.4, 0.5])
    results = [
        FailedTrial(w.method, 1.0, "NaN", 0, w.factor, w.head)
        if w.head and (w.method == "e" or w.factor == 3.0)
        # the golden set says the opposite
        else trial(w, next(values, 0.25), value=w.factor)
        for w in wanted
    ]
    choices, lost = choose_rates(wanted, results)
    assert [(c.method, c.head, c.factor) for c in choices] == [("l", "", 1 / 3), ("e", "", 1.0), ("l", "mhfa", 1.0)]
    assert [t.validation for t in choices[2].tried] == [0.25, 0.25, None]
    assert [(one.method, one.head) for one in lost] == [("e", "mhfa")]
    assert [factor_text(f) for f in FACTORS] == ["1", "1/3", "3", "1/9", "9"]


def test_the_report_has_seeds_ranks_rates_and_the_sentence_on_heads() -> None:
    rates = {"l": 0.1, "e": 0.3, "full": 0.5}
    keys = [(name, head) for head in ("", "mhfa") for name in rates]
    wanted = {key: [WantedTrial(key[0], 1.0, seed, 3.0, key[1]) for seed in range(3)] for key in keys}
    trials = finished_seeds([trial(w, 0.1) for own in wanted.values() for w in own], tuple(rates), ("", "mhfa"), 3)
    assert finished_seeds([trial(WantedTrial("l"), 0.1)], ("l",), ("",), 2) == {}
    scores = {key: [scores_of(rates[key[0]], 7 * w.seed + n) for w in wanted[key]] for n, key in enumerate(keys)}
    repeats = Repeats(trials, scores, POLICY, False)
    choices, _ = choose_rates([w[0] for w in wanted.values()], [trials[key][0] for key in keys])
    found = repeats.summary(3, {(c.method, c.head): c for c in choices})
    head, budget, seeds = repeat_sentences(found)
    assert head.startswith("The ranking changes with the head (default or mhfa): no. 0 of 3 pairs")
    assert budget.startswith("Each method was tried with 3 learning rates, and the validation split chose: l × 3, ")
    assert seeds.startswith("Intervals and ranks are over 3 seeds")
    tried = tuple(TriedRate(factor, 0.1) for factor in FACTORS[:3])
    for factor, said in ((1.0, 3), (3.0, 4), (1 / 3, 4)):
        first = replace(found.methods[0], factor=factor, tried=tried)
        assert len(repeat_sentences(replace(found, methods=(first,)))) == said
    edge = repeat_sentences(replace(found, methods=(first, replace(first, method="e", head="mhfa"))))[2]
    assert edge == (
        "The highest or the lowest rate won for l, e with mhfa: a better one may lie beyond; --budget 5 tries more."
    )
    unknown, rates_said, _ = repeat_sentences(replace(found, changes=(), budget=1))
    assert unknown.endswith("is not known: this takes three methods or more.")
    assert "default learning rates only" in rates_said
    rows = repeat_rows(found)
    assert [row[0] for row in rows] == [*rates, *rates]
    assert rows[0][4:] == ["1 (1 … 1)", "3", "× 3: 10.00 %"]
    (row, *_), (gap,) = repeats.rows("mhfa"), repeats.differences("mhfa", [("l", "e")])
    assert row.value == pytest.approx(np.mean(found.methods[3].by_seed))
    assert gap.relation == "lower"
    shown = replace(comparison(), repeats=found)
    pictures = draw_comparison(shown)
    pages = [comparison_html(texts(language), shown, pictures) for language in LANGUAGES]
    compare_pages(read_html(pages[0]), read_html(pages[1]))
    for page in (comparison_markdown(shown), pages[0]):
        assert "Seeds, rates and heads" in page
        assert "sampling of the golden set and of 3 seeds" in page
