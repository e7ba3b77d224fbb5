from __future__ import annotations

import numpy as np
import pytest

from elp_core.data.noise import coloured_noise, factory_noise, mix
from tests.support.clips import tone


def test_the_same_seed_gives_the_same_hall() -> None:
    assert np.array_equal(factory_noise(8000, 3), factory_noise(8000, 3))
    assert not np.array_equal(factory_noise(8000, 3), factory_noise(8000, 4))


def test_the_hall_hums() -> None:
    spectrum = np.abs(np.fft.rfft(factory_noise(16000 * 4, 0))) ** 2
    hum, beside = spectrum[4 * 50 - 4 : 4 * 50 + 5].max(), spectrum[4 * 60 : 4 * 65].mean()
    assert hum > 30 * beside


@pytest.mark.parametrize("snr", [-5.0, 5.0, 20.0])
def test_the_mix_has_the_snr_asked_for(snr: float) -> None:
    clean = tone(level=0.05)
    added = mix(clean, factory_noise(len(clean), 1), snr) - clean
    assert 10 * np.log10(np.mean(clean**2) / np.mean(added**2)) == pytest.approx(snr, abs=0.01)


def test_the_mix_never_exceeds_full_scale() -> None:
    assert np.abs(mix(tone(level=0.9), factory_noise(8000, 1), 0.0)).max() <= 1.0


def test_silence_stays_silent_and_lengths_must_agree() -> None:
    silence = np.zeros(8000, np.float32)
    assert not mix(silence, factory_noise(8000, 1), 5.0).any()
    with pytest.raises(ValueError, match="7999 samples, the clip 8000"):
        mix(silence, factory_noise(7999, 1), 5.0)


def test_brown_noise_is_darker_than_white() -> None:
    low = [
        (np.abs(np.fft.rfft(coloured_noise(16000, slope, np.random.default_rng(0))))[:1000] ** 2).sum()
        for slope in (0.0, 1.0, 2.0)
    ]
    assert low[0] < low[1] < low[2]
