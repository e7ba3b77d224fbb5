import dataclasses

import numpy as np
import pytest

from tiny.noise import add_noise, add_talker, disturb, noise_bank, set_level, telephone
from tiny.settings import Recipe


@pytest.fixture(scope="module")
def bank() -> np.ndarray:
    return noise_bank(3, 2.0)


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(5)


@pytest.fixture
def windows(rng: np.random.Generator) -> np.ndarray:
    return (0.1 * rng.standard_normal((6, 8000))).astype(np.float32)


def power(waves: np.ndarray) -> np.ndarray:
    return (waves.astype(np.float64) ** 2).mean(axis=-1)


def test_every_noise_has_unit_power_and_another_sound(bank: np.ndarray) -> None:
    assert power(bank) == pytest.approx(np.ones(14), rel=1e-4)
    assert np.abs(np.corrcoef(bank) - np.eye(14)).max() < 0.5


def test_the_asked_signal_to_noise_ratio_is_met(
    windows: np.ndarray, bank: np.ndarray, rng: np.random.Generator
) -> None:
    noisy = add_noise(windows, bank, (5.0, 5.0), rng)
    assert 10 * np.log10(power(windows) / power(noisy - windows)) == pytest.approx(np.full(6, 5.0), abs=0.05)


def test_another_talker_covers_at_most_half_the_window(windows: np.ndarray, rng: np.random.Generator) -> None:
    changed = (add_talker(windows, windows[::-1], rng) != windows).mean(axis=1)
    assert (changed > 0.05).all()
    assert (changed <= 0.5).all()


def test_a_telephone_line_ends_at_4_khz(windows: np.ndarray, rng: np.random.Generator) -> None:
    spectrum = np.abs(np.fft.rfft(telephone(windows, rng))) ** 2
    assert spectrum[:, 2300:].sum() < 1e-4 * spectrum.sum()
    assert spectrum[:, 500:1500].sum() > 0.25 * spectrum.sum()


def test_levels_are_spread_or_unit_variance(rng: np.random.Generator) -> None:
    levels = np.sqrt(power(set_level(rng.standard_normal((400, 800)).astype(np.float32), rng)))
    unit = np.isclose(levels, 1.0, atol=1e-3)
    assert 0.15 < unit.mean() < 0.35
    assert levels[~unit].min() >= 0.0099
    assert levels[~unit].max() <= 0.301


def test_disturbing_repeats_with_its_seed_and_leaves_the_input(
    windows: np.ndarray, bank: np.ndarray, recipe: Recipe
) -> None:
    before = windows.copy()
    first, second = (disturb(windows, bank, recipe.batches, np.random.default_rng(8)) for _ in range(2))
    assert np.array_equal(first, second)
    assert np.array_equal(windows, before)


def test_without_disturbances_only_the_level_changes(windows: np.ndarray, bank: np.ndarray, recipe: Recipe) -> None:
    quiet = dataclasses.replace(recipe.batches, noisy=0.0, overlapped=0.0, telephone=0.0)
    ratio = disturb(windows, bank, quiet, np.random.default_rng(8)) / windows
    assert ratio == pytest.approx(np.broadcast_to(ratio[:, :1], ratio.shape), rel=1e-4)
