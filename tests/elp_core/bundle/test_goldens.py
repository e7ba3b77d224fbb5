"""Bundles that earlier releases wrote still open, and answer what they answered then."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from elp_core.backbones import Backbone
from elp_core.bundle import load_bundle
from elp_core.data.collate import collate
from elp_core.inference import predict
from elp_core.testing import tone

# stored, because another release of transformers draws other random weights
BACKBONE = Path(__file__).parents[2] / "goldens" / "backbones" / "hubert"
TONES = [tone(300, 0.5), tone(500, 0.9)]
GOLDENS = sorted(path for path in (Path(__file__).parents[2] / "goldens" / "bundles").iterdir() if path.is_dir())


@pytest.mark.parametrize("folder", GOLDENS, ids=lambda path: path.name)
def test_an_old_bundle_answers_as_it_did(folder: Path) -> None:
    model = load_bundle(folder, Backbone.from_pretrained(BACKBONE))
    expected = json.loads(folder.with_name(f"{folder.name}.json").read_text())
    for answer, then in zip(predict(model, TONES), expected, strict=True):
        if isinstance(then, str):
            assert answer == then
        else:
            assert np.asarray(answer) == pytest.approx(np.array(then), abs=1e-4)


@pytest.mark.parametrize("release", ["0.1.0-asr"])
def test_an_old_bundle_gives_each_letter_the_score_it_gave(release: str) -> None:
    folder = next(path for path in GOLDENS if path.name == release)
    model = load_bundle(folder, Backbone.from_pretrained(BACKBONE))
    expected = json.loads(folder.with_name(f"{release}.logits.json").read_text())
    for waveform, then in zip(TONES, expected, strict=True):
        with torch.inference_mode():
            frames, counts = model(*collate([waveform]))
            logits = model.head(frames, counts)[0, : counts[0]]
        assert logits.numpy() == pytest.approx(np.array(then), abs=1e-4)
