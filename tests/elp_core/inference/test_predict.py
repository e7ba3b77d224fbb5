from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from elp_core.config import ElpConfig
from elp_core.errors import AudioError
from elp_core.inference import predict
from elp_core.model import ElpModel
from elp_core.tasks import make_task
from elp_core.testing import random_clips, tiny_backbone, tone

WAVEFORMS = [tone(300, 0.9), tone(500, 0.2), tone(700, 0.5), tone(900, 0.2), tone(300, 0.025)]


def _model(task: str = "asv") -> ElpModel:
    return ElpModel(tiny_backbone(), ElpConfig(), make_task(task, random_clips()))


@pytest.mark.parametrize("batch_seconds", [0.01, 0.5, 32.0])
def test_answers_come_in_order_and_do_not_depend_on_the_batches(batch_seconds: float) -> None:
    model = _model()
    answers = predict(model, WAVEFORMS, batch_seconds)
    alone = [predict(model, [waveform])[0] for waveform in WAVEFORMS]
    np.testing.assert_allclose(np.stack(answers), np.stack(alone), atol=1e-5)
    assert np.linalg.norm(np.stack(answers), axis=1) == pytest.approx(np.ones(5), abs=1e-5)


def test_recognition_answers_with_text() -> None:
    assert all(isinstance(answer, str) for answer in predict(_model("asr"), WAVEFORMS))


def test_no_waveforms_give_no_answers() -> None:
    assert predict(_model(), []) == []


@pytest.mark.parametrize("training", [True, False])
def test_the_model_is_left_as_it_came(training: bool) -> None:
    model = _model().train(training)
    first = predict(model, WAVEFORMS)
    assert model.training is training
    assert all((a == b).all() for a, b in zip(first, predict(model, WAVEFORMS), strict=True))
    assert torch.is_grad_enabled()


@pytest.mark.parametrize(
    ("bad", "reason", "message"),
    [
        (np.zeros((2, 8000), np.float32), "not_mono", r"waveform 1 has shape \(2, 8000\)"),
        (np.zeros(399, np.float32), "too_short", "waveform 1 has 399 samples; this backbone needs 400"),
        ([0.0] * 8000, "not_array", "waveform 1 is a list, expected a NumPy array"),
        (torch.zeros(8000), "not_array", "waveform 1 is a Tensor"),
        (np.zeros(8000, np.int16), "not_float", "waveform 1 holds int16, .* divide int16 samples by 32768"),
        (np.zeros(8000, np.complex64), "not_float", "waveform 1 holds complex64"),
        (np.full(8000, np.nan, np.float32), "nan", "waveform 1 has values that are NaN or infinite"),
    ],
)
def test_a_waveform_that_cannot_be_used_is_named(bad: Any, reason: str, message: str) -> None:
    with pytest.raises(AudioError, match=message) as caught:
        predict(_model(), [WAVEFORMS[0], bad])
    assert caught.value.reason == reason
