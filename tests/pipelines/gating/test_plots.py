from __future__ import annotations

import pytest

from pipelines.gating.decide import decide_verdict
from pipelines.gating.evidence import Evidence, EvidenceContext
from pipelines.gating.plots import verdict_plots
from pipelines.gating.report_words import plot_words
from pipelines.registry.evidence_scores import PLOT_FILES, Scores
from pipelines.registry.policies import GatePolicy
from pipelines.texts.message_catalogue import texts
from tests.support.scores import classes, clips, trials


@pytest.mark.parametrize("scores", [clips([0, 1] * 20, 4), classes(40, 0.2), trials(4, 5, 0.3)], ids=lambda s: s.metric)
def test_the_files_of_each_metric_are_those_that_are_drawn(scores: Scores) -> None:
    verdict = decide_verdict(scores, None, GatePolicy(resamples=100))
    plots = verdict_plots(Evidence(verdict, scores, None, EvidenceContext()))
    assert [(plot.file, plot_words(texts("en"), plot, verdict)[0]) for plot in plots] == list(PLOT_FILES[scores.metric])
