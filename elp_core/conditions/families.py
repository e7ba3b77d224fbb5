"""The tables of conditions: what training draws from, and the families and severities of the sweep."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from elp_core.audio import Waveform
from elp_core.conditions.codecs import MUSIC_SEVERITIES, SPEECH_SEVERITIES, TRAINING_CODECS, transcode
from elp_core.conditions.disturbances import OtherClip, babble, competing_talker, sweep_noise, training_noise
from elp_core.conditions.rooms import HALL_SEVERITIES, OFFICES, hall_bank, require_rooms, reverberate
from elp_core.conditions.transmission import (
    BURST_SEVERITIES,
    MUFFLED_SEVERITIES,
    OVERDRIVE_SEVERITIES,
    clip_peaks,
    lose_bursts,
    lose_packets,
    muffle,
    overdrive,
    telephone_band,
)

SEVERITIES = (1, 2, 3, 4)
"""Numbers of the sweep's severities, the mildest first."""
_TALKER_SNR, _TRAFFIC_SNR, _ALARM_SNR = (20.0, 15.0, 10.0, 5.0), (15.0, 10.0, 5.0, 0.0), (15.0, 10.0, 5.0, 0.0)


@dataclass(frozen=True)
class TrainingFamily:
    """Conditions that training draws, with parameters that are drawn too."""

    name: str
    apply: Callable[[Waveform, OtherClip, np.random.Generator], Waveform]


@dataclass(frozen=True)
class SweepFamily:
    """Conditions of the sweep, at four severities; between them, only the strength differs."""

    name: str
    about: str
    strengths: tuple[str, ...]
    """What each severity is, for people, the mildest first."""
    apply: Callable[[Waveform, int, OtherClip, np.random.Generator], Waveform]
    """Called with a place in `strengths`."""
    rooms: bool = False
    """It needs responses of rooms, which pyroomacoustics computes."""


TRAINING_FAMILIES = (
    TrainingFamily("room", lambda samples, other, rng: reverberate(samples, OFFICES, rng)),
    TrainingFamily("babble", babble),
    TrainingFamily("noise", lambda samples, other, rng: training_noise(samples, rng)),
    TrainingFamily("clipping", lambda samples, other, rng: clip_peaks(samples, rng)),
    TrainingFamily("telephone", lambda samples, other, rng: telephone_band(samples, rng)),
    TrainingFamily(
        "codec",
        lambda samples, other, rng: transcode(samples, TRAINING_CODECS[int(rng.integers(len(TRAINING_CODECS)))]),
    ),
    TrainingFamily("packet-loss", lambda samples, other, rng: lose_packets(samples, rng)),
)
"""In the order in which sound meets them: the room, other sounds, the microphone, the line."""

SWEEP_FAMILIES = (
    SweepFamily(
        "hall",
        "large rooms, talker 2.5 to 4 m away",
        tuple(f"RT60 {seconds:g} s" for seconds in HALL_SEVERITIES),
        lambda samples, place, other, rng: reverberate(samples, hall_bank(HALL_SEVERITIES[place]), rng),
        rooms=True,
    ),
    SweepFamily(
        "talker",
        "one other voice of the same data",
        tuple(f"{snr:g} dB" for snr in _TALKER_SNR),
        lambda samples, place, other, rng: competing_talker(samples, _TALKER_SNR[place], other, rng),
    ),
    SweepFamily(
        "traffic",
        "a road with passing cars",
        tuple(f"{snr:g} dB" for snr in _TRAFFIC_SNR),
        lambda samples, place, other, rng: sweep_noise("traffic", samples, _TRAFFIC_SNR[place], rng),
    ),
    SweepFamily(
        "alarm",
        "an alarm of two tones or a siren",
        tuple(f"{snr:g} dB" for snr in _ALARM_SNR),
        lambda samples, place, other, rng: sweep_noise("alarm", samples, _ALARM_SNR[place], rng),
    ),
    SweepFamily(
        "speech-codec",
        "codecs of telephony at 8 kHz",
        ("G.721, 32 kbit/s", "NMS ADPCM, 24 kbit/s", "NMS ADPCM, 16 kbit/s", "GSM 06.10, 13 kbit/s"),
        lambda samples, place, other, rng: transcode(samples, SPEECH_SEVERITIES[place]),
    ),
    SweepFamily(
        "mp3",
        "MP3 at low bit rates",
        ("about 40 kbit/s", "about 24 kbit/s", "about 16 kbit/s", "about 8 kbit/s"),
        lambda samples, place, other, rng: transcode(samples, MUSIC_SEVERITIES[place]),
    ),
    SweepFamily(
        "muffled",
        "a covered microphone: no sound above an edge",
        tuple(f"{edge:g} Hz" for edge in MUFFLED_SEVERITIES),
        lambda samples, place, other, rng: muffle(samples, MUFFLED_SEVERITIES[place]),
    ),
    SweepFamily(
        "bursts",
        "gaps of 60 to 160 ms",
        tuple(f"{100 * share:g} % lost" for share in BURST_SEVERITIES),
        lambda samples, place, other, rng: lose_bursts(samples, BURST_SEVERITIES[place], rng),
    ),
    SweepFamily(
        "overdrive",
        "an amplifier that saturates",
        tuple(f"{drive:g} dB" for drive in OVERDRIVE_SEVERITIES),
        lambda samples, place, other, rng: overdrive(samples, OVERDRIVE_SEVERITIES[place]),
    ),
)


def sweep_family(name: str) -> SweepFamily:
    """Return a family of the sweep by its name.

    Raises:
        KeyError: There is no such family.
    """
    return {family.name: family for family in SWEEP_FAMILIES}[name]


def require_families(names: Sequence[str]) -> None:
    """Check that this machine can compute families of the sweep.

    Raises:
        KeyError: There is no such family.
        ConfigError: One of them needs the package pyroomacoustics, which is missing.
    """
    if any(sweep_family(name).rooms for name in names):
        require_rooms()


def draw_conditions(samples: Waveform, names: Sequence[str], other: OtherClip, rng: np.random.Generator) -> Waveform:
    """Return float32 [samples] after one or two families of training among `names`, in the order of their table.

    Raises:
        ConfigError: A room is drawn, and the package pyroomacoustics is missing.
    """
    families = [family for family in TRAINING_FAMILIES if family.name in names]
    chosen = rng.choice(len(families), size=min(len(families), int(rng.integers(1, 3))), replace=False)
    for place in sorted(int(one) for one in chosen):
        samples = families[place].apply(samples, other, rng)
    return samples
