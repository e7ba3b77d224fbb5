"""Synthetic speech of many voices by espeak-ng, in one ordered pass (a single call is not repeatable bit by bit)."""

from __future__ import annotations

import ctypes
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from elp_core.errors import OpsError
from elp_core.types import SAMPLE_RATE
from pipelines.demo.spoken_words import sentence

Wave = NDArray[np.float32]

LANGUAGES = ("en-us", "en-029", "en-gb-scotland", "en-gb-x-rp", "en-gb-x-gbclan", "en-us-nyc", "de", "nl", "es", "it")
"""English accents, and the sounds of four other languages for English words."""

_RATE, _PITCH, _RANGE = 1, 3, 4
_CALLBACK = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.c_void_p)


@dataclass(frozen=True)
class Utterance:
    """One synthetic clip: float32 `[samples]` at 16 kHz."""

    speaker: str
    wave: Wave


class Synthesiser:
    """The espeak-ng of this process; the library keeps its state in globals."""

    def __init__(self) -> None:
        try:
            import espeakng_loader
        except ImportError as error:
            raise OpsError("espeakng-loader is not installed: pip install espeakng-loader") from error
        self._library = ctypes.CDLL(espeakng_loader.get_library_path())
        self._variants = Path(espeakng_loader.get_data_path()) / "voices" / "!v"
        path = str(espeakng_loader.get_data_path()).encode()
        self._rate = int(self._library.espeak_Initialize(2, 0, path, 0))
        if self._rate <= 0:
            raise OpsError(f"espeak-ng did not start (code {self._rate}) on its data in {path.decode()}")
        self._parts: list[bytes] = []
        self._callback = _CALLBACK(self._collect)
        self._library.espeak_SetSynthCallback(self._callback)

    def _collect(self, wave: ctypes._Pointer[ctypes.c_short], count: int, _events: int | None) -> int:
        if count > 0 and wave:
            self._parts.append(ctypes.string_at(wave, count * 2))
        return 0

    def variants(self) -> list[str]:
        """Return the names of the voice variants, sorted (espeak-ng accepts an unknown one silently)."""
        return sorted(p.name for p in self._variants.iterdir() if " " not in p.name)

    def say(self, text: str, voice: str, *, rate: int, pitch: int, pitch_range: int) -> Wave:
        """Speak `text`.

        Raises:
            OpsError: espeak-ng does not know the voice.
        """
        if code := self._library.espeak_SetVoiceByName(voice.encode()):
            raise OpsError(f"espeak-ng does not know the voice {voice!r} (code {code})")
        for parameter, value in ((_RATE, rate), (_PITCH, pitch), (_RANGE, pitch_range)):
            self._library.espeak_SetParameter(parameter, value, 0)
        self._parts.clear()
        data = text.encode()
        self._library.espeak_Synth(data, len(data) + 1, 0, 0, 0, 1, None, None)
        self._library.espeak_Synchronize()
        wave = np.frombuffer(b"".join(self._parts), dtype=np.int16).astype(np.float32)
        return resample_by(np.divide(wave, 32768, dtype=np.float32), Fraction(SAMPLE_RATE, self._rate))


def utterances(minutes: float, reserved: tuple[str, ...], seed: int) -> Iterator[Utterance]:
    """Yield about `minutes` of speech; a speaker is a variant in a language, the variants alternate."""
    synthesiser = Synthesiser()
    names = synthesiser.variants()
    if missing := set(reserved) - set(names):
        raise OpsError(f"reserved espeak-ng variants {sorted(missing)} do not exist; expected some of {names}")
    allowed = [n for n in names if n not in reserved]
    rng = np.random.default_rng(seed)
    remaining, turn = minutes * 60 * SAMPLE_RATE, 0
    while remaining > 0:
        variant = allowed[turn % len(allowed)]
        language = LANGUAGES[(turn + turn // len(allowed)) % len(LANGUAGES)]
        wave = synthesiser.say(
            sentence(rng),
            f"{language}+{variant}",
            rate=int(rng.integers(110, 240)),
            pitch=int(rng.integers(20, 80)),
            pitch_range=int(rng.integers(30, 70)),
        )
        remaining -= wave.size
        turn += 1
        yield Utterance(f"espeak/{variant}/{language}", wave)


def resample_by(wave: Wave, factor: Fraction) -> Wave:
    """Resample `[samples]` to `factor` times as many samples (polyphase filter)."""
    from scipy.signal import resample_poly

    if factor == 1 or not wave.size:
        return wave
    return np.asarray(resample_poly(wave, factor.numerator, factor.denominator), dtype=np.float32)
