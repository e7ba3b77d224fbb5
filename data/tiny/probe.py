"""Stage 4: probe the frozen layers, embedded weights against an untrained copy of the same architecture.

Each FSDD clip becomes the mean of a layer's frames; logistic regression on takes 10-49 is tested on takes 5-9, which
pre-training did not use: which digit, which speaker, and which digit if the speaker is missing from the classifier's
training clips.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from elp_core.files import write_whole
from tiny.card import card
from tiny.files import write_json
from tiny.network import MaskedPredictor, configure
from tiny.settings import SAMPLE_RATE, NetworkSettings, Recipe, read_recipe
from tiny.sound import read_clip
from tiny.sources import fsdd_folder

_TEST_TAKES = range(5, 10)
_SHORTEST = 0.05

Features = NDArray[np.float32]


@dataclass(frozen=True)
class ProbeClips:
    """FSDD's clips with the answers of the probes; arrays `[clips]`."""

    waves: tuple[NDArray[np.float32], ...]
    digit: NDArray[np.int64]
    speaker: NDArray[np.str_]
    test: NDArray[np.bool_]


def read_fsdd(folder: Path, first_take: int) -> ProbeClips:
    """Read takes 5-9 (test) and those from `first_take` on (training), at an RMS of 0.1."""
    rows = []
    for path in sorted(folder.glob("*_*_*.wav")):
        digit, speaker, take = path.stem.split("_")
        if int(take) in _TEST_TAKES or int(take) >= first_take:
            wave = read_clip(path)
            wave = wave * np.float32(0.1 / np.sqrt((wave**2).mean() + 1e-9))
            short = max(0, int(_SHORTEST * SAMPLE_RATE) - wave.size)
            rows.append((np.pad(wave, (0, short)), int(digit), speaker, int(take) in _TEST_TAKES))
    waves, digits, speakers, test = zip(*rows, strict=True)
    return ProbeClips(tuple(waves), np.array(digits), np.array(speakers), np.array(test))


def embed(model: MaskedPredictor, waves: tuple[NDArray[np.float32], ...]) -> Features:
    """Return each layer's mean frame of each clip, `[layers + 1, clips, dim]`; the first is the encoder's input."""
    model.eval()
    rows = []
    with torch.inference_mode():
        for wave in waves:
            states = model.hidden_states(torch.from_numpy(wave)[None])
            rows.append(torch.stack([state[0].mean(dim=0) for state in states]).numpy())
    return np.stack(rows, axis=1)


def accuracy(
    features: Features, answers: NDArray[Any], train: NDArray[np.bool_], test: NDArray[np.bool_], seed: int
) -> float:
    """Return the share of `test` rows that logistic regression on standardised `train` rows classifies correctly."""
    from sklearn.linear_model import LogisticRegression

    mean, scale = features[train].mean(axis=0), features[train].std(axis=0) + 1e-6
    standard = (features - mean) / scale
    probe = LogisticRegression(C=0.1, max_iter=300, random_state=seed)
    probe.fit(standard[train], answers[train])
    return float((probe.predict(standard[test]) == answers[test]).mean())


def probe_layer(features: Features, clips: ProbeClips, seed: int) -> dict[str, float]:
    """Return the three accuracies of one layer's `[clips, dim]`."""
    unseen = []
    for speaker in np.unique(clips.speaker):
        own = clips.speaker == speaker
        unseen.append(accuracy(features, clips.digit, ~clips.test & ~own, clips.test & own, seed))
    return {
        "digit": round(accuracy(features, clips.digit, ~clips.test, clips.test, seed), 4),
        "speaker": round(accuracy(features, clips.speaker, ~clips.test, clips.test, seed), 4),
        "digit_unseen_speaker": round(float(np.mean(unseen)), 4),
    }


def load_exported(settings: NetworkSettings, folder: Path) -> MaskedPredictor:
    """Read the exported half-precision weights, as users do."""
    from safetensors.torch import load_file

    model = MaskedPredictor(configure(settings), 1)
    model.backbone.load_state_dict({k: v.float() for k, v in load_file(folder / "model.safetensors").items()})
    return model


def build(recipe: Recipe) -> dict[str, Any]:
    """Run the stage: write `probe.json` and the card `README.md` next to the weights."""
    clips = read_fsdd(fsdd_folder(recipe.data / "sources"), recipe.corpus.fsdd_first_take)
    torch.manual_seed(recipe.seed)
    models = {
        "embedded": load_exported(recipe.network, recipe.export),
        "untrained": MaskedPredictor(configure(recipe.network), 1),
    }
    table = {}
    for name, model in models.items():
        features = embed(model, clips.waves)
        table[name] = {str(n): probe_layer(layer, clips, recipe.seed) for n, layer in enumerate(features)}
    record = json.loads((recipe.export / "pretraining.json").read_text(encoding="utf-8"))
    metrics = {
        "train_clips": int((~clips.test).sum()),
        "test_clips": int(clips.test.sum()),
        "masked_accuracy": {str(n): i["held_out_masked_accuracy"] for n, i in enumerate(record["iterations"], 1)},
        "layers": table,
    }
    write_json(recipe.export / "probe.json", metrics)
    write_whole(recipe.export / "README.md", card(recipe, record, metrics))
    return metrics


if __name__ == "__main__":
    print(json.dumps(build(read_recipe()), indent=2))
