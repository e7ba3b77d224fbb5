"""What holds no speech has no words; `test_transcribe` has the transcripts."""

from __future__ import annotations

import numpy as np
import pytest

from elp_core.audio import Waveform
from elp_core.inference.speech_presence import holds_speech
from elp_core.testing import tone
from elp_core.types import SAMPLE_RATE
from tests.elp_core.inference.test_voice_activity import spoken


def noise(seconds: float, level: float) -> Waveform:
    rng = np.random.default_rng(5)
    return (level * rng.standard_normal(round(seconds * SAMPLE_RATE))).astype(np.float32)


def click(seconds: float) -> Waveform:
    wave = np.zeros(round(seconds * SAMPLE_RATE), np.float32)
    wave[len(wave) // 2 :][:20] = 0.9
    return wave


@pytest.mark.parametrize("level", [1.0, 0.01])
@pytest.mark.parametrize("seconds", [0.15, 0.4, 5.0])
def test_words_are_speech_at_any_level_and_length(seconds: float, level: float) -> None:
    assert all(holds_speech(level * spoken(seconds, seed)) for seed in range(8))


@pytest.mark.parametrize(
    "sound", [np.zeros(16_000, np.float32), noise(0.3, 0.1), noise(5.0, 0.01), click(1.0), tone(440, 1.0), spoken(0.05)]
)
def test_silence_noise_clicks_tones_and_scraps_are_none(sound: Waveform) -> None:
    assert not holds_speech(sound)


def test_without_the_detector_level_and_length_decide(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert holds_speech(noise(1.0, 0.1))
    assert not holds_speech(spoken(0.05))
    # a 16-bit recording of nothing has its last bit set here and there
    last_bits = (np.random.default_rng(1).integers(-1, 2, 16_000) / 2**15).astype(np.float32)
    assert not holds_speech(last_bits)
    assert not holds_speech(last_bits, detect=False)
    assert not holds_speech(np.zeros(0, np.float32), detect=False)
