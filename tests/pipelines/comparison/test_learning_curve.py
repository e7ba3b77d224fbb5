from __future__ import annotations

import numpy as np
import pytest

from pipelines.comparison.learning_curve import (
    POINT,
    curve_advice,
    fit_power_law,
    minutes_for,
    predict_error,
    worth_until,
)

MINUTES = (2.0, 4.0, 8.0, 16.0)


def test_an_exact_power_law_is_found_again() -> None:
    law = fit_power_law(MINUTES, [0.6 * m**-0.5 for m in MINUTES], 1e-4)
    assert law is not None
    assert law.scale == pytest.approx(0.6)
    assert law.exponent == pytest.approx(0.5)
    assert predict_error(law, 32.0).value == pytest.approx(0.6 * 32**-0.5)
    assert minutes_for(law, 0.6 / 10) == pytest.approx(100.0)


def test_the_prediction_interval_holds_what_a_further_run_gives() -> None:
    rng = np.random.default_rng(0)
    held = 0
    for _ in range(400):
        seen = [0.5 * m**-0.4 * np.exp(0.1 * rng.standard_normal()) for m in (*MINUTES, 32.0)]
        law = fit_power_law(MINUTES, seen[:4], 1e-4)
        assert law is not None
        predicted = predict_error(law, 32.0)
        held += predicted.lower <= seen[4] <= predicted.upper
    assert 0.91 <= held / 400 <= 0.99


def test_a_flat_curve_is_not_worth_more() -> None:
    law = fit_power_law(MINUTES, [0.2, 0.202, 0.2, 0.201], 1e-4)
    assert "more of the same is not worth it" in curve_advice(law, 16.0, 0.201)


def test_a_curve_that_scatters_promises_nothing_and_refuses_nothing() -> None:
    law = fit_power_law((1.0, 2.0, 4.0, 8.0), [0.8, 0.55, 0.3, 0.0], smallest=0.002)
    assert "vary too much" in curve_advice(law, 8.0, 0.0)


def test_a_falling_curve_says_what_twice_the_audio_gives() -> None:
    law = fit_power_law(MINUTES, [0.6 * m**-0.5 * (1.02 if m == 4 else 1) for m in MINUTES], 1e-4)
    said = curve_advice(law, 16.0, 0.15)
    assert "With 32 minutes instead of 16" in said
    assert "needs about 6" in said


@pytest.mark.parametrize(
    ("scale", "words"),
    [
        # of an error of scale / √minutes a doubling takes off 0.293 · scale / √minutes
        (0.6, "Up to about 309 minutes a doubling removes one point or more; beyond that, less."),
        (0.1, "Already one doubling removes less than one point: more of the same is hardly worth it."),
        (3.0, "as far as the curve is valid, 50 times the audio"),
    ],
)
def test_a_falling_curve_says_how_much_more_is_worth_recording(scale: float, words: str) -> None:
    errors = [scale * m**-0.5 for m in MINUTES]
    law = fit_power_law(MINUTES, errors, 1e-4)
    assert law is not None
    until = worth_until(law, POINT)
    assert predict_error(law, until).value - predict_error(law, 2 * until).value == pytest.approx(POINT)
    assert words in curve_advice(law, 16.0, errors[-1])


def test_two_amounts_of_audio_are_too_few() -> None:
    assert fit_power_law((2.0, 4.0), [0.5, 0.3], 1e-4) is None
    assert "Fewer than 3" in curve_advice(None, 4.0, 0.3)


def test_an_error_of_zero_counts_as_the_smallest() -> None:
    law = fit_power_law(MINUTES, [0.4, 0.1, 0.02, 0.0], smallest=0.005)
    assert law is not None
    assert predict_error(law, 32.0).value > 0
