"""Deliveries for tests: small manifests of tones, good ones and spoilt ones."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from pipelines.datasets.delivery import DeliveryOptions
from pipelines.datasets.measuring import IntakeSettings
from pipelines.registry.policies import DataPolicy
from tests.support.clips import voice, wav

SPEAKERS = {"anna": "train", "bert": "train", "carla": "validation", "doris": "test"}
WORDS = ("open the door", "close the valve", "stop the pump")
INTAKE = IntakeSettings(DataPolicy(), DeliveryOptions(), "delivery")


def write_delivery(folder: Path, each: int = 3, seed: int = 0, **changes: dict[str, Any]) -> Path:
    """A NeMo manifest of `each` clips a speaker; returns its path.

    Args:
        folder: gets the files.
        each: clips a speaker.
        seed: another one makes other recordings.
        changes: by the clip's name without suffix (``anna_0``): keys to set, or ``bytes`` to replace the audio.
    """
    (folder / "audio").mkdir(parents=True, exist_ok=True)
    rows = []
    for place, (speaker, split) in enumerate(SPEAKERS.items()):
        for take in range(each):
            name = f"{speaker}_{take}"
            change = dict(changes.get(name, {}))
            sound = wav(voice(0.5, 200 + 50 * place + 7 * take, seed * 100 + 10 * place + take))
            (folder / "audio" / f"{name}.wav").write_bytes(change.pop("bytes", sound))
            row = {"audio_filepath": f"audio/{name}.wav", "text": WORDS[take % 3], "speaker": speaker, "split": split}
            rows.append(row | change)
    return write_manifest(folder, rows)


def write_manifest(folder: Path, rows: list[dict[str, Any]], name: str = "manifest.jsonl") -> Path:
    """Write rows as a NeMo manifest; returns its path."""
    path = folder / name
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def silence(seconds: float = 0.5) -> bytes:
    """A WAV file of digital silence."""
    return wav(np.zeros(round(16_000 * seconds), np.float32))


def not_a_number() -> bytes:
    """A float WAV file with one sample that is no number."""
    samples = voice(0.5, 300, 1)
    samples[100] = np.nan
    return wav(samples, subtype="FLOAT")


def ten_hours() -> bytes:
    """A FLAC file whose header says ten hours, with half a second in it."""
    content = bytearray(wav(voice(0.5, 300, 1), kind="FLAC"))
    # STREAMINFO begins at byte 8; its number of samples are the 36 bits that end at byte 26
    content[21] &= 0xF0
    content[22:26] = (16_000 * 36_000).to_bytes(4, "big")
    return bytes(content)
