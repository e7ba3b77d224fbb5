from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from pipelines.server.pages.filters import age, details, digest_label, interval_percent
from pipelines.server.pages.lineage_picture import BOX_WIDTH, Node, lay_out
from pipelines.server.pages.metric_chart import ChartPoint, ChartStep, draw_chart

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)


def point(hours: int, value: float) -> ChartPoint:
    return ChartPoint(NOON + hours * HOUR, value, (value - 0.01, value + 0.01), "v", "passed")


def test_a_chart_without_points_is_none() -> None:
    assert draw_chart([], [], NOON) is None


def test_later_is_further_right_and_worse_is_higher() -> None:
    drawn = draw_chart([point(0, 0.05), point(1, 0.2), point(2, 0.1)], [], NOON + 3 * HOUR)
    assert drawn
    first, second, third = drawn.marks
    assert first.x < second.x < third.x
    assert second.y < third.y < first.y
    assert second.high is not None
    assert second.low is not None
    assert second.high < second.y < second.low


def test_the_staircase_joins_successive_champions_and_leaves_gaps() -> None:
    steps = [
        ChartStep(NOON, NOON + HOUR, 0.2),
        ChartStep(NOON + HOUR, NOON + 2 * HOUR, 0.1),
        ChartStep(NOON + 3 * HOUR, None, 0.1),
    ]
    drawn = draw_chart([point(0, 0.2)], steps, NOON + 4 * HOUR)
    assert drawn
    assert len(drawn.line) == 4
    assert drawn.line[2][2] == drawn.right


@pytest.mark.parametrize("value", [0.0, 0.0004, 0.03, 0.5, 0.99, 1.7])
def test_every_value_is_drawn_below_the_top_line(value: float) -> None:
    drawn = draw_chart([ChartPoint(NOON, value, None, "v", "failed")], [], NOON)
    assert drawn
    assert drawn.rows[-1][0] <= drawn.marks[0].y <= drawn.bottom
    assert len(drawn.rows) <= 6


def test_a_picture_leaves_out_arrows_to_missing_boxes() -> None:
    nodes = [Node("a", "run", "a", "", "", 0, 0), Node("b", "bundle", "b", "", "", 1, 1)]
    drawn = lay_out(nodes, [("a", "b"), ("b", "c")])
    assert len(drawn.arrows) == 1
    assert drawn.boxes[1].x >= drawn.boxes[0].x + BOX_WIDTH


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0 s"), (59, "59 s"), (61, "1 min"), (7200, "2 h"), (86400 * 3, "3 d"), (86400 * 800, "2 y")],
)
def test_ages_are_in_their_largest_unit(seconds: int, text: str) -> None:
    assert age(NOON.isoformat(), NOON + timedelta(seconds=seconds)) == text


def test_values_are_formatted_for_people() -> None:
    assert age("", NOON) == "–"
    assert interval_percent((0.031, 0.049)) == "3.1 … 4.9 %"
    assert interval_percent((None, 0.1)) == interval_percent(None) == ""
    assert digest_label("sha256:" + "ab" * 32) == "abababababab…"
    assert details({"asked by": "ann", "key": "f" * 64, "empty": ""}) == "asked by: ann, key: ffffffffffff…"
