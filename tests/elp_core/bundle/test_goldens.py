"""Bundles that earlier releases wrote still open, and answer what they answered then."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from elp_core.bundle import load_bundle
from elp_core.inference import predict
from elp_core.testing import tiny_backbone, tone

GOLDENS = sorted(path for path in (Path(__file__).parents[2] / "goldens" / "bundles").iterdir() if path.is_dir())


@pytest.mark.parametrize("folder", GOLDENS, ids=lambda path: path.name)
def test_an_old_bundle_answers_as_it_did(folder: Path) -> None:
    model = load_bundle(folder, tiny_backbone("hubert"))
    expected = json.loads(folder.with_name(f"{folder.name}.json").read_text())
    for answer, then in zip(predict(model, [tone(300, 0.5), tone(500, 0.9)]), expected, strict=True):
        if isinstance(then, str):
            assert answer == then
        else:
            assert np.asarray(answer) == pytest.approx(np.array(then), abs=1e-4)
