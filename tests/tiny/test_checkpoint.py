from pathlib import Path

import pytest
import torch

from tiny import checkpoint
from tiny.checkpoint import Position
from tiny.network import MaskedPredictor, configure
from tiny.settings import Recipe, RecipeError
from tiny.train import make_optimiser


def trained(recipe: Recipe) -> tuple[MaskedPredictor, torch.optim.AdamW]:
    model = MaskedPredictor(configure(recipe.network), 5)
    optimiser = make_optimiser(model, recipe.training)
    model(torch.randn(1, 6000), torch.zeros(1, 18, dtype=torch.bool)).sum().backward()
    optimiser.step()
    return model, optimiser


def test_weights_moments_and_position_come_back(recipe: Recipe, tmp_path: Path) -> None:
    model, optimiser = trained(recipe)
    checkpoint.save(tmp_path / "c.safetensors", model, optimiser, Position(7, 1.5))
    other, others = trained(recipe)
    assert checkpoint.load(tmp_path / "c.safetensors", other, others) == Position(7, 1.5)
    for mine, yours in zip(model.parameters(), other.parameters(), strict=True):
        assert torch.equal(mine, yours)
        for name in ("exp_avg", "exp_avg_sq", "step"):
            assert torch.equal(optimiser.state[mine][name], others.state[yours][name])


def test_a_cut_checkpoint_is_refused(recipe: Recipe, tmp_path: Path) -> None:
    model, optimiser = trained(recipe)
    checkpoint.save(tmp_path / "c.safetensors", model, optimiser, Position(7, 1.5))
    whole = (tmp_path / "c.safetensors").read_bytes()
    (tmp_path / "c.safetensors").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(RecipeError, match="is no checkpoint of this model"):
        checkpoint.load(tmp_path / "c.safetensors", model, optimiser)


def test_the_backbone_alone_moves_to_a_model_with_another_head(recipe: Recipe, tmp_path: Path) -> None:
    model, optimiser = trained(recipe)
    checkpoint.save(tmp_path / "c.safetensors", model, optimiser, Position(0, 0.0))
    other = MaskedPredictor(configure(recipe.network), 9)
    checkpoint.load_weights(tmp_path / "c.safetensors", other)
    assert torch.equal(other.backbone.masked_spec_embed, model.backbone.masked_spec_embed)
    assert other.head.out_features == 9
