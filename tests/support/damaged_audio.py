"""Recordings with damaged bytes, of every format that a client sends."""

from __future__ import annotations

import io
import random
from collections.abc import Iterator

import numpy as np
import soundfile

from tests.support.clips import voice, wav


def sound_formats() -> dict[str, bytes]:
    """One good recording in several formats, by name."""
    samples = voice(0.6, 300.0, 1)
    made = {kind: wav(samples, kind=kind) for kind in ("WAV", "FLAC", "AIFF", "W64")}
    made["FLOAT"] = wav(samples, subtype="FLOAT")
    made["8kHz"] = wav(samples, rate=8000, subtype="ULAW")
    made["stereo"] = wav(np.stack([samples, samples], axis=1))
    for kind, subtype in (("OGG", "VORBIS"), ("MP3", "MPEG_LAYER_III")):
        target = io.BytesIO()
        soundfile.write(target, samples, 16_000, format=kind, subtype=subtype)
        made[kind] = target.getvalue()
    return made


def damaged(count: int, seed: int) -> Iterator[bytes]:
    """Yield recordings with flipped, cut, doubled, missing and foreign bytes, more often in the header."""
    rng, formats = random.Random(seed), list(sound_formats().values())
    for _ in range(count):
        content = bytearray(rng.choice(formats))
        for _ in range(rng.randint(1, 6)):
            place = rng.randrange(min(len(content), 64) if rng.random() < 0.6 else len(content)) if content else 0
            match rng.randrange(5):
                case 0 if content:
                    content[place] = rng.randrange(256)
                case 1:
                    del content[place:]
                case 2:
                    del content[place : place + rng.randint(1, 40)]
                case 3:
                    content[place:place] = rng.randbytes(rng.randint(1, 40))
                case _:
                    content[place : place + 4] = rng.choice(
                        [b"\xff\xff\xff\xff", b"\x00\x00\x00\x00", b"\xff\xff\xff\x7f"]
                    )
        yield bytes(content)
