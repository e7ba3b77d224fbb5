from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from elp_core.errors import CorpusError
from elp_core.task_specs import VerificationOptions
from elp_core.tasks import make_task, task_from_json
from elp_core.tasks.asv import SpeakerVerification
from elp_core.tasks.pooling import AttentivePooling
from elp_core.tasks.speaker_heads import aam_softmax
from tests.support.clips import clip, tone, two_speakers

TASK = SpeakerVerification(("anna", "bert"), VerificationOptions(embedding=16, dropout=0.0))


def test_the_loss_is_softmax_with_an_angle_added() -> None:
    cosines = torch.tensor([[0.8, 0.1, -0.3], [0.2, -0.5, 0.6]])
    labels = torch.tensor([0, 2])
    expected = 0.0
    for row, label in zip(cosines.tolist(), labels.tolist(), strict=True):
        logits = [30 * (math.cos(math.acos(c) + 0.2) if k == label else c) for k, c in enumerate(row)]
        expected += math.log(sum(map(math.exp, logits))) - logits[label]
    assert float(aam_softmax(cosines, labels)) == pytest.approx(expected / 2, rel=1e-4)


def test_the_loss_falls_all_the_way_to_the_right_direction() -> None:
    cosines = torch.linspace(-1, 1, 101).unsqueeze(1)
    pairs = torch.cat([cosines, torch.zeros(101, 1)], dim=1)
    losses = torch.stack([aam_softmax(pair.unsqueeze(0), torch.tensor([0])) for pair in pairs])
    assert bool((losses.diff() <= 1e-6).all())


def test_the_gradient_is_finite_at_the_ends() -> None:
    cosines = torch.tensor([[1.0, 0.0], [-1.0, 0.0]], requires_grad=True)
    aam_softmax(cosines, torch.tensor([0, 0])).backward()
    assert bool(torch.isfinite(cosines.grad).all())


def test_padding_has_no_part_in_pooling() -> None:
    pooling, frames = AttentivePooling(6), torch.randn(1, 9, 6)
    alone = pooling(frames[:, :5], torch.tensor([5]))
    assert torch.allclose(pooling(frames, torch.tensor([5])), alone, atol=1e-6)


def test_uniform_attention_gives_mean_and_deviation() -> None:
    pooling, frames = AttentivePooling(6), torch.randn(1, 9, 6)
    torch.nn.init.zeros_(pooling.score[2].weight)
    expected = torch.cat([frames.mean(1), frames.std(1, correction=0)], dim=1)
    assert torch.allclose(pooling(frames, torch.tensor([9])), expected, atol=1e-5)


def test_embeddings_have_unit_length() -> None:
    found = TASK.predict(TASK.build_head(8), torch.randn(3, 7, 8), torch.tensor([7, 2, 1]))
    assert [vector.dtype for vector in found] == [np.float32] * 3
    assert np.linalg.norm(found, axis=1) == pytest.approx(1.0, abs=1e-5)


def test_every_tensor_of_the_head_learns() -> None:
    head = TASK.build_head(8)
    TASK.loss(head, torch.randn(4, 7, 8), torch.full((4,), 7), torch.tensor([0, 1, 0, 1])).backward()
    assert all(bool(parameter.grad.any()) for parameter in head.parameters())


def test_trials_are_all_pairs_by_cosine() -> None:
    clips = two_speakers(2)
    outputs = {c.id: np.array([1.0, 0.0] if c.speaker == "anna" else [0.0, 1.0], np.float32) for c in clips}
    result = TASK.evaluate(outputs, clips)
    assert (result.metric, result.value) == ("eer", 0.0)
    assert result.extra["trials"] == 6
    assert sorted(set(result.scores.scores.tolist())) == [0.0, 1.0]


def test_json_round_trip() -> None:
    assert task_from_json(TASK.to_json()) == TASK


def test_speakers_must_be_known() -> None:
    assert make_task("asv", two_speakers()).to_json()["speakers"] == ["anna", "bert"]
    with pytest.raises(CorpusError, match="have no speaker"):
        make_task("asv", [clip(tone())])
    with pytest.raises(CorpusError, match="the number of speakers in the training clips is 1, expected 2 or more"):
        make_task("asv", two_speakers()[::2])
    with pytest.raises(CorpusError, match="speakers that are not among the 2 of this task: 'carl'"):
        TASK.targets([clip(tone(), speaker="carl")])
    with pytest.raises(CorpusError, match="trials need two or more"):
        TASK.evaluate({}, [clip(tone())])
