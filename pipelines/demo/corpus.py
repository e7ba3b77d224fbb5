"""The embedded corpus: two sites spoken by espeak-ng, as deliveries that the NeMo importer takes in.

What is said is a command (verb, object, number): verb and object are its intent. An emotion is rendered by rate, pitch,
pitch range and volume, and is no person's. Every clip is synthetic and its manifest says so. The embedded
backbone was not trained on these voices (`reserved` in params.yaml). espeak-ng does not repeat a waveform bit by bit,
so a delivery is written once and kept.
"""

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt
import soundfile as sf

from elp_core.files import replacing_folder
from elp_core.types import SAMPLE_RATE, Split
from pipelines.number_text import count

Wave = npt.NDArray[np.float32]

_DIGITS = ("one", "two", "three", "four", "five", "six", "seven", "eight", "nine")


@dataclass(frozen=True)
class Site:
    """The sound of one site, and the sentences spoken there."""

    name: str
    accent: str
    variants: tuple[str, ...]
    phrases: tuple[tuple[str, ...], ...]
    """One choice of words for each place in a sentence: verb, object, number."""
    noisy: str
    """Name of the noisy condition; the other one is ``quiet``."""
    telephone: bool
    """Band of 300 to 3,400 Hz."""


SITES = (
    Site(
        "plant-a",
        "en-us",
        ("m1", "m2", "f1", "klatt"),
        (
            ("start", "stop", "open", "close", "check", "reset"),
            ("pump", "valve", "belt", "motor", "door", "press"),
            _DIGITS,
        ),
        "machine-hall",
        telephone=False,
    ),
    Site(
        "call-b",
        "en-gb-scotland",
        ("m3", "f2", "f3", "Annie"),
        (
            ("cancel", "confirm", "change", "repeat", "extend", "track"),
            ("order", "ticket", "booking", "invoice", "account", "parcel"),
            _DIGITS,
        ),
        "street",
        telephone=True,
    ),
)


@dataclass(frozen=True)
class Speaker:
    """A voice: a variant of the site's accent at one pitch and rate."""

    name: str
    variant: str
    pitch: int
    rate: int
    split: Split


@dataclass(frozen=True)
class Emotion:
    """How an emotion changes a speaker's voice."""

    name: str
    rate: float
    """Times the speaker's words a minute."""
    pitch: int
    """Added to the speaker's pitch, on espeak-ng's scale of 0 to 99."""
    pitch_range: int
    """On espeak-ng's scale; 50 is plain speech."""
    volume: float
    """Times the level of plain speech."""


PLAIN = Emotion("neutral", 1.0, 0, 50, 1.0)
EMOTIONS = (
    PLAIN,
    Emotion("happy", 1.1, 12, 90, 1.0),
    Emotion("angry", 1.3, 4, 70, 1.3),
    Emotion("sad", 0.75, -8, 12, 0.35),
)
"""Rendered after what is known of vocal emotion (Scherer 2003, table 2): sadness slow, low, flat and soft; joy and
anger fast, with more range, anger the loudest."""


@dataclass(frozen=True)
class DeliveryPlan:
    """One delivery: which speakers say how much, what its labels are, and whether its transcripts are swapped.

    Intents and emotions are dealt out in turn, so that the training speakers say each of them if they say enough.
    """

    name: str
    per_speaker: int
    splits: tuple[Split, ...] = ("train", "validation", "test")
    swap: bool = False
    label: Literal["", "intent", "emotion"] = ""


def speakers(site: Site) -> list[Speaker]:
    """Return the 32 speakers of a site, each variant at 8 pitches: 20 to train on, 4 to validate, 8 to test."""
    made = []
    for level in range(8):
        for place, variant in enumerate(site.variants):
            # the variants take turns, so that no split has one variant only
            turn = (place + level) % len(site.variants)
            split: Split = "test" if turn == 2 else "validation" if turn == 0 and level % 2 else "train"
            pitch, rate = 10 + 11 * level, (140, 165, 190)[level % 3]
            made.append(Speaker(f"{site.name}-{variant.lower()}-{pitch}-{rate}", variant, pitch, rate, split))
    return made


def write_delivery(
    site: Site, plan: DeliveryPlan, folder: Path, seed: int, progress: Callable[[str], None] = lambda _: None
) -> Path:
    """Speak a delivery into `folder` (16 kHz WAV files and a manifest) unless it exists; return the manifest's path."""
    manifest = folder / "manifest.jsonl"
    if manifest.is_file():
        return manifest
    with replacing_folder(folder) as partial:
        (partial / "audio").mkdir()
        rows = list(_speak(site, plan, partial, np.random.default_rng(seed)))
        if plan.swap:
            _swap(rows)
        lines = "".join(json.dumps(row) + "\n" for row in rows)
        (partial / manifest.name).write_text(lines, encoding="utf-8")
    minutes = sum(float(str(row["duration"])) for row in rows) / 60
    progress(f"{site.name}/{plan.name}: {count(len(rows), 'clip')}, {minutes:.1f} minutes, synthetic")
    return manifest


def _speak(site: Site, plan: DeliveryPlan, folder: Path, rng: np.random.Generator) -> Iterator[dict[str, object]]:
    from pipelines.demo.espeak import Synthesiser

    synthesiser = Synthesiser()
    said = dict.fromkeys(plan.splits, 0)
    for speaker in speakers(site):
        if speaker.split not in plan.splits:
            continue
        for take in range(plan.per_speaker):
            words, emotion, label = _deal(site, plan, said[speaker.split], rng)
            said[speaker.split] += 1
            voice = f"{site.accent}+{speaker.variant}"
            rate = round(emotion.rate * (speaker.rate + int(rng.integers(-8, 9))))
            pitch = min(99, max(0, speaker.pitch + emotion.pitch))
            wave = synthesiser.say(" ".join(words), voice, rate=rate, pitch=pitch, pitch_range=emotion.pitch_range)
            noisy = take % 2 == 1
            wave = _room(site, wave, noisy, emotion.volume, rng)
            name = f"audio/{speaker.name}-{plan.name}-{take:03}.wav"
            sf.write(folder / name, wave, SAMPLE_RATE, subtype="PCM_16")
            row: dict[str, object] = {
                "audio_filepath": name,
                "duration": round(len(wave) / SAMPLE_RATE, 4),
                "text": " ".join(words),
                "speaker": speaker.name,
                "split": speaker.split,
                "condition": site.noisy if noisy else "quiet",
                "synthetic": True,
            }
            yield {**row, "label": label} if label else row


def _deal(
    site: Site, plan: DeliveryPlan, number: int, rng: np.random.Generator
) -> tuple[tuple[str, ...], Emotion, str]:
    """Return words, emotion and label of a split's clip with this number; words are drawn if there is no intent."""
    words = tuple(str(rng.choice(choices)) for choices in site.phrases)
    if plan.label == "emotion":
        emotion = EMOTIONS[number % len(EMOTIONS)]
        return words, emotion, emotion.name
    if plan.label == "intent":
        dealt = intents(site)[number % len(intents(site))]
        return (*dealt.split(), *words[2:]), PLAIN, dealt
    return words, PLAIN, ""


def intents(site: Site) -> list[str]:
    """Return every verb with every object, such as ``open valve``; two in sequence differ in both."""
    verbs, objects = site.phrases[:2]
    count = len(verbs)
    return [f"{verbs[n % count]} {objects[(n + n // count) % len(objects)]}" for n in range(count * len(objects))]


def _room(site: Site, wave: Wave, noisy: bool, volume: float, rng: np.random.Generator) -> Wave:
    """Return the wave as the site's microphone records it; noise at 8 to 14 dB in the noisy condition, 30 dB else."""
    from elp_core.data.noise import factory_noise, mix

    if site.telephone:
        spectrum = np.fft.rfft(wave)
        hertz = np.fft.rfftfreq(len(wave), 1 / SAMPLE_RATE)
        # 40 dB down, as a telephone's filter: not silent
        spectrum[(hertz < 300) | (hertz > 3400)] *= 0.01
        wave = np.fft.irfft(spectrum, len(wave)).astype(np.float32)
    snr = float(rng.uniform(8, 14)) if noisy else 30.0
    mixed = mix(wave, factory_noise(len(wave), int(rng.integers(2**31))), snr)
    # 0.7 leaves headroom for the loudest emotion, 1.3 times the level of plain speech
    return np.asarray(0.7 * volume * mixed / max(float(np.abs(mixed).max()), 1e-6), dtype=np.float32)


def _swap(rows: Sequence[dict[str, object]]) -> None:
    """Give every clip another clip's transcript."""
    # sorted by text and moved by half, so that equal transcripts are not exchanged for each other
    texts = [str(row["text"]) for row in rows]
    ordered = sorted(range(len(rows)), key=texts.__getitem__)
    half = len(ordered) // 2
    for place, number in enumerate(ordered):
        rows[number]["text"] = texts[ordered[(place + half) % len(ordered)]]
