"""Speaker verification from audio to an accepted or rejected caller, with `elp_core` alone.

    python examples/asv.py

No recordings are needed: a "speaker" here is a vocal tract (three resonances) that hums at varying pitch. Put your own
clips in their place (`Clip` holds FLAC bytes and the speaker's name) and nothing else changes.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np

from elp_core.assemble import build, evaluate, settle
from elp_core.audio import clip_id, encode_flac
from elp_core.backbones import Backbone
from elp_core.bundle import load_bundle, write_bundle
from elp_core.config import AugmentConfig, ElpConfig, EncoderAdapterConfig, LayerAdapterConfig, TrainConfig
from elp_core.inference import predict
from elp_core.task_specs import VerificationOptions
from elp_core.tasks import make_task
from elp_core.training import train
from elp_core.types import SAMPLE_RATE, Clip

# Sizes and epochs for a training of seconds; real sites start from the defaults, `ElpConfig()` and `TrainConfig()`.
ADAPTER = ElpConfig(EncoderAdapterConfig(bottleneck=32), LayerAdapterConfig(width=96))
TRAINING = TrainConfig(epochs=4, batch_seconds=8.0, min_steps=8, augment=AugmentConfig(variants=1))


def tract(speaker: int) -> np.ndarray:
    """Resonances of a speaker in hertz, [3]."""
    rng = np.random.default_rng(1000 + speaker)
    return np.array([rng.uniform(300, 900), rng.uniform(1000, 2200), rng.uniform(2400, 3600)])


def hum(speaker: int, rng: np.random.Generator) -> np.ndarray:
    """Half a second or more of the speaker as float32 [samples]: harmonics of a random pitch under the resonances."""
    time = np.arange(int(SAMPLE_RATE * rng.uniform(0.5, 0.8))) / SAMPLE_RATE
    pitch = rng.uniform(100, 200)
    samples = np.zeros(len(time))
    for harmonic in np.arange(pitch, 4000, pitch):
        gain = np.exp(-(((harmonic - tract(speaker)) / 150) ** 2)).sum() + 0.02
        samples += gain * np.sin(2 * np.pi * harmonic * time + rng.uniform(0, 6))
    return (0.3 * samples / np.abs(samples).max() + 0.005 * rng.standard_normal(len(time))).astype(np.float32)


def record(speakers: range, each: int, seed: int) -> list[Clip]:
    """Return `each` clips of every speaker."""
    rng = np.random.default_rng(seed)
    clips = []
    for speaker in speakers:
        for _ in range(each):
            samples = hum(speaker, rng)
            name, seconds = f"speaker-{speaker}", len(samples) / SAMPLE_RATE
            clips.append(Clip(clip_id(samples), encode_flac(samples), seconds, "train", speaker=name))
    return clips


# 1. Data: the speakers of training, validation and test are all different.
training, validation, tests = (
    record(range(24), 3, seed=1),
    record(range(24, 28), 3, seed=2),
    record(range(28, 34), 4, seed=3),
)

# 2. A linear head, trained briefly; `head="xvector"` or `"attentive"` are the others.
backbone = Backbone.from_pretrained("elp:tiny")
options = VerificationOptions(head="linear", embedding=64)
model = build(backbone, ADAPTER, make_task("asv", training, options), seed=0)
before = evaluate(model, tests)
print(f"untrained: EER {before.value:.1%} over {before.extra['trials']:.0f} trials")

# 3. Training, and the threshold of the validation trials.
result = train(model, training, validation, TRAINING)
settle(model, evaluate(model, validation))
after = evaluate(model, tests)
print(
    f"trained for {result.epochs} epochs in {result.seconds:.0f} s: EER {after.value:.1%} at "
    f"{after.extra['threshold']:.2f}, minDCF {after.extra['min_dcf']:.2f} at {after.extra['min_dcf_threshold']:.2f}"
)

# 4. The bundle carries the threshold.
with tempfile.TemporaryDirectory() as folder:
    write_bundle(Path(folder) / "bundle", model, {"data": "hums"}, {"eer": after.value})
    again = load_bundle(Path(folder) / "bundle", backbone)

# 5. Use: three recordings enrol a speaker who is not in the training data; two callers claim to be that speaker.
rng = np.random.default_rng(4)
*enrolment, same, other = predict(again, [hum(speaker, rng) for speaker in (40, 40, 40, 40, 41)])
genuine, impostor = (again.task.compare(again.head, enrolment, caller) for caller in (same, other))
for name, match in (("the speaker", genuine), ("another", impostor)):
    verdict = "accepted" if match.accepted else "rejected"
    print(f"{name} is {verdict}: score {match.score:.2f}, threshold {match.threshold:.2f}")
