from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from pipelines.server.pages.filters import age, short, span, told
from pipelines.server.pages.lineage_layout import BOX_WIDTH, Node, picture
from pipelines.server.pages.metric_chart import ChampionPeriod, Point, chart

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)


def point(hours: int, value: float) -> Point:
    return Point(NOON + hours * HOUR, value, (value - 0.01, value + 0.01), "v", "passed")


def test_a_chart_without_points_is_none() -> None:
    assert chart([], [], NOON) is None


def test_later_is_further_right_and_worse_is_higher() -> None:
    drawn = chart([point(0, 0.05), point(1, 0.2), point(2, 0.1)], [], NOON + 3 * HOUR)
    assert drawn
    first, second, third = drawn.marks
    assert first.x < second.x < third.x
    assert second.y < third.y < first.y
    assert second.high is not None
    assert second.low is not None
    assert second.high < second.y < second.low


def test_the_staircase_joins_reigns_that_follow_each_other_and_leaves_gaps() -> None:
    reigns = [
        ChampionPeriod(NOON, NOON + HOUR, 0.2),
        ChampionPeriod(NOON + HOUR, NOON + 2 * HOUR, 0.1),
        ChampionPeriod(NOON + 3 * HOUR, None, 0.1),
    ]
    drawn = chart([point(0, 0.2)], reigns, NOON + 4 * HOUR)
    assert drawn
    assert len(drawn.line) == 4
    assert drawn.line[2][2] == drawn.right


@pytest.mark.parametrize("value", [0.0, 0.0004, 0.03, 0.5, 0.99, 1.7])
def test_every_value_has_its_place_below_the_top_line(value: float) -> None:
    drawn = chart([Point(NOON, value, None, "v", "failed")], [], NOON)
    assert drawn
    assert drawn.rows[-1][0] <= drawn.marks[0].y <= drawn.bottom
    assert len(drawn.rows) <= 6


def test_a_picture_leaves_out_arrows_to_what_is_not_there() -> None:
    nodes = [Node("a", "run", "a", "", "", 0, 0), Node("b", "bundle", "b", "", "", 1, 1)]
    drawn = picture(nodes, [("a", "b"), ("b", "c")])
    assert len(drawn.arrows) == 1
    assert drawn.boxes[1].x >= drawn.boxes[0].x + BOX_WIDTH


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0 s"), (59, "59 s"), (61, "1 min"), (7200, "2 h"), (86400 * 3, "3 d"), (86400 * 800, "2 y")],
)
def test_ages_are_in_their_largest_unit(seconds: int, text: str) -> None:
    assert age(NOON.isoformat(), NOON + timedelta(seconds=seconds)) == text


def test_values_read_as_people_write_them() -> None:
    assert age("", NOON) == "–"
    assert span((0.031, 0.049)) == "3.1 … 4.9 %"
    assert span((None, 0.1)) == span(None) == ""
    assert short("sha256:" + "ab" * 32) == "abababababab…"
    assert told({"asked by": "ann", "key": "f" * 64, "empty": ""}) == "asked by: ann, key: ffffffffffff…"
