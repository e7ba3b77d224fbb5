from __future__ import annotations

import pytest
import torch

from elp_core.errors import ConfigError
from elp_core.tasks import TASKS, make_task, task_from_json
from tests.support.clips import two_speakers


@pytest.mark.parametrize("name", sorted(TASKS))
def test_each_task_learns_answers_and_scores(name: str) -> None:
    clips = two_speakers(2)
    task = make_task(name, clips)
    head = task.build_head(8)
    frames, counts = torch.randn(4, 12, 8, requires_grad=True), torch.tensor([12, 9, 12, 8])
    task.loss(head, frames, counts, task.targets(clips)).backward()
    assert all(parameter.grad is not None for parameter in head.parameters())
    assert frames.grad is not None
    assert not frames.grad[1, 9:].any()
    answers = task.predict(head.eval(), frames, counts)
    assert task.evaluate({c.id: a for c, a in zip(clips, answers, strict=True)}, clips).value >= 0
    assert task_from_json(task.to_json()) == task


def test_unknown_tasks_and_broken_records_are_refused() -> None:
    with pytest.raises(ConfigError, match="'tts' is no task, expected one of asr, asv"):
        make_task("tts", [])
    with pytest.raises(ConfigError, match="'None' is no task"):
        task_from_json({})
    with pytest.raises(ConfigError, match="asv: KeyError"):
        task_from_json({"name": "asv"})
