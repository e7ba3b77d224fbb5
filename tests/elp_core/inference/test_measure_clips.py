from __future__ import annotations

import numpy as np
import pytest

from elp_core.audio import measure
from elp_core.config import ElpConfig
from elp_core.errors import AudioError
from elp_core.inference.measure_clips import Certainty, measure_waveforms, transcript_certainty
from elp_core.model import ElpModel
from elp_core.tasks import make_task
from elp_core.testing import random_clips, tiny_backbone, tone

WAVEFORMS = [tone(300, 0.9), tone(500, 0.2), tone(700, 0.5)]


def _model(task: str) -> ElpModel:
    return ElpModel(tiny_backbone(), ElpConfig(), make_task(task, random_clips()))


@pytest.mark.parametrize("task", ["asr", "ser", "asv"])
def test_measurements_come_in_order_and_do_not_depend_on_the_batch(task: str) -> None:
    model = _model(task).train()
    together = measure_waveforms(model, WAVEFORMS)
    assert model.training
    for waveform, found in zip(WAVEFORMS, together, strict=True):
        (alone,) = measure_waveforms(model, [waveform])
        assert found.sound == measure(waveform)
        np.testing.assert_allclose(found.features, alone.features, atol=1e-5)
        assert found.features.shape == (8,)
        assert (found.certainty is None) == (task == "asv")
        if found.certainty and alone.certainty:
            assert found.certainty.confidence == pytest.approx(alone.certainty.confidence, abs=1e-4)
            assert 0 < found.certainty.confidence <= 1
            assert (found.certainty.blank_share is None) == (task == "ser")


def test_adapters_do_not_change_the_features() -> None:
    model, other = _model("ser"), _model("asv")
    (one,), (two,) = measure_waveforms(model, WAVEFORMS[:1]), measure_waveforms(other, WAVEFORMS[:1])
    np.testing.assert_allclose(one.features, two.features, atol=1e-6)


def test_a_transcript_is_as_sure_as_its_tokens_are_on_average() -> None:
    # frames: blank, unit 1 (twice), blank, unit 2
    rows = np.log(
        np.array([[0.9, 0.05, 0.05], [0.2, 0.6, 0.2], [0.1, 0.8, 0.1], [0.8, 0.1, 0.1], [0.3, 0.2, 0.5]], np.float32)
    )
    found = transcript_certainty(rows)
    assert found.confidence == pytest.approx((0.8 * 0.5) ** 0.5, rel=1e-5)
    assert found.blank_share == pytest.approx(0.4)


def test_an_empty_transcript_is_as_sure_as_its_blanks() -> None:
    rows = np.log(np.array([[0.9, 0.1], [0.4 + 0.24, 0.36]], np.float32))
    assert transcript_certainty(rows) == Certainty(pytest.approx((0.9 * 0.64) ** 0.5, rel=1e-5), 1.0)


def test_a_waveform_that_cannot_be_used_is_named() -> None:
    with pytest.raises(AudioError, match="waveform 1 has values that are NaN"):
        measure_waveforms(_model("ser"), [WAVEFORMS[0], np.full(8000, np.nan, np.float32)])
