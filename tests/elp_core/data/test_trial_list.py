from __future__ import annotations

import numpy as np
import pytest

from elp_core.data.trials import TrialList
from elp_core.errors import ConfigError, CorpusError
from elp_core.task_specs import VerificationOptions
from elp_core.tasks import SpeakerVerification, judge_on
from elp_core.tasks.classification import EmotionRecognition
from tests.support.clips import two_speakers

TRIALS = TrialList("a list", ("b", "a"), ("c", "b"), (True, False))


def test_the_digest_is_that_of_the_trials_in_their_order() -> None:
    assert TRIALS.digest == TrialList("another name", ("b", "a"), ("c", "b"), (True, False)).digest
    assert TRIALS.digest != TrialList("a list", ("a", "b"), ("b", "c"), (False, True)).digest
    assert TRIALS.digest != TrialList("a list", ("b", "a"), ("c", "b"), (True, True)).digest


def test_trials_between_some_clips_are_kept_with_their_order() -> None:
    assert TRIALS.between({"a", "b"}) == TrialList("a list", ("a",), ("b",), (False,))
    assert len(TRIALS.between({"a"})) == 0


def test_positions_are_those_in_the_clips() -> None:
    a, b = TRIALS.positions(["a", "c", "b"])
    assert (a.tolist(), b.tolist()) == ([2, 0], [1, 2])
    with pytest.raises(CorpusError, match="a list: 1 of its clips are not among the 2 clips, the first is c"):
        TRIALS.positions(["a", "b"])


def test_columns_of_different_lengths_are_refused() -> None:
    with pytest.raises(CorpusError, match="a list: 1 and 2 clips for 1 trials"):
        TrialList("a list", ("a",), ("b", "c"), (True,))


def test_verification_is_judged_on_the_trials_it_is_given() -> None:
    clips = two_speakers(each=3)
    task = SpeakerVerification.from_clips(clips, VerificationOptions())
    rng = np.random.default_rng(0)
    vectors = {
        clip.id: vector / np.linalg.norm(vector) for clip, vector in zip(clips, rng.normal(size=(6, 8)), strict=True)
    }
    ids = [clip.id for clip in clips]
    chosen = TrialList("a list", (ids[0], ids[0], ids[1]), (ids[2], ids[1], ids[3]), (True, False, True))
    found = judge_on(task, chosen).evaluate(vectors, clips)
    assert found.extra["trials"] == 3
    expected = [float(vectors[a] @ vectors[b]) for a, b in zip(chosen.first, chosen.second, strict=True)]
    assert found.scores.scores.tolist() == pytest.approx(expected)
    assert found.scores.targets.tolist() == [True, False, True]
    assert task.evaluate(vectors, clips).extra["trials"] == 15
    assert "trials" not in judge_on(task, chosen).to_json()


def test_another_task_has_no_trials() -> None:
    with pytest.raises(ConfigError, match="the task ser is not judged on trials, only asv is"):
        judge_on(EmotionRecognition(("a", "b")), TRIALS)
