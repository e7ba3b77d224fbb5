from __future__ import annotations

import math

import pytest
import torch

from elp_core.adapters import INITIAL_GAIN, ElpAdapters
from elp_core.adapters.parts import EncoderAdapter
from elp_core.backbones import Backbone
from elp_core.backbones.families import make_config, make_model
from elp_core.config import ElpConfig, EncoderAdapterConfig, LayerAdapterConfig, PromptConfig
from elp_core.errors import ConfigError
from elp_core.testing import tiny_backbone

OFF = ElpConfig(encoder=None, layer=None, prompt=None, tune_norms=False)


def _count(adapters: ElpAdapters, part: str = "") -> int:
    return sum(p.numel() for name, p in adapters.named_parameters() if name.startswith(part))


@pytest.mark.parametrize("family", ["wav2vec2", "hubert", "wavlm", "data2vec-audio", "unispeech-sat"])
def test_base_size_has_the_published_number_of_parameters(family: str) -> None:
    config = make_config({"model_type": family}, "base")
    backbone = Backbone(make_model(config, "meta"), config, "base", False, {})
    with torch.device("meta"):
        adapters = ElpAdapters(backbone, ElpConfig(prompt=None))
    assert (_count(adapters, "e."), _count(adapters, "l."), _count(adapters, "norm.")) == (4_353_536, 4_737_036, 36_864)
    assert _count(adapters) == 9_127_436


def test_tensors_have_the_names_of_the_bundle() -> None:
    config = ElpConfig(EncoderAdapterConfig(layers=(1,)), LayerAdapterConfig(layers=(0, 1)), PromptConfig(2))
    names = {name.rpartition(".")[0] for name in ElpAdapters(tiny_backbone(), config).state_dict()}
    expected = {"e.1.down", "e.1.up", "e.1.norm", "l", "p", *(f"l.{i}.{x}" for i in (0, 1) for x in ("down", "norm"))}
    assert names == expected | {f"norm.{i}.{x}" for i in (0, 1) for x in ("attention", "final")}


def test_by_default_every_layer_but_the_last_has_an_e_adapter() -> None:
    adapters = ElpAdapters(tiny_backbone(), ElpConfig())
    assert (sorted(adapters.e), adapters.l.layers if adapters.l else None) == (["0", "1"], (0, 1, 2))
    assert sorted(adapters.norm) == ["0", "1", "2"]


def test_layers_that_nothing_depends_on_get_nothing() -> None:
    adapters = ElpAdapters(tiny_backbone(), ElpConfig(layer=LayerAdapterConfig(layers=(0,))))
    assert (sorted(adapters.e), sorted(adapters.norm)) == (["0"], ["0"])


def test_all_parts_can_be_switched_off() -> None:
    assert _count(ElpAdapters(tiny_backbone(), OFF)) == 0


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (ElpConfig(encoder=EncoderAdapterConfig(layers=(3,))), r"encoder.layers is \[3\], expected .* 0 to 2"),
        (ElpConfig(encoder=EncoderAdapterConfig(layers=())), r"encoder.layers is \[\], expected"),
        (ElpConfig(layer=LayerAdapterConfig(layers=(0, 0))), r"layer.layers is \[0, 0\], expected different"),
        (ElpConfig(layer=LayerAdapterConfig(layers=(-1,))), r"layer.layers is \[-1\], expected"),
        (
            ElpConfig(EncoderAdapterConfig(layers=(2,)), LayerAdapterConfig(layers=(0, 1))),
            r"encoder.layers names \[2\], but the L-adapter sums no layer from there on",
        ),
    ],
)
def test_layers_that_do_not_fit_the_backbone_are_refused(config: ElpConfig, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        ElpAdapters(tiny_backbone(), config)


def test_a_fresh_e_adapter_adds_no_more_than_its_gain_allows() -> None:
    adapter = EncoderAdapter(24, 8, "gelu", 0.0)
    outcome = 100 * torch.randn(50, 24)
    added = (adapter(outcome) - outcome).double().norm(dim=1)
    assert float(added.min().detach()) > 0
    assert float(added.max().detach()) <= INITIAL_GAIN * math.sqrt(24) * 1.001


def test_mixing_weights_start_uniform() -> None:
    adapters = ElpAdapters(tiny_backbone(), ElpConfig())
    assert adapters.l is not None
    assert adapters.l.weights.softmax(0).tolist() == pytest.approx([1 / 3] * 3)


def test_tuned_norms_start_as_the_backbones_own_and_share_no_memory() -> None:
    backbone = tiny_backbone()
    adapters = ElpAdapters(backbone, ElpConfig())
    own, tuned = backbone.layers[1].final_layer_norm.weight, adapters.norm["1"].get_parameter("final.weight")
    assert torch.equal(own, tuned)
    assert own.data_ptr() != tuned.data_ptr()
    assert (own.requires_grad, tuned.requires_grad) == (False, True)


@pytest.mark.parametrize("drop", [0.0, 0.5])
def test_dropout_acts_in_training_only(drop: float) -> None:
    adapter = EncoderAdapter(24, 8, "relu", drop)
    outcome = torch.randn(5, 24)
    assert torch.equal(adapter(outcome), adapter(outcome)) is (drop == 0.0)
    adapter.eval()
    assert torch.equal(adapter(outcome), adapter(outcome))
