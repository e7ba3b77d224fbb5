"""Deliveries of short commands in Japanese and in German, spoken by espeak-ng; what is written is not what it reads.

espeak-ng reads kana and spells kanji out in English, so each command has its reading next to its spelling.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import soundfile as sf

from elp_core.types import SAMPLE_RATE
from pipelines.demo.espeak import Synthesiser
from tests.support.deliveries import write_manifest

JAPANESE = (
    ("ポンプを止めて。", "ぽんぷをとめて"),
    ("弁を開けて", "べんをあけて"),
    ("３番の扉", "さんばんのとびら"),
    ("ベルトを見て！", "べるとをみて"),
    ("扉を閉めて", "とびらをしめて"),
    ("2番の弁", "にばんのべん"),
)
JAPANESE_LATER = (("窓を開けて", "まどをあけて"), ("弁を閉めて", "べんをしめて"))
"""窓 is in no command of the first delivery."""
GERMAN = (
    ("Tür öffnen!", "Tür öffnen"),
    ("Straße frei", "Straße frei"),
    ("Pumpe, stopp", "Pumpe stopp"),
    ("Größe prüfen", "Größe prüfen"),
    ("3 Bänder", "drei Bänder"),
    ("Motor aus", "Motor aus"),
)
GERMAN_LATER = (("Quer über", "Quer über"), ("Taxi rufen", "Taxi rufen"))
"""q and x are in no command of the first delivery."""
VOICES = {"train": ("m1", "f1", "m3", "f2"), "validation": ("m2", "f3"), "test": ("m4", "f4", "m5", "f5")}
"""Variants of espeak-ng by split: no speaker is in two."""


def spoken_delivery(folder: Path, voice: str, commands: Sequence[tuple[str, str]], rates: Sequence[int]) -> Path:
    """Let every speaker say every command once at each rate, in words a minute; return the manifest."""
    synthesiser, rows = Synthesiser(), []
    (folder / "audio").mkdir(parents=True, exist_ok=True)
    for split, variants in VOICES.items():
        for place, variant in enumerate(variants):
            for number, (text, reading) in enumerate(commands):
                for rate in rates:
                    pitch = 30 + 12 * place
                    wave = synthesiser.say(reading, f"{voice}+{variant}", rate=rate, pitch=pitch, pitch_range=50)
                    name = f"audio/{variant}-{number}-{rate}.wav"
                    sf.write(folder / name, wave, SAMPLE_RATE, subtype="PCM_16")
                    rows.append({"audio_filepath": name, "text": text, "speaker": variant, "split": split})
    return write_manifest(folder, rows)
