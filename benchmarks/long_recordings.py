"""The long recordings of `bench_long_audio.py`, and the adapter that recognises each.

Kinds: ``digits`` is real speech: the test takes of the Free Spoken Digit Dataset in strings of one to four, over pink
noise at 20 dB, at 8 kHz. ``call`` is the same with two channels, every other string on the right one. ``voices`` are
sentences of espeak-ng by the 16 test speakers of `spoken_adapter.py`, at 48 kHz; its adapter is weak.

The adapter of digits is trained on the training takes, then on strings of them as a site cuts them out of such calls:
to the sample, with the noise of the call. The second training has `augment.margin`, as docs/how-to/long-recordings.md
recommends.
"""

from __future__ import annotations

import itertools
import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile
import soxr
from spoken_adapter import Wave, fit_adapter, sentences, speak, spoken_adapter, voices

from elp_core.audio import clip_id, encode_flac, load
from elp_core.config import AugmentConfig, TrainConfig
from elp_core.types import SAMPLE_RATE, Clip, Split

KINDS = ("digits", "call", "voices")
LEVEL = 0.05
"""RMS of each digit."""
MARGIN = SAMPLE_RATE // 4
"""Most samples of a pause that a cut clip has at each end."""


@dataclass(frozen=True)
class Utterance:
    """One sentence of a recording; places are samples at 16 kHz."""

    text: str
    channel: int
    begin: int
    """Start of its words, …"""
    end: int
    """… and their end."""
    before: int
    """Samples of the pause before it that its clip has, if clips have margins, …"""
    after: int
    """… and of the pause after it."""


def adapter(kind: str, folder: Path) -> Path:
    """Return the folder of the bundle that recognises a kind; it is trained if it does not exist."""
    if (folder / "manifest.json").is_file():
        return folder
    if kind == "voices":
        return spoken_adapter(folder)
    first = folder.with_name(f"{folder.name}-digits")
    if not (first / "manifest.json").is_file():
        known = [clip for clip in digits() if clip.split != "test"]
        train, validation = ([clip for clip in known if clip.split == split] for split in ("train", "validation"))
        fit_adapter(first, train, validation, TrainConfig(epochs=8, patience=0))
    config = TrainConfig(epochs=8, min_steps=120, patience=0, augment=AugmentConfig(margin=0.5))
    # 960 strings have every training take once; speakers follow each other, so every other string is of all of them
    return fit_adapter(folder, _string_clips("train", 960), _string_clips("validation", 60, 2), config, first)


def _string_clips(split: Split, count: int, step: int = 1) -> list[Clip]:
    """Return every `step`-th string of digits, cut out of calls to the sample, with the noise of the call."""
    rng, found = np.random.default_rng(3), []
    for text, wave in itertools.islice(digit_strings(rng, split), 0, count * step, step):
        noisy = _block("digits", wave, 0, 0, 1, rng)[:, 0]
        audio = encode_flac(soxr.resample(soxr.resample(noisy, SAMPLE_RATE, 8_000), 8_000, SAMPLE_RATE))
        heard = load(audio)
        found.append(Clip(clip_id(heard), audio, len(heard) / SAMPLE_RATE, split, text, "", condition="noisy"))
    return found


def record(kind: str, folder: Path, minutes: float) -> None:
    """Write minute.wav, hour.wav and utterances.json to `folder`."""
    channels, rate = (2 if kind == "call" else 1), (48_000 if kind == "voices" else 8_000)
    names = {"hour": minutes * 60, "minute": 60.0}
    files = {name: soundfile.SoundFile(folder / f"{name}.wav", "w", rate, channels, "PCM_16") for name in names}
    rng, done, before, spoken = np.random.default_rng(7), 0, 0, []
    for text, wave in _sentences(rng) if kind == "voices" else digit_strings(rng):
        if done > minutes * 60 * SAMPLE_RATE:
            break
        pause = round(rng.uniform(0.3, 4.0) * SAMPLE_RATE)
        margin = min(pause // 2, MARGIN)
        channel = len(spoken) % channels
        spoken.append(Utterance(text, channel, done, done + len(wave), before, margin))
        block = _block(kind, wave, pause, channel, channels, rng)
        for name, file in files.items():
            if done < names[name] * SAMPLE_RATE:
                file.write(soxr.resample(block, SAMPLE_RATE, rate))
        done, before = done + len(block), margin
    for file in files.values():
        file.close()
    (folder / "utterances.json").write_text(json.dumps([list(vars(one).values()) for one in spoken]))


def utterances(folder: Path) -> list[Utterance]:
    """Return the sentences of a recording, in order."""
    return [Utterance(*one) for one in json.loads((folder / "utterances.json").read_text())]


def _block(kind: str, wave: Wave, pause: int, channel: int, channels: int, rng: np.random.Generator) -> Wave:
    """Return float32 [samples, channels]: a sentence and the pause after it, with the noise of the recording."""
    from elp_core.data.noise import coloured_noise

    size = len(wave) + pause
    if kind == "voices":  # a sentence has its own noise
        return np.concatenate([wave, rng.standard_normal(pause).astype(np.float32) * 0.001])[:, None]
    block = 0.1 * LEVEL * np.stack([coloured_noise(size, 1.0, rng) for _ in range(channels)], axis=1)
    block[: len(wave), channel] += wave
    return block


def _sentences(rng: np.random.Generator) -> Iterator[tuple[str, Wave]]:
    from pipelines.demo.espeak import Synthesiser

    synthesiser, speakers = Synthesiser(), voices("test")
    for place, text in enumerate(sentences(100_000, 7)):
        yield text, speak(synthesiser, text, speakers[place % len(speakers)], rng)


def digit_strings(rng: np.random.Generator, split: Split = "test") -> Iterator[tuple[str, Wave]]:
    """Yield strings of one to four digits of one speaker; every recording occurs once before any occurs again."""
    known = [clip for clip in digits() if clip.split == split]
    while True:
        for speaker in rng.permutation(sorted({clip.speaker for clip in known})):
            own = [clip for clip in known if clip.speaker == speaker]
            order = [own[place] for place in rng.permutation(len(own))]
            while order:
                taken = [order.pop() for _ in range(min(len(order), int(rng.integers(1, 5))))]
                parts: list[Wave] = []
                for clip in taken:
                    wave = load(clip.audio)
                    level = float(np.sqrt(np.mean(np.square(wave)))) or 1.0
                    gap = np.zeros(round(rng.uniform(0.05, 0.2) * SAMPLE_RATE), np.float32)
                    parts += [np.clip(wave * LEVEL / level, -0.9, 0.9), gap]
                yield " ".join(clip.text for clip in taken), np.concatenate(parts[:-1])


def digits() -> list[Clip]:
    """Return the recordings of the data set that ELP_FSDD names."""
    from pipelines.datasets.importers.fsdd import fsdd_clips

    found = []
    for one in fsdd_clips(Path(os.environ["ELP_FSDD"])):
        wave = load(one.audio)
        known = (clip_id(wave), encode_flac(wave), len(wave) / SAMPLE_RATE, one.split or "train", one.text)
        found.append(Clip(*known, one.speaker, condition="clean"))
    return found
