from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from pipelines.server.pages.counted_words import age
from pipelines.server.pages.filters import details, digest_label, interval_percent
from pipelines.server.pages.lineage_picture import Node, Picture
from pipelines.server.pages.metric_chart import Chart, ChartPoint, ChartStep
from pipelines.texts.message_catalogue import texts

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)


def point(hours: int, value: float) -> ChartPoint:
    return ChartPoint(NOON + hours * HOUR, value, (value - 0.01, value + 0.01), "v", "passed")


def test_later_is_further_right_and_worse_is_higher() -> None:
    drawn = Chart([point(0, 0.05), point(1, 0.2), point(2, 0.1)], [], NOON + 3 * HOUR)
    assert drawn.left == drawn.x(NOON) < drawn.x(NOON + HOUR) < drawn.x(NOON + 2 * HOUR) < drawn.right
    assert drawn.y(0.2) < drawn.y(0.1) < drawn.y(0.05) < drawn.bottom


def test_the_staircase_joins_successive_champions_and_leaves_gaps() -> None:
    steps = [
        ChartStep(NOON, NOON + HOUR, 0.2),
        ChartStep(NOON + HOUR, NOON + 2 * HOUR, 0.1),
        ChartStep(NOON + 3 * HOUR, None, 0.1),
    ]
    drawn = Chart([point(0, 0.2)], steps, NOON + 4 * HOUR)
    assert len(drawn.line) == 4
    assert drawn.line[2][2] == drawn.right


@pytest.mark.parametrize("value", [0.0, 0.0004, 0.03, 0.5, 0.99, 1.7])
def test_every_value_is_drawn_below_the_top_line(value: float) -> None:
    drawn = Chart([ChartPoint(NOON, value, None, "v", "failed")], [], NOON)
    assert drawn.top == drawn.y(drawn.values[-1]) <= drawn.y(value) <= drawn.bottom
    assert len(drawn.values) <= 6


def test_a_picture_leaves_out_arrows_to_missing_boxes() -> None:
    run, bundle = Node("MLflow run", "a", "", ""), Node("bundle", "b", "", "")
    assert len(list(Picture([run, bundle]).arrows)) == 1
    assert bundle.x >= run.x + Node.width


@pytest.mark.parametrize(
    ("seconds", "text", "japanese"),
    [
        (0, "0 s", "0 秒"),
        (59, "59 s", "59 秒"),
        (61, "1 min", "1 分"),
        (7200, "2 h", "2 時間"),
        (86400 * 3, "3 d", "3 日"),
        (86400 * 800, "2 y", "2 年"),
    ],
)
def test_ages_are_in_their_largest_unit(seconds: int, text: str, japanese: str) -> None:
    later = NOON + timedelta(seconds=seconds)
    assert [age(texts(language), NOON.isoformat(), later) for language in ("en", "ja")] == [text, japanese]


def test_values_are_formatted_for_people() -> None:
    assert age(texts("en"), "", NOON) == "–"
    assert interval_percent((0.031, 0.049)) == "3.1 … 4.9 %"
    assert interval_percent((None, 0.1)) == interval_percent(None) == ""
    assert digest_label("sha256:" + "ab" * 32) == "abababababab…"
    assert details({"asked by": "ann", "key": "f" * 64, "empty": ""}) == "asked by: ann, key: ffffffffffff…"
