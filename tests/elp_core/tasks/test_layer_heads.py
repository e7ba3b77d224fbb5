"""Heads that weigh the layers themselves: their equations, padding, and every method under them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from elp_core.adapters.mixed import Part, mixed_frames
from elp_core.assemble import build
from elp_core.backbones import CNN
from elp_core.bundle import load_bundle, write_bundle
from elp_core.config import ElpConfig, EncoderAdapterConfig, LayerAdapterConfig, PromptConfig
from elp_core.errors import ConfigError
from elp_core.methods.config import METHODS, ConvConfig, DeepPromptConfig, MethodConfig, ParallelConfig
from elp_core.task_specs import LAYER_HEADS, ClassificationOptions, VerificationOptions
from elp_core.tasks import SpeechRecognition, make_task, task_from_json
from elp_core.tasks.layer_heads import FactorizedPooling, LayerAggregation, LayerAttentivePooling, layer_pooling
from elp_core.testing import tiny_backbone, waveform_batch
from tests.support.clips import two_speakers

CLIPS = [replace(clip, label=clip.text) for clip in two_speakers(2)]
E, L, P = EncoderAdapterConfig(6), LayerAdapterConfig(8), PromptConfig(2)
OPTIONS = {
    "asv": VerificationOptions(embedding=6, dropout=0.0, attention_heads=2, pooled_width=5),
    "ser": ClassificationOptions(0.0, attention_heads=2, pooled_width=5),
}
SMALL: dict[str, MethodConfig] = {
    **{name: method.config for name, method in METHODS.items()},
    "conv": ConvConfig(4, 8),
    "prefix": DeepPromptConfig(2),
    "inter": ParallelConfig(4, 6),
    "e": ElpConfig(E, None, None),
    "l": ElpConfig(None, L, None, tune_norms=False),
    "el": ElpConfig(E, L, None),
    "elp": ElpConfig(E, L, P),
}
each_head = pytest.mark.parametrize("head", LAYER_HEADS)


@pytest.mark.parametrize("name", SMALL)
def test_every_method_gives_its_layers_to_the_heads(name: str, tmp_path: Path) -> None:
    place = list(SMALL).index(name)
    head, task = LAYER_HEADS[place % 3], ("asv", "ser")[place // 3 % 2]
    made = make_task(task, CLIPS, replace(OPTIONS[task], head=head))
    model = build(tiny_backbone("wavlm", pre_norm=place % 3 == 0), SMALL[name], made, seed=0).eval()
    frames, counts = model(*waveform_batch([6000, 4000, 5000, 4500]))
    states = len(model.adapters.read)
    assert states in (3, 4)
    assert frames.shape[2] == states * (8 if name in ("l", "el", "elp") else 24)
    made.loss(model.head, frames, counts, made.targets(CLIPS)).backward()
    assert [n for n, p in model.trainable().items() if p.grad is None or not bool(p.grad.any())] == []
    write_bundle(tmp_path / "bundle", model, {}, {})
    again = load_bundle(tmp_path / "bundle", model.backbone)
    with torch.no_grad():
        assert torch.equal(again(*waveform_batch([6000, 4000]))[0], model(*waveform_batch([6000, 4000]))[0])


@each_head
@pytest.mark.parametrize("task", OPTIONS)
@torch.no_grad()
def test_padding_changes_no_answer_and_the_task_comes_back_from_json(head: str, task: str) -> None:
    made = make_task(task, CLIPS, replace(OPTIONS[task], head=head))
    assert task_from_json(made.to_json()) == made
    layered, frames = made.build_layer_head(3 * 8, 3).eval(), torch.randn(2, 9, 24)
    frames[1, 4:] = 0
    together = layered(frames, torch.tensor([9, 4]))
    torch.testing.assert_close(together[1:], layered(frames[1:, :4], torch.tensor([4])), atol=1e-5, rtol=1e-5)


@torch.no_grad()
def test_the_factorized_pooling_is_the_formula_of_its_paper() -> None:
    pooling, frames = FactorizedPooling(2 * 4, 2, 3, 5), torch.randn(1, 6, 8)
    pooling.key_weights.copy_(torch.tensor([1.0, -1.0]))
    first, second = frames[..., :4], frames[..., 4:]
    a = pooling.key_weights.softmax(0)
    keys = pooling.key(a[0] * first + a[1] * second)
    values = pooling.value((first + second) / 2)
    heads = [((keys @ row).softmax(1).unsqueeze(2) * values).sum(1) for row in pooling.score.weight]
    torch.testing.assert_close(pooling(frames, torch.tensor([6])), torch.cat(heads, 1))


@torch.no_grad()
def test_the_layer_attention_takes_the_largest_gated_layer_of_each_frame() -> None:
    pooling, frames = LayerAttentivePooling(3 * 4, 3, 2, 5, dropout=0.0).eval(), torch.randn(1, 2, 12)
    found = []
    for frame in frames[0]:
        states = pooling.mix(pooling.norm(frame.view(3, 4)))  # [L, D]
        halves = []
        for head, part in enumerate(states.split(2, dim=1)):

            def excited(summary: torch.Tensor, head: int = head) -> torch.Tensor:
                inner = torch.relu(summary @ pooling.squeeze[head] + pooling.squeeze_bias[head, 0])
                return inner @ pooling.excite[head] + pooling.excite_bias[head, 0]

            gate = torch.sigmoid(excited(part.mean(1)) + excited(part.max(1).values))
            halves.append((gate.unsqueeze(1) * part).max(0).values)
        found.append(pooling.projected_norm(pooling.project(torch.cat(halves))))
    expected = pooling.time(torch.stack(found)[None], torch.tensor([2]))
    torch.testing.assert_close(pooling(frames, torch.tensor([2])), expected)


@torch.no_grad()
def test_the_aggregation_is_statistics_pooling_over_all_layers_together() -> None:
    pooling, frames = LayerAggregation(3 * 4), torch.randn(1, 6, 12)
    pooling.norm.weight.normal_()
    normal = (frames - frames.mean(2, keepdim=True)) / (frames.var(2, unbiased=False, keepdim=True) + 1e-5).sqrt()
    x = normal * pooling.norm.weight + pooling.norm.bias
    weights = pooling.time.score(x).softmax(1)
    mean = (weights * x).sum(1)
    deviation = ((weights * x.square()).sum(1) - mean.square()).sqrt()
    torch.testing.assert_close(
        pooling(frames, torch.tensor([6])), torch.cat([mean, deviation], 1), atol=1e-4, rtol=1e-4
    )


def test_heads_that_do_not_divide_a_layer_are_refused() -> None:
    with pytest.raises(ConfigError, match="attention_heads is 3, expected a divisor of 8"):
        layer_pooling("lap", 16, 2, 3, 5, 0.0)
    with pytest.raises(ConfigError, match="head is 'max', expected one of mean, mhfa, lap, mfa"):
        ClassificationOptions(head="max")


@pytest.mark.parametrize("stack", [False, True])
@torch.no_grad()
def test_one_pass_mixes_them_with_other_heads(stack: bool) -> None:
    backbone = tiny_backbone("wavlm", pre_norm=True)
    layered, joined = (make_task("asv", CLIPS, replace(OPTIONS["asv"], head=head)) for head in ("mhfa", "mfa"))
    tasks = (layered, layered, SpeechRecognition(), joined)
    configs = (ElpConfig(E, L, P), ElpConfig(E, L, P), ElpConfig(E, L, P), ElpConfig(E, None, P))
    models = [build(backbone, c, t, seed=n).eval() for n, (c, t) in enumerate(zip(configs, tasks, strict=True))]
    parts = [Part(m.adapters, *backbone.features(*waveform_batch([5000, 3000], n))) for n, m in enumerate(models)]
    for model, part, got in zip(models, parts, mixed_frames(backbone, parts, stack), strict=True):
        torch.testing.assert_close(got, model.from_prefix(CNN, part.features, part.counts)[0], atol=1e-5, rtol=0)
