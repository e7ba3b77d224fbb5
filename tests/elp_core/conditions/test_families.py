"""The conditions of training and of the sweep: what each keeps, and that nothing is in both tables."""

from __future__ import annotations

import typing
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from elp_core.audio import Waveform
from elp_core.conditions import (
    SWEEP_FAMILIES,
    TRAINING_FAMILIES,
    codecs,
    disturbances,
    rooms,
    sweep_family,
    transmission,
)
from elp_core.conditions.speech_level import mix_over_speech, speech_power
from elp_core.config import SweepCondition, TrainingCondition
from elp_core.data.augment import generator
from elp_core.types import SAMPLE_RATE
from tests.support.clips import voice

SPEECH = voice(0.8, 300, 1)
PLACES = range(4)
STEPS: dict[str, Callable[[np.random.Generator], Waveform]] = {
    **{one.name: lambda rng, one=one: one.apply(SPEECH, other, rng) for one in TRAINING_FAMILIES},
    **{
        f"{one.name} {p}": lambda rng, o=one, p=p: o.apply(SPEECH, p, other, rng)
        for one in SWEEP_FAMILIES
        for p in PLACES
    },
}


def other(rng: np.random.Generator) -> Waveform:
    return voice(0.5, float(rng.uniform(500, 900)), 7)


@pytest.fixture(autouse=True)
def few_rooms(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("elp_core.conditions.families.OFFICES", replace(rooms.OFFICES, count=1))
    monkeypatch.setattr(
        "elp_core.conditions.families.hall_bank", lambda seconds: replace(rooms.hall_bank(seconds), count=1)
    )


def test_training_and_sweep_share_nothing() -> None:
    training, sweep = {one.name for one in TRAINING_FAMILIES}, {one.name for one in SWEEP_FAMILIES}
    assert training == set(typing.get_args(TrainingCondition))
    assert sweep == set(typing.get_args(SweepCondition))
    assert len(sweep) == 9
    assert not training & sweep
    used = codecs.SPEECH_SEVERITIES + codecs.MUSIC_SEVERITIES
    assert not {one.subtype for one in codecs.TRAINING_CODECS} & {one.subtype for one in used}
    kinds = (disturbances.TRAINING_NOISES, disturbances.SWEEP_NOISES)
    assert not kinds[0].keys() & kinds[1].keys()
    assert not set(kinds[0].values()) & set(kinds[1].values())
    assert disturbances.BABBLE_TALKERS[0] > 1
    halls = [rooms.hall_bank(seconds) for seconds in rooms.HALL_SEVERITIES]
    assert rooms.OFFICES.reverberation[1] < min(hall.reverberation[0] for hall in halls)
    assert rooms.OFFICES.distance[1] < min(hall.distance[0] for hall in halls)
    assert all(big > small for big, small in zip(halls[0].smallest, rooms.OFFICES.largest, strict=True))
    assert max(transmission.MUFFLED_SEVERITIES) < transmission.TELEPHONE_HIGH[0]
    assert transmission.BURST_PACKETS[0] > 1


@pytest.mark.parametrize("name", STEPS)
def test_a_condition_keeps_the_length_and_depends_on_its_generator_only(name: str) -> None:
    first, again = (STEPS[name](generator(3, 4)) for _ in range(2))
    assert first.dtype == np.float32
    assert first.shape == SPEECH.shape
    assert np.abs(first).max() <= 1
    assert np.isfinite(first).all()
    assert np.array_equal(first, again)
    # few packets may mean that none is lost
    assert any(not np.array_equal(STEPS[name](generator(3, key)), SPEECH) for key in (4, 5, 6, 7))


@pytest.mark.parametrize("family", SWEEP_FAMILIES, ids=lambda family: family.name)
def test_a_severity_changes_the_speech_more_than_the_one_before(family: typing.Any) -> None:
    far = [float(np.mean((family.apply(SPEECH, place, other, generator(5)) - SPEECH) ** 2)) for place in PLACES]
    assert far == sorted(far)
    assert far[3] > 1.2 * far[0]
    assert len(family.strengths) == 4
    assert sweep_family(family.name) is family


@pytest.mark.parametrize(
    "codec", [*codecs.TRAINING_CODECS, *codecs.SPEECH_SEVERITIES, *codecs.MUSIC_SEVERITIES], ids=str
)
def test_a_codec_does_not_move_the_sound(codec: codecs.Codec) -> None:
    # a click at an odd place, of a clip with another length than the probe of the delay
    click = np.zeros(9_001, np.float32)
    click[3_333:3_373] = 0.5 * np.hanning(40)
    assert abs(int(np.argmax(codecs.transcode(click, codec))) - 3_352) <= 16


def test_the_snr_does_not_depend_on_pauses() -> None:
    noise = generator(1).standard_normal(3 * SAMPLE_RATE).astype(np.float32)
    speech = 0.1 * generator(2).standard_normal(SAMPLE_RATE).astype(np.float32)
    paused = np.concatenate([speech, np.zeros(2 * SAMPLE_RATE, np.float32)])
    rest = (mix_over_speech(one, noise[: len(one)], 10.0) - one for one in (speech, paused))
    assert [float(np.mean(one**2)) for one in rest] == pytest.approx([0.001, 0.001], rel=0.05)
    assert speech_power(paused) == pytest.approx(0.01, rel=0.05)


def test_a_silent_clip_stays_silent() -> None:
    silent = np.zeros(4_000, np.float32)
    loudest = [np.abs(one.apply(silent, 3, other, generator(1))).max() for one in SWEEP_FAMILIES]
    assert max(loudest) < 0.002, loudest


def test_a_response_begins_with_the_direct_sound() -> None:
    (response,) = rooms.room_responses(replace(rooms.OFFICES, count=1))
    assert int(np.argmax(np.abs(response))) <= 1
    assert float(np.sum(response[:9] ** 2)) == pytest.approx(1.0, abs=0.2)
    # the energy after 50 ms is lower than that before it, and not zero
    assert 0 < np.sum(response[800:] ** 2) < np.sum(response[:800] ** 2)
