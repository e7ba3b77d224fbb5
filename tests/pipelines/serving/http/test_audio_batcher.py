"""The two faults that batchers are known for (a client that goes shifts or blocks the others) come first."""

from __future__ import annotations

import threading
from concurrent.futures import CancelledError
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from elp_core.errors import AudioError, HostError
from elp_core.inference import AdapterHost, Request
from elp_core.testing import tone
from pipelines.errors import RequestRefused
from pipelines.serving.http.audio_batcher import AudioBatcher
from pipelines.serving.http.request_ticket import Ticket
from tests.support.speech_server import BACKBONE, TASKS


class SlowHost(AdapterHost):
    """A host that waits before each batch, and notes the size of it."""

    def __init__(self) -> None:
        super().__init__(BACKBONE)
        self.gate, self.begun, self.sizes = threading.Event(), threading.Semaphore(0), []

    def outputs(self, requests: Any) -> list[Any]:
        self.sizes.append(len(requests))
        self.begun.release()
        assert self.gate.wait(60)
        return super().outputs(requests)


@pytest.fixture
def host(bundles: dict[tuple[str, int], Path]) -> SlowHost:
    made = SlowHost()
    for task in TASKS:
        made.load(task, bundles[task, 1])
    return made


WAVES = [tone(200 + 100 * number, 0.1 + 0.05 * number) for number in range(6)]


def expected(host: SlowHost, name: str, number: int) -> Any:
    return AdapterHost.outputs(host, [Request(name, WAVES[number])])[0]


def test_clients_that_go_neither_shift_nor_block_the_answers_of_others(host: SlowHost) -> None:
    batcher = AudioBatcher(host, max_wait=0)
    first = batcher.submit("asr", WAVES[0], Ticket())
    assert host.begun.acquire(timeout=60)
    # queued while the first is computed; every second client goes
    tickets = [Ticket() for _ in range(12)]
    waiting = [batcher.submit(TASKS[n % 4], WAVES[n % 6], ticket) for n, ticket in enumerate(tickets)]
    for ticket in tickets[::2]:
        ticket.cancel()
    host.gate.set()
    assert first.result(60).shape[1] > 1
    for number, future in enumerate(waiting):
        if number % 2 == 0:
            with pytest.raises(CancelledError):
                future.result(60)
        else:
            name = TASKS[number % 4]
            np.testing.assert_allclose(future.result(60), expected(host, name, number % 6), atol=1e-5)
    batcher.close()
    assert host.sizes == [1, 6]


def test_the_fault_of_one_request_is_not_that_of_the_others(host: SlowHost) -> None:
    batcher = AudioBatcher(host, max_wait=0)
    batcher.submit("asr", WAVES[0], Ticket())
    assert host.begun.acquire(timeout=60)
    good, bad = batcher.submit("ser", WAVES[1], Ticket()), batcher.submit("gone", WAVES[2], Ticket())
    host.gate.set()
    np.testing.assert_allclose(good.result(60), expected(host, "ser", 1), atol=1e-5)
    with pytest.raises(HostError, match="no adapter is served as 'gone'"):
        bad.result(60)
    with pytest.raises(AudioError, match="needs"):
        batcher.submit("ser", tone(200, 0.001), Ticket())
    batcher.close()


def test_a_batch_is_bounded_by_its_audio_after_padding_and_has_the_oldest_request(host: SlowHost) -> None:
    batcher = AudioBatcher(host, batch_seconds=0.5, max_wait=0)
    batcher.submit("asr", WAVES[0], Ticket())
    assert host.begun.acquire(timeout=60)
    long = tone(300, 0.4)
    waiting = [batcher.submit("ser", one, Ticket()) for one in (WAVES[0], long, WAVES[0], WAVES[0], long, WAVES[0])]
    assert batcher.queued[0] == 6
    assert batcher.cost == 0.1
    host.gate.set()
    for future in waiting:
        future.result(60)
    batcher.close()
    # measured
    assert batcher.cost != 0.1
    # four short ones of 0.1 s pass the long one, which is the oldest of the next batch
    assert host.sizes == [1, 4, 1, 1]


def test_what_is_queued_is_answered_at_the_end(host: SlowHost) -> None:
    batcher = AudioBatcher(host, max_wait=0)
    batcher.submit("asr", WAVES[0], Ticket())
    assert host.begun.acquire(timeout=60)
    last = batcher.submit("sic", WAVES[3], Ticket())
    host.gate.set()
    batcher.close()
    assert not batcher.alive
    np.testing.assert_allclose(last.result(0), expected(host, "sic", 3), atol=1e-5)
    with pytest.raises(RequestRefused, match="the server is stopping"):
        batcher.submit("sic", WAVES[3], Ticket())


def test_idle_threads_share_what_is_queued_and_each_answer_is_that_of_its_request(host: SlowHost) -> None:
    cores = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        batcher = AudioBatcher(host, max_wait=0.2, most=4)
        waiting = [batcher.submit(TASKS[n % 4], WAVES[n % 6], Ticket()) for n in range(8)]
        # neither ends before both have begun: two batches at once, no more than cores
        assert host.begun.acquire(timeout=60)
        assert host.begun.acquire(timeout=60)
        assert batcher.queued == (0, 0)
        host.gate.set()
        for number, future in enumerate(waiting):
            wanted = expected(host, TASKS[number % 4], number % 6)
            np.testing.assert_allclose(future.result(60), wanted, rtol=1e-5, atol=1e-5)
        batcher.close()
    finally:
        torch.set_num_threads(cores)
    assert host.sizes == [4, 4]
    assert not batcher.alive
