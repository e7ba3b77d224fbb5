from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from elp_core.assemble import build
from elp_core.backbones import CNN, Prefix, prefix_values, resume
from elp_core.config import (
    AugmentConfig,
    ElpConfig,
    EncoderAdapterConfig,
    LayerAdapterConfig,
    PromptConfig,
    TrainConfig,
)
from elp_core.methods.config import (
    BottleneckConfig,
    FullConfig,
    LoraConfig,
    MethodConfig,
    TopLayersConfig,
    WeightedSumConfig,
)
from elp_core.model import ElpModel
from elp_core.tasks import make_task
from elp_core.testing import tiny_backbone, waveform_batch
from elp_core.training import Silent, train
from elp_core.training.batches import TrainingBatches
from tests.support.clips import two_speakers

CLIPS, HELD_OUT = two_speakers(2), two_speakers(2, seed=1)
E, L = EncoderAdapterConfig(6), LayerAdapterConfig(10)
ELP = ElpConfig(E, L, PromptConfig(2))
L_ONLY = ElpConfig(None, L, None, tune_norms=False)
TOP_E = ElpConfig(EncoderAdapterConfig(6, layers=(2,)), L, None, tune_norms=False)
PREFIXES: list[tuple[MethodConfig, Prefix]] = [
    (ELP, CNN),
    (replace(ELP, prompt=None), Prefix((0,))),
    (L_ONLY, Prefix((1, 2, 3))),
    (replace(L_ONLY, layer=LayerAdapterConfig(10, layers=(0, 1))), Prefix((1, 2))),
    (TOP_E, Prefix((1, 2))),
    (replace(TOP_E, layer=None), Prefix((2,))),
    (FullConfig(), CNN),
    (TopLayersConfig(1), Prefix((2,))),
    (TopLayersConfig(3), Prefix((0,))),
    (WeightedSumConfig(), Prefix((0, 1, 2, 3))),
    (LoraConfig(), Prefix((0,))),
    (BottleneckConfig(4), Prefix((0,))),
]
PLAIN = AugmentConfig(speed=0.0, noise_probability=0.0, gain_db=0.0, time_mask=0.0, feature_mask=0.0, join=0.0)
CONFIG = TrainConfig(epochs=3, batch_seconds=1.0, min_steps=1, device="cpu", patience=0, augment=PLAIN)


def model(config: MethodConfig, family: str = "hubert", pre_norm: bool = False, task: str = "asr") -> ElpModel:
    return build(tiny_backbone(family, pre_norm), config, make_task(task, CLIPS), seed=0)


class Count(Silent):
    """Calls of the shared backbone's CNN and layers, and optimizer steps."""

    def __init__(self, of: ElpModel) -> None:
        self.calls: Counter[str] = Counter()
        self.steps = 0
        self._hear("cnn", of.backbone.feature_extractor)
        for number, layer in enumerate(of.backbone.layers):
            self._hear(str(number), layer.get_submodule("attention.q_proj"))

    def _hear(self, name: str, module: torch.nn.Module) -> None:
        module.register_forward_hook(lambda *_: self.calls.update([name]))

    def on_step(self, step: int, total: int, loss: float, rates: Mapping[str, float]) -> None:
        self.steps += 1


@pytest.mark.parametrize(("config", "prefix"), PREFIXES)
def test_a_model_says_where_its_untouched_prefix_ends(config: MethodConfig, prefix: Prefix) -> None:
    made = model(config)
    assert made.prefix == prefix
    made.detach()
    assert made.prefix == Prefix((3,))


@pytest.mark.parametrize(("family", "pre_norm"), [("wavlm", False), ("wavlm", True), ("hubert", True)])
@pytest.mark.parametrize("config", [config for config, _ in PREFIXES])
@torch.no_grad()
def test_going_on_from_the_prefix_is_going_through(config: MethodConfig, family: str, pre_norm: bool) -> None:
    made = model(config, family, pre_norm).eval()
    waveforms, lengths = waveform_batch([6000, 4000])
    features, counts = made.backbone.features(waveforms, lengths)
    values = prefix_values(made.backbone, made.prefix, features, counts)
    again, _ = made.from_prefix(made.prefix, values, counts)
    assert torch.equal(again, made(waveforms, lengths)[0])


@pytest.mark.parametrize("config", [ELP, replace(ELP, prompt=None), L_ONLY, TOP_E, LoraConfig()])
def test_a_run_never_depends_on_what_was_kept(config: MethodConfig, tmp_path: Path) -> None:
    kept, cold, warm = (model(config, "wavlm") for _ in range(3))
    # all three are listened to: a layer with a hook is called on its own, and rounds otherwise
    calls = [Count(one) for one in (kept, cold, warm)]
    train(kept, CLIPS, HELD_OUT, CONFIG, calls[0])
    train(cold, CLIPS, HELD_OUT, CONFIG, calls[1], cache=tmp_path)
    train(warm, CLIPS, HELD_OUT, CONFIG, calls[2], cache=tmp_path)
    assert calls[2].calls["cnn"] == 0
    for other in (cold, warm):
        assert all(torch.equal(value, other.state()[name]) for name, value in kept.state().items())


def test_copies_of_clips_are_kept_too_and_joined_ones_are_the_same(tmp_path: Path) -> None:
    varied = replace(CONFIG, augment=replace(AugmentConfig(), variants=2))
    runs = [model(ELP) for _ in range(3)]
    for run, cache in zip(runs, (None, tmp_path, tmp_path), strict=True):
        train(run, CLIPS, HELD_OUT, varied, cache=cache)
    assert all(torch.equal(value, run.state()[name]) for name, value in runs[0].state().items() for run in runs)
    assert len(list(tmp_path.rglob("*.safetensors"))) == 2 * len(CLIPS) + len(HELD_OUT)


ONCE = len(CLIPS) + len(HELD_OUT)


@pytest.mark.parametrize(
    ("config", "calls"),
    [
        (L_ONLY, [ONCE, ONCE, ONCE]),
        (WeightedSumConfig(), [ONCE, ONCE, ONCE]),
        (TopLayersConfig(1), [ONCE, ONCE, 0]),  # a copy runs in the place of the last
        (LoraConfig(), [0, 0, 0]),
    ],
)
def test_frozen_layers_run_once_for_each_clip(config: MethodConfig, calls: list[int]) -> None:
    trained = model(config, "wavlm")
    heard = Count(trained)
    train(trained, CLIPS, HELD_OUT, replace(CONFIG, epochs=5), heard)
    assert heard.steps > ONCE
    assert [heard.calls[name] for name in ("cnn", "0", "1", "2")] == [ONCE, *calls]


def test_an_adapter_in_the_top_layer_runs_only_that() -> None:
    trained = model(TOP_E, "wavlm")
    heard = Count(trained)
    train(trained, CLIPS, HELD_OUT, replace(CONFIG, epochs=5), heard)
    assert [heard.calls[name] for name in ("cnn", "0", "1")] == [ONCE] * 3
    assert heard.calls["2"] > heard.steps > ONCE


@pytest.mark.parametrize(("config", "prefix"), PREFIXES)
def test_nothing_is_kept_for_backward_below_the_first_adapter(config: MethodConfig, prefix: Prefix) -> None:
    made = model(config, "wavlm").train()
    waveforms, lengths = waveform_batch([6000, 4000])
    features, counts = made.backbone.features(waveforms, lengths)
    kept = 0

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        nonlocal kept
        kept += 1
        return tensor

    network = made.adapters.network(made.backbone)
    if prefix.states:
        values = prefix_values(made.backbone, prefix, features, counts)
        states = resume(network, prefix, values, counts, made.adapters)
        with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
            untouched = [next(states) for _ in range(prefix.states[-1] + 1)]
        assert kept == 0
        assert not any(state.requires_grad for state in untouched)
    frames, _ = made(waveforms, lengths)
    assert frames.requires_grad


@pytest.mark.parametrize("part", ["time_mask", "feature_mask", "join"])
@pytest.mark.parametrize("task", ["asr", "asv"])
def test_what_is_made_anew_in_the_features_ends_the_prefix_there(part: str, task: str) -> None:
    made = model(L_ONLY, task=task)
    config = replace(CONFIG, augment=replace(PLAIN, **{part: 0.5}))
    ends = TrainingBatches(CLIPS, made.task, made.backbone, config, made.prefix).prefix
    assert ends == (made.prefix if part == "join" and task == "asv" else CNN)
