from __future__ import annotations

import numpy as np
import pytest

from elp_core.audio import differing_channels, load
from elp_core.channels import Channel, channels_differ, take_channel
from elp_core.errors import AudioError
from tests.support.clips import tone, voice, wav

LEFT, RIGHT = voice(1.0, 300, 1), voice(1.0, 700, 2)
CALL = np.stack([LEFT, RIGHT], axis=1)


def refusal(samples: np.ndarray, channel: Channel) -> str:
    with pytest.raises(AudioError, match=r"channel") as caught:
        take_channel(samples, 16_000, channel, "call.wav")
    return caught.value.reason


def test_two_people_are_not_mixed_unasked() -> None:
    assert refusal(CALL, "same") == "channels_differ"
    assert np.array_equal(take_channel(CALL, 16_000, "left", "call.wav"), LEFT)
    assert np.array_equal(take_channel(CALL, 16_000, "right", "call.wav"), RIGHT)
    assert np.array_equal(take_channel(CALL, 16_000, 1, "call.wav"), RIGHT)
    assert np.allclose(take_channel(CALL, 16_000, "mix", "call.wav"), (LEFT + RIGHT) / 2)


def test_opposite_phase_differs_and_is_no_silence() -> None:
    inverse = np.stack([LEFT, -LEFT], axis=1)
    assert channels_differ(inverse, 16_000)
    assert np.array_equal(take_channel(inverse, 16_000, "left", "a.wav"), LEFT)


def test_one_sound_on_both_channels_is_mono_with_the_samples_of_a_mix() -> None:
    rng = np.random.default_rng(0)
    for apart in (0.0, 1e-4):
        both = np.stack([LEFT, LEFT + apart * rng.standard_normal(len(LEFT)).astype(np.float32)], axis=1)
        for channel in ("same", "left", "right", "mix"):
            assert np.array_equal(take_channel(both, 16_000, channel, "a.wav"), both.mean(axis=1, dtype=np.float32))


def test_a_short_difference_in_a_long_recording_counts() -> None:
    long = np.repeat(np.tile(LEFT, 60)[:, None], 2, axis=1)
    assert not channels_differ(long, 16_000)
    long[500_000:503_200, 1] += 0.1 * tone(0.2, 900)
    assert channels_differ(long, 16_000)


def test_one_channel_never_differs_and_other_numbers_are_refused() -> None:
    mono = LEFT[:, None]
    assert np.array_equal(take_channel(mono, 16_000, "right", "a.wav"), LEFT)
    assert refusal(mono, 1) == refusal(mono, -1) == "no_channel"


def test_left_of_three_is_refused() -> None:
    three = np.stack([LEFT, RIGHT, -LEFT], axis=1)
    assert refusal(three, "left") == refusal(three, "same") == "channels_differ"
    assert np.array_equal(take_channel(three, 16_000, 2, "a.wav"), -LEFT)


def test_files_say_how_many_channels_differ() -> None:
    assert differing_channels(wav(CALL)) == 2
    assert differing_channels(wav(LEFT)) == differing_channels(wav(np.stack([LEFT] * 3, axis=1))) == 1
    late = np.concatenate([np.stack([tone(60.0)] * 2, axis=1), CALL])
    assert differing_channels(wav(late)) == 2
    with pytest.raises(AudioError, match="cannot be read as audio"):
        differing_channels(b"no sound")


@pytest.mark.parametrize(("kind", "subtype"), [("OGG", "VORBIS"), ("MP3", "MPEG_LAYER_III"), ("OGG", "OPUS")])
def test_lossy_codecs_keep_one_sound_one(kind: str, subtype: str) -> None:
    assert len(load(wav(np.stack([LEFT] * 2, axis=1), 16_000, subtype, kind), "same")) > 15_000
    with pytest.raises(AudioError, match="channels that differ"):
        load(wav(CALL, 16_000, subtype, kind), "same")
