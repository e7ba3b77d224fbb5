"""Audio in and out: any file that libsndfile or PyAV reads becomes mono float32 at 16 kHz, or an `AudioError`."""

import functools
import hashlib
import io
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import soundfile

from elp_core.errors import AudioError
from elp_core.media import is_media, is_media_format, media_samples, probe_media
from elp_core.types import SAMPLE_RATE, Decibels, Hertz, Samples, Seconds

Waveform = npt.NDArray[np.float32]

MIN_SAMPLES: Samples = 400
"""The shortest clip that has one frame after a wav2vec 2.0 style CNN: 25 ms."""
MAX_SECONDS: Seconds = 3600.0
"""Longer recordings are refused from their header, before a sample is decoded."""

FRAME: Samples = 320
FULL_SCALE = 0.999
SILENCE_DB: Decibels = -50.0
SILENCE_BELOW_PEAK_DB: Decibels = 35.0
FLOOR_DB: Decibels = -120.0
"""Level of digital silence, instead of minus infinity."""


@dataclass(frozen=True)
class AudioInfo:
    """The header of an audio file."""

    seconds: Seconds
    rate: Hertz
    channels: int
    format: str
    """Container and encoding, such as ``WAV/PCM_16``."""


@dataclass(frozen=True)
class Measurements:
    """Measurements of one clip at 16 kHz. Levels are in dB of full scale."""

    duration: Seconds
    rms_db: Decibels
    peak: float
    """Largest magnitude, 1.0 at full scale."""
    clipping: float
    """Share of samples at full scale (magnitude of 0.999 and more)."""
    dc: float
    """Mean of the samples."""
    silence: float
    """Share of 20 ms frames below -50 dB, or 35 dB and more under the loudest frame."""
    snr_db: Decibels
    """Loud frames (95th percentile of energy) over quiet frames (10th); an estimate, between -20 and 100 dB."""


def probe(source: Path | str | bytes) -> AudioInfo:
    """Read the header only.

    Raises:
        AudioError: `missing`, `empty` (no bytes), `corrupt` (no format that libsndfile or PyAV knows), `no_audio` (a
            video without sound) or `no_media_package` (PyAV would know it, and is not installed).
    """
    try:
        info = soundfile.info(_open(source))
    except soundfile.LibsndfileError as error:
        if is_media(source):
            media = probe_media(source)
            return AudioInfo(media.seconds or 0.0, media.rate, media.channels, media.format)
        raise AudioError("corrupt", f"{_name(source)} cannot be read as audio: {error}") from error
    return AudioInfo(info.frames / info.samplerate, info.samplerate, info.channels, f"{info.format}/{info.subtype}")


def load(source: Path | str | bytes) -> Waveform:
    """Return float32 [samples]: decode, mix to mono (mean of the channels) and resample once to 16 kHz.

    The samples are not rescaled: ±1 is full scale of the source.

    Raises:
        AudioError: With the reason `missing`, `empty`, `corrupt`, `too_short` (under 25 ms), `too_long` (over an hour
            by its header) or `nan` (a sample is not a finite number); and those of `probe` and
            `elp_core.media.media_blocks`.
    """
    info = probe(source)  # a small compressed file can decode to more than the memory
    if info.seconds > MAX_SECONDS:
        raise AudioError("too_long", f"{_name(source)} lasts {info.seconds / 3600:.1f} h, expected at most 1 h; cut it")
    try:
        if is_media_format(info.format):
            samples, rate = media_samples(source, MAX_SECONDS), info.rate
        else:
            samples, rate = soundfile.read(_open(source), dtype="float32", always_2d=True)
    except soundfile.LibsndfileError as error:
        raise AudioError("corrupt", f"{_name(source)} breaks off while decoding: {error}") from error
    if len(samples) == 0:
        raise AudioError("empty", f"{_name(source)} has a header and no samples")
    mono = samples[:, 0] if samples.shape[1] == 1 else samples.mean(axis=1, dtype=np.float32)
    if not np.isfinite(mono).all():
        raise AudioError("nan", f"{_name(source)} contains samples that are not finite numbers; export it again")
    if len(mono) * SAMPLE_RATE < MIN_SAMPLES * rate:
        raise AudioError(
            "too_short", f"{_name(source)} has {len(mono)} sample(s) at {rate} Hz, expected 25 ms of audio or more"
        )
    return resample(np.ascontiguousarray(mono), rate)


def resample(samples: Waveform, rate: Hertz, to: Hertz = SAMPLE_RATE) -> Waveform:
    """Resample float32 [samples] from `rate` to `to` Hz, by a band-limited sinc kernel."""
    if rate == to:
        return samples
    import torch  # here: it loads slowly, and clips at 16 kHz are measured without it

    with torch.inference_mode():
        resampled: Waveform = _resampler(rate, to)(torch.from_numpy(samples)).numpy()
    return resampled


@functools.lru_cache(maxsize=32)
def _resampler(rate: Hertz, to: Hertz) -> Any:
    from elp_core.private_names import torchaudio

    return torchaudio().transforms.Resample(rate, to)


def to_int16(samples: Waveform) -> npt.NDArray[np.int16]:
    """Convert float32 [samples] to little-endian 16-bit samples, clipped at full scale."""
    # libsndfile divides 16-bit samples by 32768: this factor gives them back exactly
    scaled: npt.NDArray[np.int16] = np.clip(np.rint(samples * 32768.0), -32768, 32767).astype("<i2")
    return scaled


def encode_flac(samples: Waveform) -> bytes:
    """Return float32 [samples] as a 16-bit mono FLAC file at 16 kHz; the same samples always give the same bytes.

    Law: ``clip_id(load(encode_flac(x))) == clip_id(x)``.
    """
    target = io.BytesIO()
    soundfile.write(target, to_int16(samples), SAMPLE_RATE, format="FLAC", subtype="PCM_16")
    return target.getvalue()


def clip_id(samples: Waveform) -> str:
    """Return the SHA-256 in hex of float32 [samples] as 16-bit little-endian ones.

    Law: the same sound has the same id, from any file format.
    """
    return hashlib.sha256(to_int16(samples).tobytes()).hexdigest()


def measure(samples: Waveform) -> Measurements:
    """Measure a clip, float32 [samples] at 16 kHz.

    Raises:
        AudioError: `empty`: there is no sample.
    """
    if samples.size == 0:
        raise AudioError("empty", "a clip without samples cannot be measured")
    low, high, total = float(samples.min()), float(samples.max()), samples.size
    peak = max(-low, high)
    clipped = int(np.count_nonzero(np.abs(samples) >= FULL_SCALE)) if peak >= FULL_SCALE else 0
    energies = _frame_energies(samples)
    levels = 10 * np.log10(np.maximum(energies, 10 ** (FLOOR_DB / 10)))
    threshold = max(SILENCE_DB, float(levels.max()) - SILENCE_BELOW_PEAK_DB)
    quiet, loud = np.percentile(energies, (10, 95))
    return Measurements(
        duration=total / SAMPLE_RATE,
        rms_db=_decibels(float(np.dot(samples, samples)) / total),
        peak=peak,
        clipping=clipped / total,
        dc=float(samples.mean(dtype=np.float64)),
        silence=float(np.mean(levels < threshold)),
        snr_db=float(np.clip(_decibels(float(loud - quiet)) - _decibels(float(quiet)), -20.0, 100.0)),
    )


def _frame_energies(samples: Waveform) -> npt.NDArray[np.float64]:
    """Return the mean square of every full 20 ms frame (of the whole clip if it is shorter)."""
    if samples.size < FRAME:
        return np.array([float(np.dot(samples, samples)) / samples.size])
    frames = samples[: samples.size // FRAME * FRAME].reshape(-1, FRAME)
    energies: npt.NDArray[np.float64] = np.einsum("fs,fs->f", frames, frames).astype(np.float64) / FRAME
    return energies


def _decibels(power: float) -> Decibels:
    return max(FLOOR_DB, 10 * float(np.log10(power))) if power > 0 else FLOOR_DB


def _open(source: Path | str | bytes) -> str | io.BytesIO:
    if isinstance(source, bytes):
        if not source:
            raise AudioError("empty", "the audio has no bytes")
        return io.BytesIO(source)
    path = Path(source)
    if not path.is_file():
        raise AudioError("missing", f"{source} does not exist or is not a file; check the path")
    if path.stat().st_size == 0:
        raise AudioError("empty", f"{source} has no bytes")
    return str(source)


def _name(source: Path | str | bytes) -> str:
    return f"audio of {len(source)} bytes" if isinstance(source, bytes) else str(source)
