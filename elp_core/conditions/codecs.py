"""Codecs of telephones and of music, which libsndfile encodes and decodes in memory; their delay is removed."""

import functools
import io
from dataclasses import dataclass

import numpy as np
import soundfile

from elp_core.audio import Waveform
from elp_core.resampling import resample
from elp_core.types import SAMPLE_RATE, Hertz, Samples


@dataclass(frozen=True)
class Codec:
    """A codec of libsndfile: container, subtype, and the rate of its samples."""

    container: str
    subtype: str
    rate: Hertz
    level: float | None = None
    """Compression from 0 to 1, for codecs that have it; the largest gives the lowest bit rate."""


TRAINING_CODECS = (
    Codec("WAV", "ULAW", 8000),
    Codec("WAV", "ALAW", 8000),
    Codec("WAV", "IMA_ADPCM", 8000),
    Codec("OGG", "VORBIS", SAMPLE_RATE, 1.0),
    Codec("OGG", "OPUS", SAMPLE_RATE, 1.0),
)
SPEECH_SEVERITIES = (
    Codec("AU", "G721_32", 8000),
    Codec("WAV", "NMS_ADPCM_24", 8000),
    Codec("WAV", "NMS_ADPCM_16", 8000),
    Codec("WAV", "GSM610", 8000),
)
"""Of the sweep: 32, 24, 16 and 13 kbit/s."""
MUSIC_SEVERITIES = tuple(Codec("MP3", "MPEG_LAYER_III", SAMPLE_RATE, level) for level in (0.8, 0.9, 0.95, 0.98))
"""Of the sweep: about 40, 24, 16 and 8 kbit/s."""
_PROBE: Samples = 16_000
_LONGEST_DELAY: Samples = 4_000


def transcode(samples: Waveform, codec: Codec) -> Waveform:
    """Return float32 [samples] after encoding and decoding, as many samples and at the same place in time."""
    narrow = resample(samples, SAMPLE_RATE, codec.rate)
    wide = resample(_fitted(_coded(narrow, codec), len(narrow), codec_delay(codec)), codec.rate, SAMPLE_RATE)
    return _fitted(wide, len(samples), 0)


@functools.cache
def codec_delay(codec: Codec) -> Samples:
    """Return how many samples at the codec's rate its output is late, by the cross-correlation of noise with it.

    It depends on the codec and its level, not on the sound: MP3 is 1,105 samples late at low bit rates and 0 at others.
    """
    noise = (0.1 * np.random.default_rng(0).standard_normal(_PROBE)).astype(np.float32)
    coded, size = _coded(noise, codec), 1 << (2 * _PROBE + _LONGEST_DELAY).bit_length()
    found = np.fft.irfft(np.fft.rfft(coded, size) * np.conj(np.fft.rfft(noise, size)), size)
    return int(np.argmax(found[:_LONGEST_DELAY]))


def _coded(samples: Waveform, codec: Codec) -> Waveform:
    target = io.BytesIO()
    # a lower bit rate is chosen only if the rate is constant
    options = {} if codec.level is None else {"compression_level": codec.level, "bitrate_mode": "CONSTANT"}
    if codec.container == "OGG":
        options.pop("bitrate_mode", None)
    bounded = np.clip(samples, -1.0, 1.0)
    soundfile.write(target, bounded, codec.rate, format=codec.container, subtype=codec.subtype, **options)
    target.seek(0)
    decoded: Waveform = soundfile.read(target, dtype="float32")[0]
    return decoded


def _fitted(samples: Waveform, count: Samples, skip: Samples) -> Waveform:
    """Return float32 [count] from the sample `skip` on; silence follows a sound that is shorter."""
    part = samples[skip : skip + count]
    return np.pad(part, (0, count - len(part))).astype(np.float32)
