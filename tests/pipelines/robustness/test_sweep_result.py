from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from pipelines.registry.evidence_scores import Scores
from pipelines.registry.policies import GatePolicy
from pipelines.robustness.sweep_cells import CLEAN, CellScores, SimulatedCondition
from pipelines.robustness.sweep_report import write_sweep
from pipelines.robustness.sweep_result import RobustnessSweep, SweepSubject, sweep_result
from pipelines.robustness.sweep_words import cell_headers, cell_rows, family_headers, sweep_sentences
from tests.support.both_languages import compare_languages
from tests.support.scores import clips, trials

VERSIONS = (("v1", 1, "sha256:1"), ("v2", 2, "sha256:2"))


def swept(
    rows: dict[SimulatedCondition, tuple[Scores, ...]], distances: dict[SimulatedCondition, float], systems: int = 2
) -> RobustnessSweep:
    subject = SweepSubject("plant-a/asr", "golden/v1", "sha256:g", 80, "elp:tiny", False, VERSIONS[:systems])
    found = {cell: CellScores(scores, (distances.get(cell, 0.0),) * systems) for cell, scores in rows.items()}
    return sweep_result(subject, found, GatePolicy(resamples=400))


def errors(wrong: int) -> Scores:
    """80 clips of 5 words and 8 speakers, so many of them with one error."""
    return clips(np.arange(80) < wrong, speakers=8)


@pytest.fixture(scope="module")
def two() -> RobustnessSweep:
    hall, deeper, mp3 = SimulatedCondition("hall", 1), SimulatedCondition("hall", 2), SimulatedCondition("mp3", 4)
    rows = {
        CLEAN: (errors(8), errors(8)),
        hall: (errors(16), errors(8)),
        deeper: (errors(72), errors(24)),
        mp3: (errors(8), errors(16)),
    }
    return swept(rows, {hall: 4.0, deeper: 6.0, mp3: 2.0})


def test_degradation_is_the_difference_to_the_clean_clips(two: RobustnessSweep) -> None:
    values = [[round(100 * change.value, 6) for change in cell.degradations] for cell in two.cells]
    assert values == [[2.0, 0.0], [16.0, 4.0], [0.0, 2.0]]
    assert [cell.values for cell in two.cells] == [(0.04, 0.02), (0.18, 0.06), (0.02, 0.04)]
    assert [round(100 * cell.difference.value, 6) for cell in two.cells if cell.difference] == [-2.0, -12.0, 2.0]
    one = two.cells[1].degradations[0]
    assert one.lower is not None
    assert one.upper is not None
    assert 0 < one.lower < 0.16 < one.upper
    assert (two.systems[0].clean.value, two.blocks, two.unit) == (0.02, 8, "speakers")


def test_means_are_over_conditions_and_normalised_by_their_distance(two: RobustnessSweep) -> None:
    assert [round(100 * change.value, 6) for change in two.overall.degradations] == [6.0, 2.0]
    # 6 points at a mean distance of 4 dB
    assert two.overall.normalised == (1.5, 0.5)
    assert [mean.family for mean in two.families] == ["hall", "mp3"]
    assert [round(100 * change.value, 6) for change in two.families[0].degradations] == [9.0, 2.0]
    assert two.overall.difference is not None
    assert round(100 * two.overall.difference.value, 6) == -4.0


def test_the_report_holds_every_number_and_loads_nothing(two: RobustnessSweep, tmp_path: Path) -> None:
    write_sweep(two, tmp_path / "report")
    page = (tmp_path / "report" / "sweep.html").read_text(encoding="utf-8")
    assert {path.name for path in (tmp_path / "report").iterdir()} == {
        "hall.png",
        "mp3.png",
        "sweep.html",
        "sweep.ja.html",
        "sweep.json",
    }
    assert json.loads((tmp_path / "report" / "sweep.json").read_text())["overall"]["normalised"] == [1.5, 0.5]
    assert all(text in page for row in cell_rows(two) for text in row)
    assert (family_headers(two)[-2], cell_headers(two)[-2]) == ("v2 − v1, degradation", "v2 − v1, WER")
    compare_languages(tmp_path / "report", "sweep.html")
    assert "://" not in page
    first, _, both = sweep_sentences(two)
    assert first.startswith("v1: WER 2.00 % on the clean clips; under the conditions it changes by +6.00 points (")
    assert first.endswith(" on average, 1.50 points per dB. Hardest: hall (+9.00 points).")
    assert both.startswith("v2 degrades ")


def test_verification_is_swept_over_its_trials() -> None:
    alarm = SimulatedCondition("alarm", 3)
    rows = {CLEAN: (trials(6, 4, 0.5),), alarm: (trials(6, 4, 1.6),)}
    found = swept(rows, {alarm: 5.0}, systems=1)
    assert (found.metric, found.unit, found.cells[0].difference) == ("eer", "speakers", None)
    assert found.cells[0].degradations[0].value > 0.02
    assert found.overall.normalised[0] == pytest.approx(100 * found.overall.degradations[0].value / 5.0, abs=1e-5)
