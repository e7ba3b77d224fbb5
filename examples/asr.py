"""Speech recognition from audio to bundle, with `elp_core` alone.

    python examples/asr.py

No recordings are needed: a "speaker" here whistles, each word is a melody, and noise is added.
Use your own clips instead (`Clip` has FLAC bytes and a transcript); nothing else changes.
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
TRAINING = TrainConfig(epochs=9, batch_seconds=8.0, min_steps=8, augment=AugmentConfig(variants=1, join=0.0))

MELODIES = {"up": (400, 800, 1600), "down": (1600, 800, 400), "hold": (600, 600, 600), "jump": (300, 1800, 300)}


def whistle(word: str, rng: np.random.Generator) -> np.ndarray:
    """Return the word as float32 [samples]: three tones of about 0.15 s, in noise of about 25 dB SNR."""
    tones = []
    for hertz in MELODIES[word]:
        time = np.arange(int(SAMPLE_RATE * rng.uniform(0.12, 0.18))) / SAMPLE_RATE
        tones.append(0.3 * np.hanning(len(time)) * np.sin(2 * np.pi * hertz * rng.uniform(0.97, 1.03) * time))
    samples = np.concatenate(tones)
    return (samples + 0.01 * rng.standard_normal(len(samples))).astype(np.float32)


def record(count: int, seed: int) -> list[Clip]:
    """Return `count` clips of the words in turn."""
    rng = np.random.default_rng(seed)
    clips = []
    for number in range(count):
        word = list(MELODIES)[number % len(MELODIES)]
        samples = whistle(word, rng)
        clips.append(
            Clip(clip_id(samples), encode_flac(samples), len(samples) / SAMPLE_RATE, "train", word, f"whistler-{seed}")
        )
    return clips


# 1. Data: three sets that share no recording. The test set is used once, at the end.
training, validation, tests = record(48, seed=1), record(8, seed=2), record(16, seed=3)

# 2. The frozen backbone that ships with the package, fresh adapters, and a head for letters.
backbone = Backbone.from_pretrained("elp:tiny")
model = build(backbone, ADAPTER, make_task("asr", training), seed=0)
before = evaluate(model, tests)
print(f"untrained: WER {before.value:.0%} with {model.parameter_count():,} trainable parameters")

# 3. Training: the best epoch on the validation clips is kept.
result = train(model, training, validation, TRAINING)
after = evaluate(model, tests)
print(
    f"trained for {result.epochs} epochs in {result.seconds:.0f} s: WER {after.value:.0%}, CER {after.extra['cer']:.0%}"
)

# 4. The bundle: a few hundred kB, no pickle, tied to the backbone by its fingerprint.
with tempfile.TemporaryDirectory() as folder:
    digest = write_bundle(Path(folder) / "bundle", model, {"data": "whistles"}, {"wer": after.value})
    again = load_bundle(Path(folder) / "bundle", backbone)

# 5. Use: waveforms in, transcripts out.
rng = np.random.default_rng(4)
said = ["down", "jump", "up"]
transcripts = predict(again, [whistle(word, rng) for word in said])
print(f"{digest[:15]}… recognised {transcripts}, expected {said}")
