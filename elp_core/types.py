"""Values that cross module borders, and their units."""

from dataclasses import dataclass
from typing import Literal

Seconds = float
Hertz = int
Samples = int
Decibels = float
Split = Literal["train", "validation", "test"]

SAMPLE_RATE: Hertz = 16_000
"""Every waveform inside the system is mono float32 at this rate."""

SPLITS: tuple[Split, ...] = ("train", "validation", "test")


@dataclass(frozen=True)
class Clip:
    """One recording of a shard: the audio's bytes and what is known about it."""

    id: str
    """SHA-256 (hex, 64 digits) of the decoded 16 kHz int16 samples: the same sound has the same id."""
    audio: bytes
    """FLAC file, 16 kHz mono 16-bit."""
    duration: Seconds
    split: Split
    text: str = ""
    """Normalised transcript (ASR); empty for other tasks."""
    speaker: str = ""
    label: str = ""
    """Class of the clip (SER, SIC); empty for other tasks."""
    condition: str = ""
    """Recording condition such as ``clean`` or ``factory-5db``: the gate checks each separately."""
    path: str = ""
    """Name of the source file, for people."""
    teacher: str = ""
    """Digest of the bundle that wrote the transcript or the label (a pseudo-label); empty if a person did."""
    group: str = ""
    """Groups of the speaker and the device in their normal form (`elp_core.groups`), such as ``dialect=kansai``."""
