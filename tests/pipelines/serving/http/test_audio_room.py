"""What a refused client is told, and what is accepted, follow from the audio that is left to compute."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import pytest

from elp_core.types import SAMPLE_RATE, Seconds
from pipelines.errors import RequestRefused
from pipelines.serving.http.audio_room import AudioRoom
from pipelines.serving.http.body_room import BodyRoom
from pipelines.serving.http.request_ticket import Ticket

HOUR = 3600 * SAMPLE_RATE
COST = 0.1


@contextlib.contextmanager
def held(room: AudioRoom, *samples: int) -> Iterator[list[Ticket]]:
    """Hold a recording for each of some requests."""
    with contextlib.ExitStack() as stack:
        tickets = [Ticket() for _ in samples]
        for ticket, number in zip(tickets, samples, strict=True):
            stack.enter_context(room.place(ticket))
            room.hold(ticket, number)
        yield tickets


def test_long_recordings_are_accepted_by_the_seconds_that_they_take() -> None:
    room = AudioRoom(4 * 3600.0, 480.0, lambda: COST)
    with held(room, HOUR) as (first,):
        assert (room.backlog, room.delay) == (360.0, 360.0)
        late = Ticket()
        with room.place(late):
            with pytest.raises(RequestRefused, match=r"take 360 s, and this one 360 s; try again in 240 s") as refused:
                room.hold(late, HOUR)
            assert (refused.value.status, refused.value.code, refused.value.retry_after) == (429, "audio_full", 240)
            # a window waits for one window of the other
            room.hold(late, 30 * SAMPLE_RATE)
            assert room.delay == pytest.approx(2 * 30 * COST)
        # half of it is computed: there is room for another half an hour
        room.computed(first, HOUR // 2)
        with held(room, HOUR // 2):
            # they take turns, so both end after all
            assert (room.backlog, room.delay) == (360.0, 360.0)
    assert (room.held, room.backlog, room.delay) == (0, 0, 0)


def test_one_that_is_alone_is_accepted_and_the_memory_is_bounded() -> None:
    room = AudioRoom(3600.0, 10.0, lambda: COST)
    with held(room, HOUR + 1):
        pass
    room = AudioRoom(60.0, 1000.0, lambda: COST)
    with (
        held(room, 50 * SAMPLE_RATE),
        pytest.raises(RequestRefused, match=r"50 s of audio .* again in 5 s"),
        held(room, 20 * SAMPLE_RATE),
    ):
        pass


def test_recordings_that_are_not_decoded_yet_count_as_long_as_the_usual_one() -> None:
    room, waits = AudioRoom(1e9, 1e9, lambda: COST), 64
    with held(room, *[HOUR] * 20):
        pass
    with contextlib.ExitStack() as stack:
        for _ in range(waits):
            stack.enter_context(room.place(Ticket()))
        assert room.delay == pytest.approx(waits * 360.0, rel=0.02)


def test_the_bytes_of_all_bodies_are_bounded() -> None:
    def delay() -> Seconds:
        return 2.5

    room = BodyRoom(100, delay)
    with room.place() as first, room.place() as second:
        # alone
        first(150)
        with pytest.raises(RequestRefused, match=r"have 150 bytes, and with this one over 100; try again in 3 s"):
            second(1)
        first(60)
        second(40)
        with pytest.raises(RequestRefused, match="have 40 bytes") as refused:
            first(61)
        assert (refused.value.status, refused.value.code, refused.value.retry_after) == (429, "bodies_full", 3)
        # less is always possible
        first(10)
        second(90)
    with room.place() as last:
        last(100)
