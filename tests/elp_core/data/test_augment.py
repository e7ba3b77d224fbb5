from __future__ import annotations

import numpy as np
import pytest
import torch

from elp_core.config import AugmentConfig, to_dict
from elp_core.data.augment import augment_waveform, background, generator, mask_features
from elp_core.types import SAMPLE_RATE
from tests.support.clips import tone

OFF = AugmentConfig(speed=0.0, noise_probability=0.0, gain_db=0.0)


def test_the_same_key_gives_the_same_copy() -> None:
    one, same, other = (augment_waveform(tone(), AugmentConfig(), generator(0, 1, key)) for key in (5, 5, 6))
    assert np.array_equal(one, same)
    assert len(one) != len(other) or not np.array_equal(one, other)


def test_switched_off_it_changes_nothing() -> None:
    assert np.array_equal(augment_waveform(tone(), OFF, generator(0)), tone())


def test_speed_stays_in_its_range() -> None:
    config = AugmentConfig(speed=0.1, noise_probability=0.0)
    lengths = [len(augment_waveform(tone(), config, generator(0, i))) for i in range(40)]
    assert 8000 / 1.11 < min(lengths) < 7600
    assert 8400 < max(lengths) < 8000 / 0.89


def test_a_speed_that_leaves_too_little_is_not_used() -> None:
    config = AugmentConfig(speed=0.1, noise_probability=0.0)
    assert min(len(augment_waveform(tone(), config, generator(0, i), 8000)) for i in range(40)) >= 8000


def test_noise_has_an_snr_in_the_range() -> None:
    config = AugmentConfig(speed=0.0, noise_probability=1.0, noise_snr=(10.0, 12.0), gain_db=0.0)
    noise = augment_waveform(tone(level=0.1), config, generator(3)) - tone(level=0.1)
    assert 10 <= 10 * np.log10(0.005 / np.mean(noise**2)) <= 12.1


def test_margins_continue_the_background_of_the_clip() -> None:
    config = AugmentConfig(speed=0.0, noise_probability=0.0, gain_db=0.0, margin=0.5)
    hiss = 0.01 * generator(9).standard_normal(SAMPLE_RATE).astype(np.float32)
    hiss[4000:12000] += tone(0.5, 300)
    before = []
    for key in range(30):
        copy = augment_waveform(hiss, config, generator(key))
        extra = len(copy) - len(hiss)
        assert 0 <= extra <= SAMPLE_RATE
        (place,) = [at for at in range(extra + 1) if copy[at] == hiss[0] and np.array_equal(copy[at:][:16000], hiss)]
        before.append(place)
        made = np.concatenate([copy[:place], copy[place + len(hiss) :]])
        assert 0.006 < np.sqrt(np.mean(made**2)) < 0.012
    assert min(before) < 1600
    assert 6400 < max(before) <= 8000


def test_background_has_the_spectrum_of_the_quietest_part() -> None:
    clip = np.concatenate([tone(0.5, 300), tone(0.2, 2000, 0.01), tone(0.5, 300)])
    power = np.abs(np.fft.rfft(background(clip, SAMPLE_RATE, generator(0)))) ** 2
    assert power[1900:2100].sum() > 0.9 * power.sum()


@pytest.mark.parametrize("clip", [np.zeros(0, np.float32), np.zeros(4000, np.float32), np.full(7, 0.5, np.float32)])
def test_background_of_odd_clips_is_finite_and_no_louder(clip: np.ndarray) -> None:
    for count in (0, 1, 5000):
        noise = background(clip, count, generator(0))
        assert noise.dtype == np.float32
        assert noise.shape == (count,)
        assert np.abs(noise).max(initial=0.0) <= np.abs(clip).max(initial=0.0) + 1e-6


def test_without_margins_the_copies_are_those_of_before() -> None:
    """The draws of a margin come after all others, and only if there is one."""
    rng = generator(4)
    augment_waveform(tone(), AugmentConfig(noise_probability=0.0), rng)
    steps = generator(4)
    steps.integers(-8, 9)
    steps.random()
    steps.uniform(5.0, 25.0)
    steps.uniform(0.0, 2.0)
    steps.uniform(-6.0, 6.0)
    assert "margin" not in to_dict(AugmentConfig())
    assert rng.random() == steps.random()


@pytest.mark.parametrize(("time", "feature"), [(0.2, 0.0), (0.0, 0.2), (0.1, 0.1)])
def test_masks_hide_the_share_asked_for(time: float, feature: float) -> None:
    config = AugmentConfig(time_mask=time, feature_mask=feature)
    features = torch.ones(200, 50, 64)
    masked = mask_features(features, torch.full((200,), 50), config, generator(0))
    expected = 1 - (1 - time) * (1 - feature)
    assert abs(float((masked == 0).float().mean()) - expected) < 0.04
    assert bool((features == 1).all())


def test_masks_stay_within_real_frames() -> None:
    config = AugmentConfig(time_mask=0.5, feature_mask=0.0)
    masked = mask_features(torch.ones(50, 30, 4), torch.full((50,), 10), config, generator(0))
    assert bool((masked[:, 10:] == 1).all())
    assert bool((masked[:, :10] == 0).any())
