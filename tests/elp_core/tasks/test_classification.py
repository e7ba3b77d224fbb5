from __future__ import annotations

import math

import pytest
import torch

from elp_core.errors import ConfigError, CorpusError
from elp_core.task_specs import ClassificationOptions
from elp_core.tasks import EmotionRecognition, IntentClassification, make_task, task_from_json
from elp_core.tasks.classification import ClassHead
from elp_core.tasks.pooling import masked_mean, masked_statistics
from tests.support.clips import clip, tone, two_speakers

KINDS = (EmotionRecognition, IntentClassification)
CLIPS = [clip(tone(0.1), label="sad"), clip(tone(0.2), label="glad"), clip(tone(0.3), label="sad")]


def test_the_loss_is_cross_entropy_by_its_definition() -> None:
    task, head, frames = make_task("ser", CLIPS), ClassHead(8, 2, 0.0), torch.randn(2, 5, 8)
    counts = torch.tensor([5, 3])
    logits = [head.classes(row[:count].mean(0)).tolist() for row, count in zip(frames, counts, strict=True)]
    places = [1, 0]  # classes are sorted: glad, sad
    expected = [math.log(sum(map(math.exp, row))) - row[place] for row, place in zip(logits, places, strict=True)]
    loss = task.loss(head, frames, counts, task.targets(CLIPS[:2]))
    assert loss.item() == pytest.approx(sum(expected) / 2, rel=1e-5)


def test_statistics_are_over_a_clips_own_frames() -> None:
    frames, counts = torch.randn(2, 6, 4), torch.tensor([6, 2])
    assert torch.allclose(masked_mean(frames, counts)[1], frames[1, :2].mean(0), atol=1e-6)
    expected = torch.cat([frames[1, :2].mean(0), frames[1, :2].std(0, correction=0)])
    assert torch.allclose(masked_statistics(frames, counts)[1], expected, atol=1e-5)


@pytest.mark.parametrize("kind", KINDS)
def test_the_answer_is_the_likeliest_class(kind: type[EmotionRecognition]) -> None:
    task, head = kind(("glad", "sad")), ClassHead(2, 2, 0.0)
    with torch.no_grad():
        head.classes.weight.copy_(torch.eye(2))
        head.classes.bias.zero_()
    frames = torch.tensor([[[0.0, 1.0]], [[1.0, 0.0]]])
    assert task.predict(head, frames, torch.tensor([1, 1])) == ["sad", "glad"]


def test_a_label_that_was_never_learned_is_an_error_in_evaluation_and_refused_in_training() -> None:
    task, strange = make_task("sic", CLIPS), clip(tone(0.4), label="angry")
    found = task.evaluate({CLIPS[0].id: "sad", strange.id: "sad"}, [CLIPS[0], strange])
    assert (found.metric, found.value) == ("error_rate", 0.5)
    with pytest.raises(CorpusError, match="not among the 2 of this task: 'angry'"):
        task.targets([strange])


@pytest.mark.parametrize("name", ["ser", "sic"])
def test_json_keeps_the_order_of_the_classes_and_the_options(name: str) -> None:
    task = make_task(name, two_speakers(), ClassificationOptions(dropout=0.3))
    assert task.to_json() == {"name": name, "classes": ["agree", "refuse"], "dropout": 0.3}
    assert task_from_json(task.to_json()) == task


def test_labels_must_be_there() -> None:
    with pytest.raises(CorpusError, match="1 of the training clips have no label"):
        make_task("ser", [clip(tone())])
    with pytest.raises(CorpusError, match="the number of classes in the training clips is 1, expected 2 or more"):
        make_task("sic", CLIPS[::2])
    with pytest.raises(CorpusError, match="1 of 1 clips have no label"):
        make_task("sic", CLIPS).evaluate({}, [clip(tone())])
    with pytest.raises(ConfigError, match="unknown key margin"):
        task_from_json({"name": "ser", "classes": ["a", "b"], "margin": 1})
