"""The false rejects that enrolled voices can expect, on embeddings by hand."""

from __future__ import annotations

import numpy as np
import pytest
from torch import nn

from elp_core.tasks import SpeakerVerification
from pipelines.gating.enrolled_voices import false_rejects
from tests.support.clips import two_speakers

TASK, HEAD, CLIPS = SpeakerVerification(("anna", "bert")), nn.Identity(), two_speakers(2)
UNIT = {clip.id: np.array([1.0, 0.0] if clip.speaker == CLIPS[0].speaker else [0.0, 1.0], np.float32) for clip in CLIPS}


def test_a_voice_among_its_own_clips_is_accepted() -> None:
    assert false_rejects(TASK, HEAD, 0.5, UNIT, UNIT, CLIPS) == 0.0


def test_templates_of_another_version_are_rejected() -> None:
    turned = {name: vector[::-1].copy() for name, vector in UNIT.items()}
    assert false_rejects(TASK, HEAD, 0.5, turned, UNIT, CLIPS) == 1.0
    first = next(iter(UNIT))
    assert false_rejects(TASK, HEAD, 0.5, UNIT, {**UNIT, first: turned[first]}, CLIPS) == pytest.approx(1 / len(CLIPS))


def test_what_cannot_be_compared_has_no_rate() -> None:
    wider = {name: np.append(vector, 0.0).astype(np.float32) for name, vector in UNIT.items()}
    assert false_rejects(TASK, HEAD, 0.5, wider, UNIT, CLIPS) is None
    assert false_rejects(TASK, HEAD, 0.5, UNIT, UNIT, CLIPS[:1]) is None
