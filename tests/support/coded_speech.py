"""Recordings in which the value of a sample is the unit that is spoken, and a recogniser that reads them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from elp_core.audio import Waveform
from elp_core.inference import Recogniser
from elp_core.inference.windows import FrameTimes
from elp_core.languages import LanguageConfig, Units
from elp_core.task_specs import RecognitionOptions
from elp_core.tasks import SpeechRecognition
from elp_core.types import SAMPLE_RATE, Seconds

HOP = 320
"""Samples of a frame: 20 ms, as of most backbones."""
_STEP = 1 / 512


def coded_recogniser(
    units: Units | None = None, language: LanguageConfig | None = None, sure: float = 0.99
) -> Recogniser:
    """A recogniser of coded speech that is `sure` of each frame's unit."""
    task = SpeechRecognition(units or Units(), RecognitionOptions(language=language or LanguageConfig()))
    times = FrameTimes(HOP, 400)
    classes = len(task.units)

    def emit(waveforms: Sequence[Waveform]) -> list[np.ndarray]:
        found = []
        for waveform in waveforms:
            frames = times.count(len(waveform))
            spoken = np.round(waveform[HOP // 2 :: HOP][:frames] / _STEP).astype(int)
            rows = np.full((frames, classes), (1 - sure) / (classes - 1), np.float32)
            rows[np.arange(frames), spoken] = sure
            found.append(np.log(rows))
        return found

    return Recogniser(task, times, emit)


def spoken(text: str, units: Units | None = None, unit_frames: int = 4) -> Waveform:
    """Coded speech of a text: a frame of each unit and blanks after it, 80 ms in all."""
    inventory = units or Units()
    frames: list[int] = []
    for unit in inventory.split(text):
        known = inventory.symbols.index(unit) + 1 if unit in inventory.symbols else 0
        frames += [known, *[0] * (unit_frames - 1)]
    return np.repeat(np.asarray(frames, np.float32) * _STEP, HOP)


def quiet(seconds: Seconds) -> Waveform:
    """Coded silence."""
    return np.zeros(round(seconds * SAMPLE_RATE / HOP) * HOP, np.float32)
