from __future__ import annotations

import numpy as np
import pytest

from elp_core.audio import load
from elp_core.errors import AudioError
from elp_core.inference.audio_blocks import BLOCK_SECONDS, audio_blocks, fixed_blocks
from tests.support.clips import wav


def noise(seconds: float, rate: int, channels: int = 1) -> np.ndarray:
    shape = (round(seconds * rate), channels) if channels > 1 else round(seconds * rate)
    return (0.2 * np.random.default_rng(rate).standard_normal(shape)).clip(-1, 1).astype(np.float32)


@pytest.mark.parametrize("rate", [8000, 11_025, 16_000, 22_050, 44_100, 48_000])
@pytest.mark.parametrize("seconds", [0.5, 30.0, 61.3])
def test_blocks_joined_are_the_file_as_load_reads_it(rate: int, seconds: float) -> None:
    sound = wav(noise(seconds, rate), rate)
    blocks = list(audio_blocks(sound))
    np.testing.assert_allclose(np.concatenate(blocks), load(sound), atol=1e-6)
    assert max(map(len, blocks)) <= (BLOCK_SECONDS + 2) * 16_000


def test_channels_are_mixed_or_one_is_taken() -> None:
    both = noise(0.5, 16_000, channels=2)
    sound = wav(both)
    np.testing.assert_allclose(np.concatenate(list(audio_blocks(sound))), load(sound), atol=1e-6)
    for channel in (1, "right"):
        np.testing.assert_allclose(np.concatenate(list(audio_blocks(sound, channel))), both[:, 1], atol=1e-4)
    with pytest.raises(AudioError, match="channel 2 is not one"):
        list(audio_blocks(sound, 2))
    with pytest.raises(AudioError, match="2 channels that differ"):
        list(audio_blocks(sound, "same"))


def test_a_side_is_taken_in_blocks_in_which_both_are_nearly_silent_too() -> None:
    both = noise(65.0, 8000, channels=2)
    both[8000 * 29 : 8000 * 62] *= 1e-3
    sound = wav(both, 8000)
    found = np.concatenate(list(audio_blocks(sound, "left")))
    np.testing.assert_allclose(found, load(sound, "left"), atol=1e-6)
    assert float(np.abs(found[16_000 * 40 : 16_000 * 50] - load(sound, "mix")[16_000 * 40 : 16_000 * 50]).max()) > 1e-4


def test_a_sample_that_is_no_number_is_refused_in_its_block() -> None:
    samples = noise(70.0, 8000)
    samples[8000 * 65] = np.nan
    blocks = audio_blocks(wav(samples, 8000, subtype="FLOAT"))
    next(blocks)
    with pytest.raises(AudioError, match="samples that are not finite numbers"):
        list(blocks)


def test_what_cannot_be_read_is_refused() -> None:
    for content, reason in ((b"", "empty"), (b"no sound" * 20, "corrupt"), (wav(noise(0.1, 8000)[:0], 8000), "empty")):
        with pytest.raises(AudioError, match=r"no bytes|cannot be read|no samples") as caught:
            list(audio_blocks(content))
        assert caught.value.reason == reason


def test_samples_in_memory_come_in_blocks_too() -> None:
    samples = noise(2.5, 16_000)
    found = list(fixed_blocks(samples, 1.0))
    assert [len(block) for block in found] == [16_000, 16_000, 8000]
    np.testing.assert_array_equal(np.concatenate(found), samples)
