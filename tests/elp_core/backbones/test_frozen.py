from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from elp_core.backbones import frozen
from elp_core.testing import tiny_backbone

ROWS, WIDTH, INNER = 7, 12, 20


def linear(inputs: int, outputs: int) -> nn.Linear:
    return nn.Linear(inputs, outputs).requires_grad_(False)


def same(found: torch.Tensor, expected: torch.Tensor, given: torch.Tensor) -> None:
    torch.testing.assert_close(found, expected, atol=1e-6, rtol=1e-6)
    weights = torch.randn_like(expected)
    ours, theirs = (torch.autograd.grad(out, given, weights)[0] for out in (found, expected))
    torch.testing.assert_close(ours, theirs, atol=1e-6, rtol=1e-6)


def test_several_projections_have_the_values_and_the_gradient_of_linear_layers() -> None:
    given, linears = torch.randn(ROWS, WIDTH, requires_grad=True), [linear(WIDTH, WIDTH) for _ in range(3)]
    found, expected = frozen.project(given, linears), [one(given) for one in linears]
    assert "Projections" in str(found[0].grad_fn)
    same(torch.cat(found, 1), torch.cat(expected, 1), given)


@pytest.mark.parametrize("family", ["wavlm", "hubert", "data2vec-audio"])
def test_a_feed_forward_block_has_the_value_and_the_gradient_of_its_module(family: str) -> None:
    module = tiny_backbone(family).layers[0].feed_forward
    given = torch.randn(2, ROWS, 24, requires_grad=True)
    found = frozen.feed_forward(module, given)
    assert "FeedForward" in str(found.grad_fn)
    same(found, module(given), given)


def test_what_learns_is_called_as_it_is() -> None:
    learning = nn.Linear(WIDTH, WIDTH)
    given = torch.randn(ROWS, WIDTH)
    found = frozen.project(given, [linear(WIDTH, WIDTH), learning])
    (gradient,) = torch.autograd.grad(found[1].sum(), learning.bias)
    torch.testing.assert_close(gradient, torch.full((WIDTH,), float(ROWS)))


def test_another_activation_is_kept() -> None:
    module = tiny_backbone("hubert", hidden_act="relu").layers[0].feed_forward
    given = torch.randn(ROWS, 24)
    expected = module.output_dense(F.relu(module.intermediate_dense(given)))
    torch.testing.assert_close(frozen.feed_forward(module, given), expected)


def test_a_module_that_somebody_listens_to_is_called() -> None:
    heard: list[str] = []
    one, module = linear(WIDTH, WIDTH), tiny_backbone().layers[0].feed_forward
    one.register_forward_hook(lambda *_: heard.append("linear"))
    module.output_dense.register_forward_pre_hook(lambda *_: heard.append("block"))
    frozen.project(torch.randn(ROWS, WIDTH), [one])
    frozen.feed_forward(module, torch.randn(ROWS, 24))
    assert heard == ["linear", "block"]


def test_only_the_activations_input_is_kept_for_backward() -> None:
    module = tiny_backbone().layers[0].feed_forward
    own = {parameter.data_ptr() for parameter in module.parameters()}
    kept: list[tuple[int, ...]] = []

    def note(tensor: torch.Tensor) -> torch.Tensor:
        kept.extend([tuple(tensor.shape)] if tensor.data_ptr() not in own else [])
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
        frozen.feed_forward(module, torch.randn(ROWS, 24, requires_grad=True))
    assert kept == [(ROWS, 32)]
