"""Emotion recognition from audio to bundle, with `elp_core` alone.

    python examples/ser.py

No recordings are needed: an "emotion" here is a way of gliding and pulsing, the same for every voice.
Put your own clips in their place (`Clip` holds FLAC bytes, the speaker and the emotion as its label) and nothing else
changes.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np

from elp_core.assemble import build, evaluate
from elp_core.audio import clip_id, encode_flac
from elp_core.backbones import Backbone
from elp_core.bundle import load_bundle, write_bundle
from elp_core.config import AugmentConfig, ElpConfig, EncoderAdapterConfig, LayerAdapterConfig, TrainConfig
from elp_core.inference import predict
from elp_core.metrics.accuracy import confusion
from elp_core.tasks import make_task
from elp_core.training import train
from elp_core.types import SAMPLE_RATE, Clip

# Sizes and epochs for a training of seconds; real sites start from the defaults, `ElpConfig()` and `TrainConfig()`.
ADAPTER = ElpConfig(EncoderAdapterConfig(bottleneck=32), LayerAdapterConfig(width=96))
TRAINING = TrainConfig(epochs=6, batch_seconds=8.0, min_steps=16, augment=AugmentConfig(variants=1))

MOODS = {"angry": (9.0, 0.3, 0.3), "happy": (5.0, 0.45, 0.8), "neutral": (3.0, 0.05, 1.2), "sad": (1.5, -0.3, 2.5)}
"""Pulses a second, how far the pitch glides (as a share of it), and how fast the overtones fall off."""


def utter(mood: str, pitch: float, rng: np.random.Generator) -> np.ndarray:
    """About 0.8 s of the mood at a speaker's pitch in hertz, as float32 [samples]."""
    seconds = rng.uniform(0.7, 0.9)
    time = np.arange(int(SAMPLE_RATE * seconds)) / SAMPLE_RATE
    pulses, glide, tilt = MOODS[mood]
    phase = 2 * np.pi * pitch * (time + glide * time**2 / (2 * seconds))
    voice = sum(np.sin(k * phase) / k**tilt for k in range(1, 6))
    envelope = 0.55 + 0.45 * np.sin(2 * np.pi * pulses * rng.uniform(0.9, 1.1) * time)
    return (0.15 * envelope * voice + 0.005 * rng.standard_normal(len(time))).astype(np.float32)


def record(speakers: range, each: int, seed: int) -> list[Clip]:
    """Return `each` clips of every mood by every speaker; neutral twice as often, as in life."""
    rng = np.random.default_rng(seed)
    clips = []
    for speaker in speakers:
        for mood in [*MOODS, "neutral"] * each:
            samples = utter(mood, 150 + 25 * speaker, rng)
            seconds, name = len(samples) / SAMPLE_RATE, f"speaker-{speaker}"
            clips.append(Clip(clip_id(samples), encode_flac(samples), seconds, "train", speaker=name, label=mood))
    return clips


# 1. Data: every set has its own speakers.
training, validation, tests = (
    record(range(0, 12, 2), 2, seed=1),
    record(range(1, 5, 2), 1, seed=2),
    record(range(5, 12, 2), 1, seed=3),
)

# 2. The frozen backbone, fresh adapters, and a head for the classes of the training clips.
backbone = Backbone.from_pretrained("elp:tiny")
model = build(backbone, ADAPTER, make_task("ser", training), seed=0)
before = evaluate(model, tests)
print(f"untrained: error rate {before.value:.0%}")

# 3. Training. Classes are not balanced: unweighted accuracy gives the rare ones the same weight.
result = train(model, training, validation, TRAINING)
after = evaluate(model, tests)
print(f"trained for {result.epochs} epochs in {result.seconds:.0f} s: error rate {after.value:.0%}")
print(", ".join(f"{name} {after.extra[name]:.2f}" for name in ("accuracy", "unweighted_accuracy", "macro_f1")))

# 4. Confusions: rows are labels, columns answers.
names, counts = confusion(after.scores.hypotheses, after.scores.references)
print("\n".join(f"{name:8}" + "".join(f"{count:4}" for count in row) for name, row in zip(names, counts, strict=True)))

# 5. The bundle, and its use on a new voice.
with tempfile.TemporaryDirectory() as folder:
    write_bundle(Path(folder) / "bundle", model, {"data": "synthetic moods"}, {"error_rate": after.value})
    again = load_bundle(Path(folder) / "bundle", backbone)
answers = predict(again, [utter(mood, 220, np.random.default_rng(4)) for mood in MOODS])
print(f"recognised {answers}, expected {list(MOODS)}")
