"""Audio in and out: any file that libsndfile reads becomes mono float32 at 16 kHz, or an `AudioError`."""

import hashlib
import io
import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import soundfile

from elp_core.channels import Channel, channels_differ, take_channel
from elp_core.errors import AudioError
from elp_core.resampling import resample as resample
from elp_core.sound_files import MAX_SECONDS as MAX_SECONDS
from elp_core.sound_files import AudioInfo as AudioInfo
from elp_core.sound_files import info_of, name_of, opened, read_frames, require_bounds, too_long
from elp_core.types import SAMPLE_RATE, Decibels, Samples, Seconds

Waveform = npt.NDArray[np.float32]

MIN_SAMPLES: Samples = 400
"""The shortest clip that has one frame after a wav2vec 2.0 style CNN: 25 ms."""

FRAME: Samples = 320
FULL_SCALE = 0.999
SILENCE_DB: Decibels = -50.0
SILENCE_BELOW_PEAK_DB: Decibels = 35.0
FLOOR_DB: Decibels = -120.0
"""Level of digital silence, instead of minus infinity."""


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
        AudioError: `missing`, `empty` (no bytes) or `corrupt` (no format that libsndfile knows).
    """
    with opened(source) as file:
        return info_of(source, file)


def load(source: Path | str | bytes, channel: Channel = "mix") -> Waveform:
    """Return float32 [samples]: decode, take a channel or the mean of all, and resample once to 16 kHz.

    The samples are not rescaled: ±1 is full scale of the source. `channel` is a number (from 0), ``mix``, or, for files
    whose channels must be one sound, ``same``; with ``left`` or ``right``, that channel is taken if the two differ.

    Raises:
        AudioError: With the reason `missing`, `empty`, `corrupt`, `too_short` (under 25 ms), `too_long` (over an hour
            by its header or its content), `nan` (a sample is not a finite number), `beyond_full_scale` (a float file
            has samples beyond ±1), `sample_rate` or `channels` (a header that no recording has), `no_channel` or
            `channels_differ`.
    """
    return load_info(source, channel)[0]


def load_info(source: Path | str | bytes, channel: Channel = "mix") -> tuple[Waveform, AudioInfo]:
    """Return what `load` returns, float32 [samples], and the header of the file, from one decoding.

    Raises:
        AudioError: As `load` does.
    """
    with opened(source) as file:
        info = info_of(source, file)
        require_bounds(source, info)
        if info.seconds > MAX_SECONDS:  # a small compressed file can decode to more than the memory
            raise too_long(source, info.seconds)
        samples = read_frames(source, file, info)
    if len(samples) == 0:
        raise AudioError("empty", f"{name_of(source)} has a header and no samples")
    mono = take_channel(samples, info.rate, channel, name_of(source))
    if len(mono) * SAMPLE_RATE < MIN_SAMPLES * info.rate:
        raise AudioError(
            "too_short",
            # this text is part of the key of a quarantined part of a file, so it stays as it is
            f"{name_of(source)} has {len(mono)} sample(s) at {info.rate} Hz, expected 25 ms of audio or more",
        )
    return resample(np.ascontiguousarray(mono), info.rate), info


def load_part(source: Path | str | bytes, begin: Samples, end: Samples, channel: Channel = "mix") -> Waveform:
    """Return float32 [end - begin], a part of a recording of any length: only that part is decoded.

    `begin` and `end` count samples at 16 kHz. Law: it is what `load` returns there, to 1e-4.

    Raises:
        AudioError: As `load` does; `out_of_file` if the recording has no such part.
    """
    with opened(source) as file:
        info = info_of(source, file)
        require_bounds(source, info)
        divisor = math.gcd(info.rate, SAMPLE_RATE)
        # both rates have a sample at every multiple of these
        step, step_here = info.rate // divisor, SAMPLE_RATE // divisor
        first = max(begin * info.rate // SAMPLE_RATE - info.rate // 10, 0) // step
        last = end * info.rate // SAMPLE_RATE + info.rate // 10
        file.seek(min(first * step, file.frames))
        samples = read_frames(source, file, info, last - first * step)
    mono = take_channel(samples, info.rate, channel, name_of(source))
    skipped = begin - first * step_here
    part = resample(np.ascontiguousarray(mono), info.rate)[skipped : skipped + end - begin] if len(mono) else mono
    if begin < 0 or len(part) < end - begin:
        raise AudioError("out_of_file", f"{name_of(source)} has no sound from {begin} to {end} (at 16 kHz)")
    return part


def differing_channels(source: Path | str | bytes) -> int:
    """Return the number of channels of a recording of any length, or 1 if they are one sound.

    Raises:
        AudioError: As `load` does.
    """
    with opened(source) as file:
        info = info_of(source, file)
        require_bounds(source, info)
        if info.channels == 1 or not math.isfinite(info.seconds):
            return 1
        # as many windows as `channels_differ` compares at once; most calls differ in the first of them
        while len(block := read_frames(source, file, info, info.rate * 25)):
            if channels_differ(block, info.rate):
                return info.channels
    return 1


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
