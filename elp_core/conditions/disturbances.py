"""Voices and noises that are added to a clip, at an SNR over speech.

The kinds of noise in `TRAINING_NOISES` and in `SWEEP_NOISES` differ in what makes them sound as they do, not only in
their parameters. Neither is the coloured noise of the usual augmentation or the machine hall of `elp_core.data.noise`.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from elp_core.audio import Waveform, load
from elp_core.conditions.speech_level import mix_over_speech, of_length, speech_power
from elp_core.types import SAMPLE_RATE, Clip, Decibels, Samples

OtherClip = Callable[[np.random.Generator], Waveform]
"""Returns float32 [samples] of another recording of the same data, of another speaker if there is one."""
MakeNoise = Callable[[Samples, np.random.Generator], Waveform]

BABBLE_TALKERS = (3, 6)
"""Fewest and most voices of babble: one voice is the sweep's competing talker."""
BABBLE_SNR: tuple[Decibels, Decibels] = (5.0, 20.0)
NOISE_SNR: tuple[Decibels, Decibels] = (0.0, 20.0)
_DRAWS = 16
"""Draws of a clip until another speaker is found."""
_Signal = npt.NDArray[np.float64]


def other_of(clip: Clip, clips: Sequence[Clip]) -> OtherClip:
    """Return a function that draws another clip among `clips` and returns its float32 [samples].

    It is a clip of another speaker if some draws find one, and otherwise any clip: `clips` may be a million, and a few
    of them may be of one speaker.
    """

    def other(rng: np.random.Generator) -> Waveform:
        found = clip
        for _ in range(_DRAWS):
            drawn = clips[int(rng.integers(len(clips)))]
            if drawn.id != clip.id:
                found = drawn
                if drawn.speaker != clip.speaker:
                    break
        return load(found.audio)

    return other


def babble(samples: Waveform, other: OtherClip, rng: np.random.Generator) -> Waveform:
    """Return float32 [samples] with several voices of equal level behind them."""
    voices = np.zeros(len(samples))
    for _ in range(int(rng.integers(BABBLE_TALKERS[0], BABBLE_TALKERS[1] + 1))):
        voice = other(rng)
        level = np.sqrt(speech_power(voice)) or 1.0
        voices += of_length(voice, len(samples), int(rng.integers(max(1, len(voice))))) / level
    return mix_over_speech(samples, voices.astype(np.float32), float(rng.uniform(*BABBLE_SNR)))


def competing_talker(samples: Waveform, snr_db: Decibels, other: OtherClip, rng: np.random.Generator) -> Waveform:
    """Return float32 [samples] with one other voice behind them."""
    voice = other(rng)
    start = int(rng.integers(max(1, len(voice))))
    return mix_over_speech(samples, of_length(voice, len(samples), start), snr_db)


def training_noise(samples: Waveform, rng: np.random.Generator) -> Waveform:
    """Return float32 [samples] with one of the noises of training."""
    make = TRAINING_NOISES[str(rng.choice(sorted(TRAINING_NOISES)))]
    return mix_over_speech(samples, make(len(samples), rng), float(rng.uniform(*NOISE_SNR)))


def sweep_noise(kind: str, samples: Waveform, snr_db: Decibels, rng: np.random.Generator) -> Waveform:
    """Return float32 [samples] with a noise of the sweep; one generator gives one noise at any SNR."""
    return mix_over_speech(samples, SWEEP_NOISES[kind](len(samples), rng), snr_db)


def engine_noise(count: Samples, rng: np.random.Generator) -> Waveform:
    """Return an engine, float32 [count]: many harmonics of a speed that wanders, with a rough tone colour."""
    time = np.arange(count) / SAMPLE_RATE
    base, wander = rng.uniform(40.0, 140.0), rng.uniform(0.02, 0.1)
    phase = 2 * np.pi * np.cumsum(base * (1 + wander * np.sin(2 * np.pi * rng.uniform(0.1, 1.0) * time))) / SAMPLE_RATE
    total = np.zeros(count)
    for harmonic in range(1, 25):
        total += rng.uniform(0.2, 1.0) / np.sqrt(harmonic) * np.sin(harmonic * phase + rng.uniform(0, 2 * np.pi))
    return _float(total)


def steam_noise(count: Samples, rng: np.random.Generator) -> Waveform:
    """Return escaping steam or air, float32 [count]: noise above a corner frequency, whose level pulsates."""
    noise = _shaped(count, rng, lambda f: (f > rng.uniform(1500.0, 3500.0)) * 1.0)
    time = np.arange(count) / SAMPLE_RATE
    return _float(noise * (1 + 0.8 * np.sin(2 * np.pi * rng.uniform(1.0, 8.0) * time + rng.uniform(0, 2 * np.pi))))


def knocks_noise(count: Samples, rng: np.random.Generator) -> Waveform:
    """Return knocks, float32 [count]: short bursts of noise that decay, several in a second."""
    rate = rng.uniform(3.0, 12.0)
    total = np.zeros(count)
    for _ in range(1 + int(rng.poisson(rate * count / SAMPLE_RATE))):
        start = int(rng.integers(count))
        length = min(count - start, SAMPLE_RATE // 4)
        decay = np.exp(-np.arange(length) / (SAMPLE_RATE * rng.uniform(0.005, 0.04)))
        total[start : start + length] += rng.uniform(0.3, 1.0) * decay * rng.standard_normal(length)
    return _float(total)


def traffic_noise(count: Samples, rng: np.random.Generator) -> Waveform:
    """Return a road, float32 [count]: low rumble (power falls with the third power of frequency), and cars that pass.

    A car is broadband tyre noise which rises and falls once.
    """
    rumble = _shaped(count, rng, lambda f: np.power(f, -1.5))
    time = np.arange(count) / SAMPLE_RATE
    total = rumble / (rumble.std() or 1.0)
    for _ in range(1 + int(rng.poisson(count / SAMPLE_RATE))):
        centre, width = rng.uniform(0.0, count / SAMPLE_RATE), rng.uniform(0.3, 1.2)
        tyres = _shaped(count, rng, lambda f: 1 / (1 + ((f - 900.0) / 500.0) ** 2))
        total += rng.uniform(0.5, 1.5) * tyres / (tyres.std() or 1.0) * np.exp(-0.5 * ((time - centre) / width) ** 2)
    return _float(total)


def alarm_noise(count: Samples, rng: np.random.Generator) -> Waveform:
    """Return an alarm, float32 [count]: two tones in turn, or a siren, each with three harmonics and pauses."""
    time = np.arange(count) / SAMPLE_RATE
    low, high = rng.uniform(500.0, 900.0), rng.uniform(1000.0, 1800.0)
    period, start = rng.uniform(0.4, 1.2), rng.uniform(0.0, 1.0)
    place = (time / period + start) % 1.0
    pitch = np.where(place < 0.5, low, high) if rng.random() < 0.5 else low + (high - low) * (1 - np.abs(2 * place - 1))
    phase = 2 * np.pi * np.cumsum(pitch) / SAMPLE_RATE
    tones = np.sum([np.sin(harmonic * phase) / harmonic for harmonic in (1, 2, 3)], axis=0)
    return _float(tones * ((time / (4 * period) + start) % 1.0 < 0.8))


TRAINING_NOISES: dict[str, MakeNoise] = {"engine": engine_noise, "steam": steam_noise, "knocks": knocks_noise}
SWEEP_NOISES: dict[str, MakeNoise] = {"traffic": traffic_noise, "alarm": alarm_noise}


def _shaped(count: Samples, rng: np.random.Generator, shape: Callable[[_Signal], npt.NDArray[Any]]) -> _Signal:
    """Return Gaussian noise [count] whose amplitudes follow a function of the frequency in Hz."""
    spectrum = np.fft.rfft(rng.standard_normal(count))
    made: _Signal = np.fft.irfft(spectrum * shape(np.maximum(np.fft.rfftfreq(count, 1 / SAMPLE_RATE), 20.0)), count)
    return made


def _float(signal: _Signal) -> Waveform:
    level = float(np.sqrt(np.mean(signal**2)))
    return (signal / level if level > 0 else signal).astype(np.float32)
