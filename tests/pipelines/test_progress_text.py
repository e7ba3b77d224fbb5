from __future__ import annotations

import pytest

from pipelines.number_text import quantity
from pipelines.progress_text import Pace, share
from pipelines.training.pass_progress import PassProgress


class Silent:
    def on_step(self, *_: object) -> None: ...

    def on_epoch(self, *_: object) -> None: ...


def test_the_pace_counts_from_where_the_work_began() -> None:
    now = [100.0]
    pace = Pace("steps", lambda: now[0])
    assert pace.line(400, 480) == "400/480 steps"
    now[0] = 110.0
    assert pace.line(420, 480, "WER 45.00 %") == "420/480 steps, 2.0/s, 30.0 s left, WER 45.00 %"
    now[0] = 1300.0
    assert pace.line(480, 480) == "480/480 steps, 4.0/min"
    assert Pace("clips").line(1200, 0) == "1,200 clips"


def test_a_part_counts_for_rate_and_time_left_and_slow_work_is_counted_by_the_hour() -> None:
    now = [0.0]
    pace = Pace("slots", lambda: now[0])
    pace.line(0, 4)
    now[0] = 1800.0
    assert pace.line(0.5, 4, "a/asr") == "0/4 slots, 1.0/h, 3 h 30 min left, a/asr"


def test_the_time_left_runs_down_while_a_coarse_count_stays_the_same() -> None:
    now = [0.0]
    pace = Pace("slots", lambda: now[0])
    lines = []
    for now[0], done in ((0.0, 0), (30.0, 0), (60.0, 1), (90.0, 1), (300.0, 1), (360.0, 2)):
        lines.append(pace.line(done, 4))
    assert lines == [
        "0/4 slots",
        "0/4 slots",
        "1/4 slots, 1.0/min, 3 min 00 s left",
        "1/4 slots, 1.0/min, 2 min 30 s left",
        "1/4 slots, 1.0/min",
        "2/4 slots, 20.0/h, 6 min 00 s left",
    ]


def test_a_share_stays_between_0_and_100() -> None:
    assert [share(*given) for given in ((0, 0), (1, 4), (5, 4), (5, 0))] == [0.0, 25.0, 100.0, 0.0]


def test_slots_of_one_pass_are_added_up_and_named() -> None:
    said: list[tuple[int, int, str]] = []
    whole = PassProgress(lambda *given: said.append(given))
    one, other = (whole.watch(slot, metric, 3, Silent()) for slot, metric in (("a/asr", "wer"), ("b/asv", "eer")))
    one.on_step(1, 10, 2.0, {})
    other.on_step(1, 30, 2.0, {})
    other.on_epoch(1, 2.0, 0.25)
    one.on_step(2, 10, 2.0, {})
    assert said == [(1, 10, ""), (2, 40, ""), (3, 40, "b/asv EER 25.00 % (epoch 1/3)")]


@pytest.mark.parametrize(
    ("name", "value", "text"),
    [
        ("bundle_bytes", 2587683.0, "2.59 MB"),
        ("train_seconds", 250.4, "4 min 10 s"),
        ("trainable_parameters", 646912.0, "646,912"),
        ("train_steps", 480.0, "480"),
        ("wer", 0.0812, "8.12 %"),
        ("cer.cer_reading", 0.0812, "8.12 %"),
        ("error_rate.accuracy", 1.0, "100.00 %"),
        ("eer.threshold", 0.31234, "0.3123"),
        ("eer.trials", 1200.0, "1,200"),
        ("wer", float("nan"), "unknown"),
        ("eer.threshold", float("nan"), "unknown"),
        ("eer.threshold", float("inf"), "unknown"),
    ],
)
def test_a_measurement_has_the_unit_that_its_name_says(name: str, value: float, text: str) -> None:
    assert quantity(name, value) == text
