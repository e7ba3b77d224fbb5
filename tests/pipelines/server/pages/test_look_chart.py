from __future__ import annotations

from datetime import UTC, datetime

import pytest

from pipelines.server.pages.look_chart import LookChart
from pipelines.server.read_models.site_audio import LookPoint, ScoreCurve, SiteAudio

AT = datetime(2026, 1, 1, tzinfo=UTC)


def _curve(name: str, *evidence: float, first: int = 1) -> ScoreCurve:
    points = tuple(LookPoint(first + place, AT, value) for place, value in enumerate(evidence))
    return ScoreCurve(name, points, 20.0, 10.0)


def test_the_alarm_is_inside_of_the_picture_even_if_nothing_moved() -> None:
    chart = LookChart([_curve("snr_db", 0.0, 0.0, 0.0)])
    assert chart.values == [0, 0.25, 0.5, 0.75, 1.0, 1.25]
    assert chart.top < chart.y(1) < chart.bottom
    assert chart.line(chart.curves[0].points) == "56.0,200.0 378.0,200.0 700.0,200.0"


@pytest.mark.parametrize("highest", [1.3, 4.0, 60.0])
def test_every_point_is_drawn_below_the_highest_grid_line(highest: float) -> None:
    chart = LookChart([_curve("snr_db", 0.2, highest), _curve("level_db", 0.1, first=3)])
    assert chart.looks == [1, 2, 3]
    assert chart.values[-1] >= highest
    assert len(chart.values) <= 11
    assert chart.y(highest) >= chart.top
    assert chart.dash(0) != chart.dash(1)


def test_one_look_is_one_point_at_the_right_end() -> None:
    chart = LookChart([_curve("snr_db", 0.5, first=7)])
    assert chart.x(7) == chart.right


def test_each_look_names_the_score_with_most_evidence() -> None:
    snr, level = _curve("snr_db", 0.2, 0.9), _curve("level_db", 0.4, 0.1)
    audio = SiteAudio("r", "1", "no change found", "2026-01-01T00:00:00+00:00", "", (snr, level), ())
    assert [(number, curve.name, evidence) for number, _, curve, evidence in audio.looks] == [
        (2, "snr_db", 0.9), (1, "level_db", 0.4)
    ]  # fmt: skip
    assert (snr.title, snr.change) == ("signal-to-noise ratio", ("20 dB", "10 dB"))
    assert not audio.alarm
