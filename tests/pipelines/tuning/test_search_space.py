from __future__ import annotations

import pytest
from optuna.trial import create_trial

from elp_core.config import ElpConfig, EncoderAdapterConfig, LayerAdapterConfig
from pipelines.local.settings import Settings, SlotSettings
from pipelines.registry.slot import Slot
from pipelines.tuning.search_space import SearchSpace, head_only, present_candidate


def settings(task: str, **own: object) -> SlotSettings:
    slot = Slot("plant-a", task)
    return Settings(slots={str(slot): own}).for_slot(slot)


@pytest.mark.parametrize("task", ["asr", "asv", "sic"])
@pytest.mark.parametrize(
    "adapter",
    [
        {},
        {"encoder": None},
        {"encoder": {"bottleneck": 100}, "layer": {"width": 7}},
        {"dropout": 0.12},
        {"dropout": 0.3},
    ],
)
def test_the_present_configuration_is_a_point_of_the_space(task: str, adapter: dict[str, object]) -> None:
    chosen = settings(task, adapter=adapter)
    space = SearchSpace(chosen, (2, 0, 1))
    point = space.present_point()
    assert point is not None
    assert space.candidate(point) == present_candidate(chosen)
    for one in (point, *space.starting_points()):
        # refuses a value that its range does not contain
        create_trial(params=one, distributions=space.distributions(), value=0.5)


def test_layers_are_chosen_by_their_rank_and_idle_rates_stay() -> None:
    space = SearchSpace(settings("asr"), (4, 1, 0, 2, 3))
    point = space.present_point()
    assert point is not None
    candidate = space.candidate({**point, "layers": 2, "encoder": False, "prompt": False, "norms": False})
    assert candidate.adapter["layer"]["layers"] == [1, 4]
    assert candidate.title == "L 512 on layers 1, 4"
    moved = space.candidate(
        {**point, "encoder": False, "prompt": False, "norms": False, "lr_encoder": 4e-3, "lr_head": 1.23456e-3}
    )
    assert moved.train == {"lr_head": 1.23e-3, "lr_layer": 1e-3, "lr_encoder": 1e-3}


def test_a_configuration_outside_the_space_has_no_point() -> None:
    apart = ElpConfig(EncoderAdapterConfig(layers=(0,)), LayerAdapterConfig(layers=(1, 2)))
    chosen = settings("asr", adapter={"encoder": {"layers": [0]}, "layer": {"layers": [1, 2]}})
    assert chosen.adapter == apart
    assert SearchSpace(chosen, (0, 1, 2)).present_point() is None


def test_a_starting_point_is_made_smaller_until_it_fits() -> None:
    space = SearchSpace(settings("asr"), (0, 1, 2))
    start = space.starting_points()[0]
    point = space.shrunk(start, lambda candidate: candidate.task.get("width", 256) <= 32)
    assert point is not None
    assert point["head_width_log2"] == 5
    assert space.shrunk(start, lambda candidate: False) is None


def test_the_head_alone_has_the_head_of_its_candidate() -> None:
    space = SearchSpace(settings("asr"), (0, 1, 2))
    candidate = space.candidate({**space.starting_points()[0], "head_width_log2": 6, "head_depth": 1})
    assert candidate.task == {"width": 64, "dilations": [1]}
    assert head_only(candidate).task == candidate.task
    assert head_only(candidate).title == "head only, on the weighted sum of layers"
