"""The first alert at once, repeats in one digest a day, few messages in a storm, nothing lost."""

from __future__ import annotations

import time
from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.orchestration.alerts.alert import Alert
from pipelines.orchestration.alerts.alert_message import body, subject
from pipelines.orchestration.alerts.alert_queue import (
    DAY,
    PER_HOUR,
    Batch,
    Queue,
    accept,
    delivered,
    digest_moment,
    failed,
    next_batch,
)

NOW = 1_790_000_000.0
FAILED = Alert(
    "1", "prefect.flow-run.Failed", "failed", "2026-09-21T13:33:20Z", "retrain plant-a/asr failed", "plant-a/asr"
)


def alert(number: int, slot: str = "plant-a/asr", event: str = FAILED.event) -> Alert:
    return replace(FAILED, id=str(number), slot=slot, event=event)


def sent_at(queue: Queue, now: float) -> Queue:
    batch = next_batch(queue, "07:00", now)
    assert batch
    return delivered(queue, batch, now)


def test_the_first_is_sent_at_once_and_repeats_wait_for_the_digest() -> None:
    queue = sent_at(accept(Queue(), alert(1), NOW), NOW)
    for number in range(2, 14):
        queue = accept(queue, alert(number), NOW + number)
        assert next_batch(queue, "07:00", NOW + number) is None
    moment = digest_moment(NOW + 2, "07:00")
    batch = next_batch(queue, "07:00", moment)
    assert batch
    assert (batch.digest, len(batch.entries)) == (True, 12)
    assert "12 times again:\nRetrain plant-a/asr failed." in body(batch, "/srv/plant", "mail")
    assert subject(batch, "plant") == "[ELP plant] daily digest, 12 repeated alerts"
    assert next_batch(delivered(queue, batch, moment), "07:00", moment + 2 * DAY) is None


def test_another_slot_or_another_event_is_not_a_repeat() -> None:
    queue = accept(accept(Queue(), alert(1), NOW), alert(2, slot="plant-b/asr"), NOW)
    queue = accept(queue, alert(3, event="prefect.flow-run.Crashed"), NOW)
    assert (len(queue.waiting), len(queue.collected)) == (3, 0)


def test_after_a_day_the_same_is_sent_at_once_again() -> None:
    queue = sent_at(accept(Queue(), alert(1), NOW), NOW)
    assert next_batch(accept(queue, alert(2), NOW + DAY - 1), "07:00", NOW + DAY - 1) is None
    assert next_batch(accept(queue, alert(2), NOW + DAY), "07:00", NOW + DAY)


def test_what_waits_together_is_one_message() -> None:
    queue = Queue()
    for number in range(300):
        queue = accept(queue, alert(number, slot=f"plant-{number}/asr"), NOW)
    batch = next_batch(queue, "07:00", NOW)
    assert batch
    assert subject(batch, "plant").startswith("[ELP plant] 300 alerts, the first: ")
    assert "and 280 more" in body(batch, "/srv/plant", "mail")


def test_a_storm_that_lasts_is_few_messages_and_loses_nothing() -> None:
    queue, messages, alerts = Queue(), 0, 0
    for second in range(0, 3600, 4):
        queue = accept(queue, alert(second, slot=f"plant-{second}/asr"), NOW + second)
        if batch := next_batch(queue, "07:00", NOW + second):
            queue, messages, alerts = delivered(queue, batch, NOW + second), messages + 1, alerts + len(batch.entries)
    assert messages == PER_HOUR
    assert alerts + len(queue.waiting) + queue.dropped == 900


def test_what_a_full_queue_could_not_keep_is_counted_in_the_next_message() -> None:
    queue = Queue()
    for number in range(503):
        queue = accept(queue, alert(number, slot=f"plant-{number}/asr"), NOW)
    batch = next_batch(queue, "07:00", NOW)
    assert batch
    assert subject(batch, "plant").startswith("[ELP plant] 503 alerts, the first: ")
    assert "and 483 more" in body(batch, "/srv/plant", "mail")
    assert delivered(queue, batch, NOW).dropped == 0


def test_a_receiver_that_is_down_is_asked_less_and_less_often() -> None:
    queue, tries = accept(Queue(), alert(1), NOW), []
    for second in range(0, 7900, 5):
        if next_batch(queue, "07:00", NOW + second):
            queue, tries = failed(queue, "down", NOW + second), [*tries, second]
    assert tries == [0, 10, 40, 160, 760, 4360]
    assert queue.error == "down"
    assert sent_at(queue, NOW + 9000).error == ""


def test_a_clock_that_was_set_back_does_not_silence_a_channel() -> None:
    queue = failed(sent_at(accept(Queue(), alert(1), NOW), NOW), "down", NOW)
    queue = accept(queue, alert(2, slot="plant-b/asr"), NOW - 10 * DAY)
    assert next_batch(queue, "07:00", NOW - 10 * DAY)


def test_the_digest_is_sent_at_its_time_of_the_day() -> None:
    moment = time.localtime(digest_moment(NOW, "07:30"))
    assert (moment.tm_hour, moment.tm_min) == (7, 30)
    assert 0 < digest_moment(NOW, "07:30") - NOW <= DAY + 3600


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 20_000), st.booleans()), max_size=40))
def test_every_alert_is_sent_once_however_sending_fails(story: list[tuple[int, int, bool]]) -> None:
    queue, now, got = Queue(), NOW, []

    def look(works: bool) -> None:
        nonlocal queue
        if batch := next_batch(queue, "07:00", now):
            queue = delivered(queue, batch, now) if works else failed(queue, "no", now)
            got.extend(entry.alert.id for entry in batch.entries if works)

    for number, (slot, pause, works) in enumerate(story):
        now += pause
        queue = accept(queue, alert(number, slot=f"plant-{slot}/asr"), now)
        look(works)
    for _ in range(200):
        now += 1800
        look(True)
    assert sorted(got, key=int) == [str(number) for number in range(len(story))]


def test_a_message_is_bounded_whatever_the_reason_is() -> None:
    queue = Queue()
    for number in range(30):
        queue = accept(queue, replace(alert(number, slot=f"p-{number}/asr"), reason="x" * 5000), NOW)
    assert len(body(Batch(queue.waiting, False, 0), "/work", "mail")) < 13_000
