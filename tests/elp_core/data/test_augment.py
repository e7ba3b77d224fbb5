from __future__ import annotations

import numpy as np
import pytest
import torch

from elp_core.config import AugmentConfig
from elp_core.data.augment import augment_waveform, generator, mask_features
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
