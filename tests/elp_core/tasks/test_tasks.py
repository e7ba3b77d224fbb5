from __future__ import annotations

import pytest
import torch

from elp_core.errors import ConfigError
from elp_core.task_specs import TASKS
from elp_core.tasks import make_task, task_from_json
from tests.support.clips import two_speakers

COUNTS = [12, 9, 12, 8]


def padded_frames() -> torch.Tensor:
    """Random frames [4, 12, 8], zero beyond each clip's own, as a model gives them."""
    frames = torch.randn(4, 12, 8)
    for row, count in zip(frames, COUNTS, strict=True):
        row[count:] = 0
    return frames


@pytest.mark.parametrize("name", sorted(TASKS))
def test_each_task_learns_answers_and_scores(name: str) -> None:
    clips = two_speakers(2)
    task = make_task(name, clips)
    head, frames, counts = task.build_head(8), padded_frames().requires_grad_(), torch.tensor(COUNTS)
    task.loss(head, frames, counts, task.targets(clips)).backward()
    assert all(parameter.grad is not None for parameter in head.parameters())
    assert frames.grad is not None
    answers = task.predict(head.eval(), frames, counts)
    assert task.evaluate({c.id: a for c, a in zip(clips, answers, strict=True)}, clips).value >= 0
    assert task_from_json(task.to_json()) == task


@pytest.mark.parametrize("name", sorted(TASKS))
def test_padding_has_no_part_in_a_loss(name: str) -> None:
    clips = two_speakers(2)
    task = make_task(name, clips)
    head, frames = task.build_head(8).eval(), padded_frames()
    alone = [
        task.loss(head, row[None, :count], torch.tensor([count]), task.targets([clip]))
        for row, count, clip in zip(frames, COUNTS, clips, strict=True)
    ]
    together = task.loss(head, frames, torch.tensor(COUNTS), task.targets(clips))
    assert together.item() == pytest.approx(torch.stack(alone).mean().item(), rel=1e-5)


def test_unknown_tasks_and_broken_records_are_refused() -> None:
    with pytest.raises(ConfigError, match="'tts' is no task, expected one of asr, asv, ser, sic"):
        make_task("tts", [])
    with pytest.raises(ConfigError, match="'None' is no task"):
        task_from_json({})
    with pytest.raises(ConfigError, match="asv: KeyError"):
        task_from_json({"name": "asv"})
