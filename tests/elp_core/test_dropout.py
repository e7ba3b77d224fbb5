from __future__ import annotations

import pytest
import torch

from elp_core.dropout import Dropout, drop


@pytest.mark.parametrize("probability", [0.1, 0.5, 0.9])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_its_share_is_zero_and_the_mean_stays(probability: float, dtype: torch.dtype) -> None:
    values = torch.ones(1001, 301, dtype=dtype)
    found = drop(values, probability, training=True)
    assert found.dtype == dtype
    assert float((found == 0).double().mean()) == pytest.approx(probability, abs=0.005)
    assert float(found.double().mean()) == pytest.approx(1.0, abs=0.02)
    assert found[found != 0].unique().numel() == 1


def test_neighbours_are_dropped_apart() -> None:
    gone = (drop(torch.ones(400_000), 0.3, training=True) == 0).double().view(-1, 4)
    assert torch.allclose(torch.corrcoef(gone.T), torch.eye(4, dtype=torch.float64), atol=0.02)
    assert torch.allclose(gone.mean(0), torch.full((4,), 0.3, dtype=torch.float64), atol=0.01)


def test_the_gradient_goes_where_values_stayed_and_a_seed_repeats_it() -> None:
    values = torch.randn(7, 33, requires_grad=True)
    torch.manual_seed(3)
    first = drop(values, 0.4, training=True)
    first.sum().backward()
    torch.manual_seed(3)
    assert torch.equal(Dropout(0.4).train()(values), first)
    assert values.grad is not None
    assert torch.equal(values.grad == 0, first == 0)


@pytest.mark.parametrize(("probability", "training"), [(0.0, True), (0.4, False)])
def test_nothing_is_dropped_where_nothing_should_be(probability: float, training: bool) -> None:
    values = torch.randn(5, 9)
    assert torch.equal(drop(values, probability, training), values)
