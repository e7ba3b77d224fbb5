from __future__ import annotations

import pytest
import torch
from torch.nn import Parameter

from elp_core.config import TrainConfig
from elp_core.training.optim import group_of, make_optimizer, set_rates

NAMES = {"head.letters.weight": "head", "l.0.down.weight": "layer", "l.weights": "layer", "e.0.up.bias": "encoder",
         "p.features": "encoder", "norm.0.final.weight": "encoder"}  # fmt: skip


def optimizer() -> torch.optim.Optimizer:
    sizes = {"head.letters.weight": (3, 2), "l.0.down.weight": (2, 2), "p.features": (5, 2)}
    return make_optimizer({n: Parameter(torch.ones(sizes.get(n, (2,)))) for n in NAMES}, TrainConfig(lr_head=4.0))


def test_each_tensor_has_its_group() -> None:
    assert {name: group_of(name) for name in NAMES} == NAMES


def test_only_matrices_decay() -> None:
    for group in optimizer().param_groups:
        assert group["weight_decay"] == (0.01 if group["params"][0].ndim > 1 else 0.0)


@pytest.mark.parametrize(("done", "factor"), [(0.0, 0.0), (0.05, 0.5), (0.1, 1.0), (0.55, 0.5), (1.0, 0.0)])
def test_rates_rise_and_fall(done: float, factor: float) -> None:
    rates = set_rates(optimizer(), done, 0.1)
    assert rates["head"] == pytest.approx(4.0 * factor)
    assert set(rates) == {"head", "layer", "encoder"}


def test_no_warm_up_starts_at_the_top() -> None:
    assert set_rates(optimizer(), 0.0, 0.0)["head"] == 4.0
