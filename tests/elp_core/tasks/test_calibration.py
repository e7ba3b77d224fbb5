from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from elp_core.assemble import build, calibrate
from elp_core.bundle import load_bundle, write_bundle
from elp_core.class_answer import ClassCalibration
from elp_core.config import ElpConfig
from elp_core.errors import ConfigError
from elp_core.inference import AdapterHost, Request, classify, predict
from elp_core.metrics.scores import FloatArray, IntArray
from elp_core.tasks import make_task, task_from_json
from elp_core.tasks.calibration import LEAST_CLIPS, REFUSED, calibration_error, fit_calibration, tempered
from elp_core.testing import tiny_backbone
from elp_core.types import SAMPLE_RATE
from tests.support.clips import two_speakers, voice


def _sure(clips: int, factor: float, seed: int) -> tuple[FloatArray, IntArray]:
    """Probabilities [N, 4] of a network whose logits are `factor` times too large, and the classes that were right."""
    rng = np.random.default_rng(seed)
    logits = 2.0 * rng.standard_normal((clips, 4))
    honest = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    labels = (honest.cumsum(1) < rng.random((clips, 1))).sum(1)
    return tempered(honest, 1 / factor), labels


@pytest.mark.parametrize("factor", [0.5, 3.0])
def test_the_temperature_is_the_factor_by_which_a_network_is_too_sure(factor: float) -> None:
    probabilities, labels = _sure(3000, factor, 1)
    fitted = fit_calibration(probabilities, labels)
    assert fitted.temperature == pytest.approx(factor, rel=0.1)
    fresh, right = _sure(3000, factor, 2)
    assert calibration_error(fresh, right) > 0.08
    assert calibration_error(tempered(fresh, fitted.temperature), right) < 0.03


def test_the_floor_refuses_few_right_answers_and_most_of_what_is_of_no_class() -> None:
    rng = np.random.default_rng(3)

    def spoken(clips: int, of_a_class: bool) -> tuple[FloatArray, IntArray]:
        labels = rng.integers(0, 4, clips)
        logits = rng.standard_normal((clips, 4)) + 8.0 * of_a_class * np.eye(4)[labels]
        return np.exp(logits) / np.exp(logits).sum(1, keepdims=True), labels

    fitted = fit_calibration(*spoken(400, of_a_class=True))
    known, labels = spoken(4000, of_a_class=True)
    sure = tempered(known, fitted.temperature)
    right = sure.argmax(1) == labels
    assert (sure.max(1) < fitted.floor)[right].mean() < REFUSED + 0.02
    strange = tempered(spoken(4000, of_a_class=False)[0], fitted.temperature)
    assert (strange.max(1) < fitted.floor).mean() > 0.9


def test_a_split_without_an_error_makes_no_answer_certain() -> None:
    labels = np.arange(24) % 2
    probabilities = np.where(np.eye(2)[labels] > 0, 1 - 1e-7, 1e-7)
    fitted = fit_calibration(probabilities, labels)
    assert tempered(probabilities, fitted.temperature).max() == pytest.approx(25 / 26, abs=0.002)


def test_with_few_clips_nothing_is_claimed() -> None:
    probabilities, labels = _sure(LEAST_CLIPS, 1.0, 4)
    assert fit_calibration(probabilities, labels).clips == LEAST_CLIPS
    assert fit_calibration(probabilities[1:], labels[1:]) is None
    # a class that the task does not know is no clip for it
    assert fit_calibration(probabilities, np.where(np.arange(LEAST_CLIPS) == 0, -1, labels)) is None
    # of wrong answers alone no floor is chosen
    wrong = (probabilities.argmax(1) + 1) % 4
    assert fit_calibration(probabilities, wrong).floor is None


def test_a_trained_task_keeps_its_calibration_and_answers_with_it(tmp_path: Path) -> None:
    clips = two_speakers(12)
    model = build(tiny_backbone("hubert"), ElpConfig(), make_task("sic", clips), seed=1)
    before = [answer.probabilities for answer in classify(model, [voice(0.5, 200.0, 1)])]
    found = calibrate(model, clips, device="cpu")
    assert found["calibration.clips"] == 24
    assert found["calibration.error"] <= found["calibration.error_before"] + 0.01
    assert found["calibration.temperature"] == model.task.calibration.temperature != 1.0
    assert task_from_json(model.task.to_json()) == model.task
    write_bundle(tmp_path / "bundle", model, {"slot": "x/sic"}, found)
    again = load_bundle(tmp_path / "bundle", model.backbone)
    assert again.task.calibration == model.task.calibration
    waveforms = [voice(0.5, 200.0, 1), voice(0.6, 1200.0, 2)]
    answers = classify(again, waveforms)
    assert [one.likeliest for one in answers] == predict(again, waveforms)
    assert answers[0].probabilities != before[0]
    assert sum(answers[0].probabilities.values()) == pytest.approx(1.0)
    host = AdapterHost(model.backbone)
    host.load("x", tmp_path / "bundle")
    (hosted,) = host.outputs([Request("x", waveforms[0])])
    assert again.task.decide(hosted).probability == pytest.approx(answers[0].probability, abs=1e-5)


def test_an_answer_under_the_floor_is_none_of_these() -> None:
    task = make_task("ser", two_speakers(2))
    values = np.array([0.7, 0.3], np.float32)
    plain = task.decide(values)
    assert (plain.label, plain.none_of_these, plain.probability) == ("agree", None, pytest.approx(0.7))
    for floor, label, none in [(0.6, "agree", False), (0.75, None, True), (None, "agree", None)]:
        answer = replace(task, calibration=ClassCalibration(1.0, floor, 30)).decide(values)
        assert (answer.label, answer.none_of_these, answer.likeliest) == (label, none, "agree")
    assert task_from_json({"name": "ser", "classes": ["agree", "refuse"], "dropout": 0.1}) == task


def test_other_tasks_have_no_calibration_and_no_classes() -> None:
    clips = two_speakers(2)
    model = build(tiny_backbone("hubert"), ElpConfig(), make_task("asv", clips), seed=1)
    assert calibrate(model, clips, device="cpu") == {}
    with pytest.raises(ConfigError, match="the task asv has no classes"):
        classify(model, [np.zeros(SAMPLE_RATE, np.float32)])
