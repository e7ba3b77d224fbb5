"""Heads and scores of speaker verification, over every choice there is."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from elp_core.errors import ConfigError, CorpusError
from elp_core.task_specs import VerificationOptions
from elp_core.tasks import Comparing, make_task, task_from_json
from elp_core.tasks.asv import SpeakerVerification
from elp_core.tasks.pooling import masked_statistics
from elp_core.tasks.speaker_heads import LinearSpeakerHead, SpeakerHead, Tdnn, XVectorHead
from tests.support.clips import two_speakers

HEADS = {"attentive": SpeakerHead, "linear": LinearSpeakerHead, "xvector": XVectorHead}
OPTIONS = [VerificationOptions(head=name, embedding=16, channels=12, dropout=0.0) for name in HEADS]
each_head = pytest.mark.parametrize("options", OPTIONS, ids=lambda options: options.head)


def _task(options: VerificationOptions) -> SpeakerVerification:
    return SpeakerVerification(("anna", "bert"), options)


@each_head
def test_the_options_choose_the_head_and_every_tensor_of_it_learns(options: VerificationOptions) -> None:
    task = _task(options)
    head = task.build_head(8)
    assert type(head) is HEADS[options.head]
    task.loss(head, torch.randn(4, 7, 8), torch.tensor([7, 5, 7, 1]), torch.tensor([0, 1, 0, 1])).backward()
    assert all(bool(parameter.grad.any()) for parameter in head.parameters())


@each_head
def test_a_clip_alone_and_in_a_padded_batch_have_one_embedding(options: VerificationOptions) -> None:
    head, frames = _task(options).build_head(8).eval(), torch.randn(3, 9, 8)
    counts = torch.tensor([9, 4, 1])
    frames[1, 4:] = frames[2, 1:] = 0
    together = head(frames, counts)
    alone = torch.cat(
        [head(row[None, :count], torch.tensor([count])) for row, count in zip(frames, [9, 4, 1], strict=True)]
    )
    assert torch.allclose(together, alone, atol=1e-5)
    assert torch.allclose(together.norm(dim=1), torch.ones(3), atol=1e-5)


@each_head
def test_a_task_comes_back_from_json_with_its_threshold(options: VerificationOptions) -> None:
    task = _task(options)
    settled = task.decide_at(task.evaluate(_outputs(), two_speakers(2)))
    assert settled.threshold is not None
    for each in (task, settled):
        assert task_from_json(each.to_json()) == each


def test_the_x_vector_hears_seven_frames_to_either_side() -> None:
    head = XVectorHead(4, 8, 2, dropout=0.0, channels=6).eval()
    frames = torch.randn(1, 41, 4)
    moved = frames.clone()
    moved[0, 20] += 1
    one, other = frames, moved
    for layer in head.layers:
        one, other = layer(one), layer(other)
    touched = ((one - other).abs().sum(2) > 0).nonzero()[:, 1]
    assert (int(touched.min()), int(touched.max())) == (13, 27)


def test_a_time_delay_layer_is_an_affine_map_of_spliced_frames() -> None:
    layer, frames = Tdnn(3, 5, 3, 2), torch.randn(1, 9, 3)
    spliced = torch.stack([frames[0, at] for at in (2, 4, 6)], dim=1)  # [3, context]
    expected = layer.norm(torch.relu((layer.conv.weight * spliced).sum((1, 2)) + layer.conv.bias))
    assert torch.allclose(layer(frames)[0, 4], expected, atol=1e-5)


def test_the_embedding_is_of_mean_and_deviation() -> None:
    head, frames = XVectorHead(4, 8, 2, dropout=0.0, channels=6).eval(), torch.randn(1, 12, 4)
    hidden = frames
    for layer in head.layers:
        hidden = layer(hidden)
    expected = torch.nn.functional.normalize(head.embedding(masked_statistics(hidden, torch.tensor([12]))), dim=1)
    assert torch.allclose(head(frames, torch.tensor([12])), expected, atol=1e-6)


def _outputs() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    made = {}
    for clip in two_speakers(2):
        point = rng.standard_normal(16) + (3 if clip.speaker == "anna" else -3)
        made[clip.id] = (point / np.linalg.norm(point)).astype(np.float32)
    return made


@pytest.mark.parametrize("point", ["eer", "min_dcf"])
def test_the_operating_point_chooses_the_threshold(point: str) -> None:
    task = _task(VerificationOptions(embedding=16, operating_point=point))
    found = task.evaluate(_outputs(), two_speakers(2))
    name = {"eer": "threshold", "min_dcf": "min_dcf_threshold"}[point]
    assert task.decide_at(found).threshold == found.extra[name]


def test_several_recordings_enrol_a_speaker_and_the_threshold_decides() -> None:
    task, outputs, clips = _task(OPTIONS[0]), _outputs(), two_speakers(2)
    assert isinstance(task, Comparing)
    anna, bert = ([outputs[c.id] for c in clips if c.speaker == name] for name in ("anna", "bert"))
    settled = task.decide_at(task.evaluate(outputs, clips))
    head = settled.build_head(8)
    assert settled.compare(head, anna, anna[0]).accepted
    assert not settled.compare(head, anna, bert[0]).accepted
    assert task.compare(head, anna, bert[0]).accepted is None
    with pytest.raises(CorpusError, match="and the other 3; expected both from one adapter"):
        task.compare(head, anna, bert[0][:3])
    some = np.random.default_rng(1).standard_normal((50, 16))
    same = [task.compare(head, [one], one).score for one in some]
    assert max(same) == 1.0, "rounding makes no cosine above 1"


def test_normalised_scores_lean_on_the_training_speakers() -> None:
    task = _task(VerificationOptions(embedding=16, score_norm="adaptive"))
    head, outputs, clips = task.build_head(8), _outputs(), two_speakers(2)
    plain = _task(OPTIONS[0]).evaluate(outputs, clips)
    normalised = task.evaluate(outputs, clips, head)
    assert normalised.scores.scores.tolist() != plain.scores.scores.tolist()
    pair = task.compare(head, [outputs[clips[0].id]], outputs[clips[1].id])
    assert pair.score == pytest.approx(normalised.scores.scores[0], rel=1e-4)
    with pytest.raises(CorpusError, match="need the head that gave the embeddings"):
        task.evaluate(outputs, clips)


def test_options_of_another_task_are_refused() -> None:
    with pytest.raises(ConfigError, match="asr takes RecognitionOptions, got VerificationOptions"):
        make_task("asr", two_speakers(), VerificationOptions())
