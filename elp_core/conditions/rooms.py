"""Responses of shoebox rooms by the image-source method (Allen and Berkley 1979), made once and kept in small banks.

A response begins with the direct sound, which has unit energy. The level and the place in time of the speech stay
therefore as they are, and only what the room adds is new.
"""

import functools
import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from elp_core.audio import Waveform
from elp_core.conditions.speech_level import within_full_scale
from elp_core.errors import ConfigError
from elp_core.types import SAMPLE_RATE, Seconds

Metres = float
Room = tuple[Metres, Metres, Metres]


@dataclass(frozen=True)
class RoomBank:
    """Ranges from which the rooms of one bank are drawn."""

    smallest: Room
    """Least length, width and height."""
    largest: Room
    reverberation: tuple[Seconds, Seconds]
    """Range of RT60, by Sabine's formula."""
    distance: tuple[Metres, Metres]
    """Range of the distance between talker and microphone."""
    count: int
    """Responses in the bank."""
    seed: int


OFFICES = RoomBank((3.0, 2.6, 2.4), (7.5, 6.0, 3.2), (0.2, 0.6), (0.5, 2.0), 16, 1)
"""What training draws from."""
HALL_SEVERITIES: tuple[Seconds, ...] = (0.8, 1.1, 1.5, 2.0)


def hall_bank(reverberation: Seconds) -> RoomBank:
    """Return the bank of large rooms of one severity; rooms and places are the same at each severity."""
    return RoomBank((14.0, 10.0, 5.0), (22.0, 15.0, 8.0), (reverberation, reverberation), (2.5, 4.0), 4, 2)


_MOST_ORDER = 60
"""Reflections that are followed; later ones are below −60 dB in nearly all rooms of the banks."""
_SHARPNESS = 40
"""Samples before the direct sound that pyroomacoustics needs for delays of parts of a sample."""


def reverberate(samples: Waveform, bank: RoomBank, rng: np.random.Generator) -> Waveform:
    """Return float32 [samples] as heard in one room of the bank.

    Raises:
        ConfigError: The package pyroomacoustics is missing.
    """
    responses = room_responses(bank)
    response = responses[int(rng.integers(len(responses)))]
    size = 1 << (len(samples) + len(response) - 2).bit_length()
    spectrum = np.fft.rfft(samples, size) * np.fft.rfft(response, size)
    return within_full_scale(np.fft.irfft(spectrum, size)[: len(samples)].astype(np.float32))


@functools.lru_cache(maxsize=8)
def room_responses(bank: RoomBank) -> tuple[npt.NDArray[np.float32], ...]:
    """Return the responses of a bank, each float32 [samples of its RT60]; a bank is made once in a process.

    Raises:
        ConfigError: The package pyroomacoustics is missing.
    """
    rng = np.random.default_rng(bank.seed)
    return tuple(_response(bank, rng) for _ in range(bank.count))


def require_rooms() -> None:
    """Check that rooms can be computed on this machine.

    Raises:
        ConfigError: The package pyroomacoustics is missing.
    """
    try:
        import pyroomacoustics  # noqa: F401
    except ImportError as error:
        raise ConfigError(
            "conditions",
            ["responses of rooms need the package pyroomacoustics, which is missing: pip install 'elp-foundry[rooms]'"],
        ) from error


def _response(bank: RoomBank, rng: np.random.Generator) -> npt.NDArray[np.float32]:
    require_rooms()
    import pyroomacoustics

    # several threads would add the reflections in another order, with other last bits
    pyroomacoustics.constants.set("num_threads", 1)
    size = rng.uniform(bank.smallest, bank.largest)
    seconds, distance = float(rng.uniform(*bank.reverberation)), float(rng.uniform(*bank.distance))
    talker, microphone = _places(size, distance, rng)
    absorption, order = pyroomacoustics.inverse_sabine(seconds, size)
    room = pyroomacoustics.ShoeBox(
        size, fs=SAMPLE_RATE, materials=pyroomacoustics.Material(absorption), max_order=min(order, _MOST_ORDER)
    )
    room.add_source(talker)
    room.add_microphone(microphone)
    room.compute_rir()
    whole = room.rir[0][0]
    travelled = float(np.linalg.norm(talker - microphone)) / room.c * SAMPLE_RATE
    direct = round(travelled) + _SHARPNESS
    level = math.sqrt(float(np.sum(whole[direct - 8 : direct + 9] ** 2)))
    response: npt.NDArray[np.float32] = (whole[direct:][: round(seconds * SAMPLE_RATE)] / level).astype(np.float32)
    return response


def _places(
    size: npt.NDArray[np.float64], distance: Metres, rng: np.random.Generator
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Return talker and microphone [3], half a metre from each wall or more, `distance` apart if the room has space."""
    low, high = np.full(3, 0.5), size - 0.5
    talker = rng.uniform(low, high)
    talker[2] = min(1.6, high[2])
    angle = rng.uniform(0, 2 * np.pi)
    # of the four directions, the one with the most space
    steps = [
        distance * np.array([np.cos(angle + turn), np.sin(angle + turn), 0.0]) for turn in np.arange(4) * np.pi / 2
    ]
    best = min(steps, key=lambda step: float(np.abs(np.clip(talker + step, low, high) - talker - step).sum()))
    microphone = np.clip(talker + best, low, high)
    microphone[2] = 1.2
    return talker, microphone
