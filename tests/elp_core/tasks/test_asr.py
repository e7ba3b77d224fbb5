from __future__ import annotations

import itertools
import math

import pytest
import torch
from torch import nn

from elp_core.errors import ConfigError, CorpusError
from elp_core.languages import Units
from elp_core.task_specs import RecognitionOptions
from elp_core.tasks import make_task, task_from_json
from elp_core.tasks.asr import SpeechRecognition
from tests.support.clips import clip, tone, two_speakers

TASK = SpeechRecognition(Units.of_letters("ab "), RecognitionOptions(dropout=0.0))


class Given(nn.Module):
    """A head that answers the frames themselves."""

    def forward(self, frames: torch.Tensor, counts: torch.Tensor) -> torch.Tensor:
        del counts
        return frames


TWO = SpeechRecognition(Units.of_letters("ab"), RecognitionOptions(dropout=0.0))


def likelihood(frames: torch.Tensor, text: str) -> float:
    """CTC by its definition: the sum over all paths that decode to the text."""
    p = frames.softmax(-1)
    paths = itertools.product(range(p.shape[1]), repeat=p.shape[0])
    fitting = [path for path in paths if TWO.units.decode(path) == text]
    return sum(math.prod(float(p[t, k]) for t, k in enumerate(path)) for path in fitting)


def test_the_loss_is_ctc_by_its_definition() -> None:
    frames = torch.randn(2, 5, 3)
    clips = [clip(tone(0.1), "ab"), clip(tone(0.2), "aa")]
    loss = TWO.loss(Given(), frames, torch.tensor([5, 4]), TWO.targets(clips))
    expected = [-math.log(likelihood(frames[0], "ab")) / 2, -math.log(likelihood(frames[1, :4], "aa")) / 2]
    assert float(loss) == pytest.approx(sum(expected) / 2, rel=1e-5)


def test_greedy_answers_end_at_each_clips_own_frames() -> None:
    frames = nn.functional.one_hot(torch.tensor([[1, 1, 0, 1, 2], [2, 3, 1, 2, 2]]), 4).float()
    assert TASK.predict(Given(), frames, torch.tensor([5, 3])) == ["aab", "b a"]


def test_a_target_longer_than_its_frames_is_never_hidden() -> None:
    targets = TASK.targets([clip(tone(0.1), "aaa")])
    assert TASK.frames_needed(clip(tone(0.1), "aaa")) == 5
    assert math.isinf(float(TASK.loss(Given(), torch.randn(1, 4, 4), torch.tensor([4]), targets)))


def test_evaluation_counts_words_and_letters() -> None:
    clips = two_speakers(1)
    result = TASK.evaluate({clips[0].id: "no", clips[1].id: "yet"}, clips)
    assert (result.metric, result.value) == ("wer", 0.5)
    assert result.extra["cer"] == pytest.approx(1 / 5)
    assert result.scores.conditions == ("clean", "clean")


def test_the_head_scores_letters_and_the_blank() -> None:
    assert SpeechRecognition().build_head(8)(torch.zeros(2, 3, 8), torch.tensor([3, 2])).shape == (2, 3, 29)


def test_json_round_trip() -> None:
    assert task_from_json(TASK.to_json()) == TASK


@pytest.mark.parametrize(("key", "value"), [("width", -1), ("dilations", [0]), ("dropout", 2.0)])
def test_json_out_of_range_is_refused(key: str, value: object) -> None:
    with pytest.raises(ConfigError, match=f"{key} is"):
        task_from_json({**TASK.to_json(), key: value})


def test_transcripts_must_fit() -> None:
    assert make_task("asr", two_speakers()).name == "asr"
    with pytest.raises(CorpusError, match="1 of the training clips have no transcript"):
        make_task("asr", [clip(tone())])
    with pytest.raises(CorpusError, match="outside the alphabet: 7"):
        make_task("asr", [clip(tone(), "no 7")])


def test_the_head_sees_a_words_length_and_no_padding() -> None:
    head = SpeechRecognition().build_head(6).eval()
    frames = torch.randn(1, 60, 6)
    near, far = frames.clone(), frames.clone()
    near[:, 30 + 14] += 1.0
    far[:, 30 + 15] += 1.0
    counts = torch.tensor([60])
    answer = head(frames, counts)[0, 30]
    assert not torch.equal(head(near, counts)[0, 30], answer)
    assert torch.equal(head(far, counts)[0, 30], answer)
    alone = head(frames[:, :40], torch.tensor([40]))
    torch.testing.assert_close(head(frames, torch.tensor([40]))[:, :40], alone, atol=1e-6, rtol=0)
