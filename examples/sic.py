"""Intent from audio to bundle, with `elp_core` alone: no transcript in between.

    python examples/sic.py

No recordings are needed: a command here is a signal for the action and one for the object. Put your own clips in their
place (`Clip` holds FLAC bytes and the intent as its label) and nothing else changes.
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
from elp_core.tasks import make_task
from elp_core.training import train
from elp_core.types import SAMPLE_RATE, Clip

# Sizes and epochs for a training of seconds; real sites start from the defaults, `ElpConfig()` and `TrainConfig()`.
ADAPTER = ElpConfig(EncoderAdapterConfig(bottleneck=32), LayerAdapterConfig(width=96))
TRAINING = TrainConfig(epochs=6, batch_seconds=8.0, min_steps=8, augment=AugmentConfig(variants=1))

ACTIONS = {"open": (300, 900), "close": (900, 300), "check": (500, 500)}
OBJECTS = {"valve": (1500, 2500), "door": (2500, 1500)}
"""A signal is a glide between two frequencies in hertz."""


def command(action: str, what: str, rng: np.random.Generator) -> np.ndarray:
    """Return about 0.7 s: the action, a pause, the object, as float32 [samples]."""
    parts = []
    for begin, end in (ACTIONS[action], OBJECTS[what]):
        time = np.arange(int(SAMPLE_RATE * rng.uniform(0.25, 0.35))) / SAMPLE_RATE
        hertz = np.linspace(begin, end, len(time)) * rng.uniform(0.95, 1.05)
        parts += [0.3 * np.hanning(len(time)) * np.sin(2 * np.pi * np.cumsum(hertz) / SAMPLE_RATE), np.zeros(800)]
    samples = np.concatenate(parts)
    return (samples + 0.01 * rng.standard_normal(len(samples))).astype(np.float32)


def record(each: int, seed: int) -> list[Clip]:
    """Return `each` clips of every intent."""
    rng = np.random.default_rng(seed)
    clips = []
    for action in ACTIONS:
        for what in OBJECTS:
            for _ in range(each):
                samples = command(action, what, rng)
                seconds, intent = len(samples) / SAMPLE_RATE, f"{action} {what}"
                clips.append(Clip(clip_id(samples), encode_flac(samples), seconds, "train", label=intent))
    return clips


# 1. Data: three sets that share no recording.
training, validation, tests = record(10, seed=1), record(2, seed=2), record(4, seed=3)

# 2. The frozen backbone, fresh adapters, and a head for the six intents.
backbone = Backbone.from_pretrained("elp:tiny")
model = build(backbone, ADAPTER, make_task("sic", training), seed=0)
before = evaluate(model, tests)
print(f"untrained: accuracy {before.extra['accuracy']:.0%} on {before.extra['classes']:.0f} intents")

# 3. Training.
result = train(model, training, validation, TRAINING)
after = evaluate(model, tests)
print(f"trained for {result.epochs} epochs in {result.seconds:.0f} s: accuracy {after.extra['accuracy']:.0%}")

# 4. The bundle, and its use.
with tempfile.TemporaryDirectory() as folder:
    write_bundle(Path(folder) / "bundle", model, {"data": "glides"}, {"error_rate": after.value})
    again = load_bundle(Path(folder) / "bundle", backbone)
rng = np.random.default_rng(4)
given = ["close valve", "check door", "open door"]
answers = predict(again, [command(*intent.split(), rng) for intent in given])
print(f"recognised {answers}, expected {given}")
