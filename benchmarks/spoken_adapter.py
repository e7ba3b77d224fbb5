"""An adapter for the embedded backbone that recognises espeak-ng's sentences, trained once and kept in a folder.

The long-audio and the hotword benchmarks use it. The words are those of `pipelines.demo.spoken_words`: no name of a
person or a product is among them. The voices are those that the embedded backbone was not trained on.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from elp_core.audio import clip_id, encode_flac, load
from elp_core.config import TrainConfig
from elp_core.types import SAMPLE_RATE, Clip, Split

Wave = npt.NDArray[np.float32]
VARIANTS = ("m1", "m2", "m3", "f1", "f2", "f3", "Annie", "klatt")
EPOCHS = 14
DEFAULT_FOLDER = Path(tempfile.gettempdir()) / "elp-spoken-adapter"


@dataclass(frozen=True)
class Voice:
    """One synthetic speaker."""

    variant: str
    pitch: int
    rate: int

    @property
    def name(self) -> str:
        """Name of the speaker."""
        return f"{self.variant}-{self.pitch}-{self.rate}"


def voices(split: Split) -> list[Voice]:
    """Return the speakers of a split: every variant at other pitches and rates."""
    pitches = {"train": (25, 45, 65), "validation": (35,), "test": (30, 55)}[split]
    return [
        Voice(variant, pitch, 135 + 15 * ((place + pitch) % 3))
        for pitch in pitches
        for place, variant in enumerate(VARIANTS)
    ]


def speak(synthesiser: object, text: str, voice: Voice, rng: np.random.Generator) -> Wave:
    """Return float32 [samples] of a sentence with faint noise, at 30 dB."""
    wave = synthesiser.say(text, f"en-us+{voice.variant}", rate=voice.rate, pitch=voice.pitch, pitch_range=50)
    level = float(np.sqrt(np.mean(np.square(wave)))) or 1e-3
    noisy = wave + rng.standard_normal(len(wave)).astype(np.float32) * level * 10 ** (-30 / 20)
    return np.asarray(0.6 * noisy / max(float(np.abs(noisy).max()), 1e-6), dtype=np.float32)


def clips(texts: Sequence[str], split: Split, seed: int) -> list[Clip]:
    """Return one clip for each text, the split's speakers in turn."""
    from pipelines.demo.espeak import Synthesiser

    synthesiser, rng, speakers = Synthesiser(), np.random.default_rng(seed), voices(split)
    found = []
    for place, text in enumerate(texts):
        voice = speakers[place % len(speakers)]
        audio = encode_flac(speak(synthesiser, text, voice, rng))
        wave = load(audio)
        found.append(Clip(clip_id(wave), audio, len(wave) / SAMPLE_RATE, split, text, voice.name, condition="quiet"))
    return found


def sentences(count: int, seed: int) -> list[str]:
    """Return pseudo-random sentences of known words."""
    from pipelines.demo.spoken_words import sentence

    rng = np.random.default_rng(seed)
    return [sentence(rng) for _ in range(count)]


class EpochLines:
    """Print a line for each epoch."""

    def on_step(self, *_: object, **__: object) -> None:
        pass

    def on_epoch(self, epoch: int, loss: float, value: float) -> None:
        print(f"epoch {epoch}: loss {loss:.3f}, validation WER {value:.1%}", flush=True)


def spoken_adapter(folder: Path, train_clips: int = 1400, epochs: int = EPOCHS) -> Path:
    """Return the folder of the bundle; it is trained if it does not exist (about ten minutes on two cores)."""
    if (folder / "manifest.json").is_file():
        return folder
    known = clips(sentences(train_clips, 1), "train", 1)
    validation = clips(sentences(64, 2), "validation", 2)
    return fit_adapter(folder, known, validation, TrainConfig(epochs=epochs, patience=0))


def fit_adapter(
    folder: Path, known: Sequence[Clip], validation: Sequence[Clip], config: TrainConfig, start: Path | None = None
) -> Path:
    """Train an adapter of the embedded backbone on clips, from the one in `start`; return the folder of its bundle."""
    from elp_core.assemble import build
    from elp_core.backbones import Backbone
    from elp_core.bundle import load_bundle, write_bundle
    from elp_core.config import ElpConfig
    from elp_core.tasks import make_task
    from elp_core.training import train

    backbone = Backbone.from_pretrained("elp:tiny")
    model = load_bundle(start, backbone) if start else build(backbone, ElpConfig(), make_task("asr", known), 0)
    started = time.monotonic()
    train(model, known, validation, config, EpochLines())
    print(f"trained in {time.monotonic() - started:.0f} s on {sum(c.duration for c in known) / 60:.1f} minutes")
    write_bundle(folder, model, {"slot": "bench/asr"}, {})
    return folder


if __name__ == "__main__":
    import sys

    spoken_adapter(Path(sys.argv[1]))
