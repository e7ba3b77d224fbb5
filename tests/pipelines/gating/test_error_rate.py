"""The gate on classifications: an error is one of one, resampled by speaker as words are."""

from __future__ import annotations

import dataclasses

import pytest

from elp_core.errors import CorpusError
from pipelines.gating.decide import decide_verdict
from pipelines.registry.policies import GatePolicy
from tests.support.scores import classes, clips

POLICY = GatePolicy(limit=0.5, margin=0.05, resamples=500)


@pytest.mark.parametrize(
    ("challenger", "champion", "outcome"), [(0.1, 0.1, "passed"), (0.05, 0.3, "passed"), (0.6, 0.1, "failed")]
)
def test_a_better_classifier_passes_and_a_worse_one_does_not(challenger: float, champion: float, outcome: str) -> None:
    verdict = decide_verdict(classes(400, challenger), classes(400, champion), POLICY)
    assert (verdict.metric, verdict.unit, verdict.blocks, verdict.outcome) == ("error_rate", "speakers", 8, outcome)
    assert any(reason.startswith("error rate changed by") for reason in verdict.reasons)


def test_a_first_version_is_held_to_the_limit_alone() -> None:
    verdict = decide_verdict(classes(400, 0.3), None, POLICY)
    assert (verdict.outcome, verdict.first_version) == ("passed", True)
    assert "absolute limit of 50.00 %" in " ".join(verdict.reasons)


def test_a_condition_counts_its_clips() -> None:
    verdict = decide_verdict(classes(40, 0.1, conditions=("quiet", "street")), None, POLICY)
    assert [(s.name, s.size, s.note) for s in verdict.slices] == [
        (name, 20, "20 clips, at least 30 are needed") for name in ("quiet", "street")
    ]


def test_other_labels_or_another_metric_make_no_pair() -> None:
    scores = classes(40, 0.1)
    relabelled = dataclasses.replace(scores, references=scores.references[::-1])
    words = dataclasses.replace(scores, metric="wer")
    for other in (relabelled, words, clips([0] * 40, 8, words=1)):
        with pytest.raises(CorpusError, match="were not scored on the same clips"):
            decide_verdict(scores, other, POLICY)
