from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from optuna.trial import create_trial

from elp_core.config import ElpConfig, EncoderAdapterConfig, LayerAdapterConfig
from elp_core.testing import tiny_backbone
from pipelines.errors import UsageError
from pipelines.local.settings import Settings, SlotSettings
from pipelines.registry.slot import Slot
from pipelines.tuning.candidate_size import CandidateSizes
from pipelines.tuning.search_space import SearchSpace, head_only, present_candidate
from pipelines.tuning.tuning_study import require_room
from tests.support.clips import two_speakers

DATASET: Any = SimpleNamespace(closed_set=False, units={})


def settings(name: str, **own: object) -> SlotSettings:
    slot = Slot("plant-a", name)
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


def test_each_head_has_its_sizes_in_the_space_and_a_heavy_one_is_replaced_if_it_does_not_fit() -> None:
    names = {"xvector": {"channels_log2"}, "mhfa": {"attention_heads_log2", "pooled_width_log2"}, "mfa": set()}
    for head, sizes in names.items():
        for task in ("asv", "ser"):
            if (task, head) == ("ser", "xvector"):
                continue
            chosen = settings(task, task={"head": head})
            space = SearchSpace(chosen, (0, 1, 2))
            assert sizes < space.distributions().keys(), "its sizes, and the kind of head"
            point = space.present_point()
            assert point is not None
            assert space.candidate(point) == present_candidate(chosen)
    heavy = settings("asv", task={"head": "xvector", "channels": 64, "embedding": 64})
    sizes = CandidateSizes(tiny_backbone(), Slot("plant-a", "asv"), DATASET, heavy, two_speakers())
    space, present = SearchSpace(heavy, (0, 1, 2)), sizes.count(present_candidate(heavy))
    least = space.shrunk(space.starting_points()[0], lambda candidate: sizes.count(candidate) < 10_000)
    assert least is not None
    assert space.candidate(least).task["head"] == "linear"
    assert ", head linear" in space.candidate(least).title
    fits = space.shrunk(space.starting_points()[0], lambda candidate: sizes.count(candidate) <= present // 4)
    assert fits is not None
    assert "head" not in space.candidate(fits).task
    require_room(space, sizes.count, present, present // 4)
    with pytest.raises(UsageError, match=r"the smallest configuration .* and 100 are allowed; .* --parameters 0\.01"):
        require_room(space, sizes.count, present, 100)


def test_a_starting_point_has_the_present_head_until_a_limit_makes_it_smaller() -> None:
    space = SearchSpace(settings("asr", task={"width": 256, "dilations": [1, 2, 4]}), (0, 1, 2))
    assert [space.candidate(point).task for point in space.starting_points()] == [{}, {}, {}]
    narrow = space.shrunk(space.starting_points()[0], lambda candidate: candidate.task.get("width") == 128)
    assert narrow is not None
    assert space.candidate(narrow).task == {"width": 128}, "with all dilations"


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
