from __future__ import annotations

import pytest

from pipelines.demo.time_left import TimeLeft, stage_share


def test_the_estimate_begins_with_the_usual_time_and_then_follows_the_pace() -> None:
    now = 0.0
    left = TimeLeft([[60, 60], [100]], clock=lambda: now)
    assert left.update(0, 0, 0.0, "intake") == (0.0, "about 2 min 00 s left; intake")
    assert left.update(1, 0, 0.0, "intake") == (0.0, "about 2 min 00 s left; intake")
    # a machine of half the speed
    now = 120.0
    left.update(0, 1, 0.0)
    percent, text = left.update(1, 0, 0.6, "training")
    assert percent == pytest.approx(100 * 120 / 220)
    assert text == "about 2 min 00 s left; training"
    now = 240.0
    left.update(0, 2, 0.0)
    assert left.update(1, 1, 0.0) == (100.0, "about 0.0 s left")


def test_what_was_done_before_does_not_count_for_the_pace() -> None:
    now = 0.0
    left = TimeLeft([[100, 50, 100], [100]], clock=lambda: now)
    # a second run: deliveries that are done are reported at once
    left.update(1, 1, 0.0)
    left.update(0, 1, 0.0)
    assert left.update(0, 2, 0.0)[1] == "about 1 min 40 s left"
    left.update(0, 2, 0.0, "intake")
    now = 100.0
    assert left.update(0, 2, 0.5, "training")[1] == "about 1 min 40 s left; training"


def test_a_lane_does_not_go_back() -> None:
    left = TimeLeft([[100]], clock=lambda: 0.0)
    assert left.update(0, 0, 0.5)[0] == left.update(0, 0, 0.2)[0] == 50.0


@pytest.mark.parametrize(
    ("percent", "text", "share"),
    [
        (50.0, "intake: 5 clips", 0.05),
        (0.0, "training: 0/9 steps", 0.1),
        (100.0, "gate: 9 clips", 1.0),
        (50.0, "", 0.0),
    ],
)
def test_the_steps_of_a_retrain_have_their_parts(percent: float, text: str, share: float) -> None:
    assert stage_share(percent, text) == pytest.approx(share)
