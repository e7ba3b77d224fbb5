"""A model that starts from trained ones: which tensors it takes, and when its head is its own."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from elp_core.assemble import build
from elp_core.config import (
    ElpConfig,
    EncoderAdapterConfig,
    LayerAdapterConfig,
    PromptConfig,
    TrainConfig,
    WarmConfig,
    from_dict,
    to_dict,
)
from elp_core.errors import ConfigError
from elp_core.languages import Units
from elp_core.model import ElpModel
from elp_core.task_specs import RecognitionOptions
from elp_core.tasks import IntentClassification, SpeechRecognition, Task
from elp_core.testing import tiny_backbone
from elp_core.training import head_obstacle, start_from

SMALL = ElpConfig(EncoderAdapterConfig(4), LayerAdapterConfig(8), PromptConfig(1))
CALM, CROSS = IntentClassification(("open", "shut")), IntentClassification(("open", "stop"))


def _model(task: Task, seed: int, config: ElpConfig = SMALL) -> ElpModel:
    return build(tiny_backbone("hubert"), config, task, seed)


def test_one_parent_gives_all_its_tensors() -> None:
    known, model = _model(CALM, 1), _model(CALM, 2)
    start_from(model, [(known, 1.0)])
    assert all(torch.equal(model.state()[name], tensor) for name, tensor in known.state().items())


def test_a_mean_is_weighted_and_of_equal_parents_it_is_the_parent() -> None:
    one, two, model = _model(CALM, 1), _model(CALM, 2), _model(CALM, 3)
    start_from(model, [(one, 3.0), (two, 1.0)])
    for name, tensor in model.state().items():
        wanted = (0.75 * one.state()[name].double() + 0.25 * two.state()[name].double()).float()
        assert torch.allclose(tensor, wanted, atol=1e-7), name
    start_from(model, [(one, 1 / 3)] * 3)
    assert all(torch.equal(model.state()[name], tensor) for name, tensor in one.state().items())


def test_without_the_head_the_rest_is_warm() -> None:
    known, model = _model(CROSS, 1), _model(CALM, 2)
    own = {name: tensor.clone() for name, tensor in model.state().items()}
    with pytest.raises(ConfigError, match=r"its classes differ \(1 are new, 1 are gone\)"):
        start_from(model, [(known, 1.0)])
    start_from(model, [(known, 1.0)], head=False)
    for name, tensor in model.state().items():
        assert torch.equal(tensor, own[name] if name.startswith("head.") else known.state()[name]), name


def test_a_recogniser_takes_the_rows_of_its_units() -> None:
    known, model = (_model(SpeechRecognition(Units.of_letters(letters)), 1) for letters in (" ab", " abc"))
    other = _model(SpeechRecognition(Units.of_letters(" ab")), 5)
    start_from(model, [(other, 1.0)])
    rows, given = (one.state()["head.letters.weight"] for one in (model, other))
    assert torch.equal(rows[:4], given)
    assert "units differ" in head_obstacle(model.task, known.task, alone=False)
    wide = SpeechRecognition(options=RecognitionOptions(width=8))
    assert head_obstacle(wide, SpeechRecognition()).startswith("its width is ")


def test_another_configuration_is_refused() -> None:
    other = replace(SMALL, prompt=None)
    with pytest.raises(ConfigError, match="configuration of a parent differs"):
        start_from(_model(CALM, 1), [(_model(CALM, 1, other), 1.0)])


def test_the_settings_of_a_start_are_left_out_by_default_and_checked() -> None:
    assert not {"init", "warm"} & to_dict(TrainConfig()).keys()
    warm = TrainConfig(init="v12", warm=WarmConfig(epochs=3))
    assert from_dict(TrainConfig, to_dict(warm)) == warm
    for wrong in ("chmpion", "v0", "12"):
        with pytest.raises(ConfigError, match=f"init is '{wrong}', expected one of fresh, champion, nearest, average"):
            TrainConfig(init=wrong)
