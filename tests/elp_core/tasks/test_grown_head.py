from __future__ import annotations

from dataclasses import dataclass

import pytest
import torch
from torch import nn

from elp_core.errors import ConfigError
from elp_core.languages import Units
from elp_core.task_specs import RecognitionOptions
from elp_core.tasks import Task, make_task
from elp_core.tasks.asr import SpeechRecognition
from elp_core.tasks.grown_head import start_head_from
from tests.support.clips import two_speakers


@dataclass
class Model:
    task: Task
    head: nn.Module


def model(letters: str, width: int = 8, seed: int = 0, kind: str = "characters") -> Model:
    task = SpeechRecognition(Units(kind, tuple(letters)), RecognitionOptions(width=width, dropout=0.0))
    torch.manual_seed(seed)
    return Model(task, task.build_head(6))


def test_shared_units_keep_their_logits_at_their_new_places() -> None:
    known, grown = model("東京"), model("京大東", seed=1)
    fresh = model("京大東", seed=1)
    assert start_head_from(grown, known) == ("大",)
    frames, counts = torch.randn(1, 9, 6), torch.tensor([9])
    before, after = (one.head.eval()(frames, counts)[0] for one in (known, grown))
    torch.testing.assert_close(after[:, [0, 1, 3]], before[:, [0, 2, 1]])
    rows = "letters.weight"
    assert torch.equal(grown.head.state_dict()[rows][2], fresh.head.state_dict()[rows][2])


def test_of_another_width_nothing_but_fitting_tensors_is_copied() -> None:
    known, grown, fresh = model("東京", width=8), model("東京", width=4, seed=1), model("東京", width=4, seed=1)
    start_head_from(grown, known)
    own, untouched, given = (one.head.state_dict() for one in (grown, fresh, known))
    assert torch.equal(own["letters.bias"], given["letters.bias"])
    assert torch.equal(own["letters.weight"], untouched["letters.weight"])
    assert torch.equal(own["down.weight"], untouched["down.weight"])


def test_units_of_another_kind_and_other_tasks_are_refused() -> None:
    with pytest.raises(ConfigError, match="kind letters cannot start from the kind characters"):
        start_head_from(model("ab", kind="letters"), model("ab"))
    other = make_task("asv", two_speakers(1))
    with pytest.raises(ConfigError, match="asr and asv do not both write units"):
        start_head_from(model("ab"), Model(other, other.build_head(6)))
