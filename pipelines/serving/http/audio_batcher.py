"""Requests of many clients, adapters and tasks in one batch: a queue by seconds of audio in front of `AdapterHost`.

A few threads compute, each a batch; while they do, requests queue, and the next batch takes them. Threads that are idle
share what is queued. The oldest request is in every next batch, so none waits for ever. A request whose client has gone
is left out. An answer is stored in the future of its own request, which was queued together with the waveform: there is
no second list that answers could be matched against.
"""

from __future__ import annotations

import math
import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from elp_core.audio import Waveform
from elp_core.inference.predict import check_waveform
from elp_core.types import SAMPLE_RATE, Seconds
from pipelines.errors import RequestRefused
from pipelines.serving.http.request_ticket import Ticket
from pipelines.serving.http.resident_hosts import ResidentHosts, backbone_in

if TYPE_CHECKING:
    from elp_core.inference import AdapterHost

BatchReport = Callable[[int, Seconds, Seconds], None]
"""Takes the number of requests in a batch, their seconds of audio, and the seconds that the batch took."""


@dataclass(eq=False)
class _Waiting:
    name: str
    waveform: Waveform
    ticket: Ticket
    pooled: bool
    future: Future[Any] = field(default_factory=Future)

    @property
    def seconds(self) -> Seconds:
        return len(self.waveform) / SAMPLE_RATE


class AudioBatcher:
    """Answers waveforms in batches, with `AdapterHost.outputs`.

    Args:
        host: Is called by the threads that compute.
        batch_seconds: Audio in a batch after padding.
        max_wait: How long the first request of a batch waits for others, if nothing is being computed.
        report: Called after each batch, by the thread that computed it.
        most: Batches that are computed at once on a CPU, each on its part of the cores. On a GPU it is one.
    """

    def __init__(
        self,
        host: AdapterHost | ResidentHosts,
        batch_seconds: Seconds = 32.0,
        max_wait: Seconds = 0.002,
        report: BatchReport | None = None,
        most: int = 1,
    ) -> None:
        import torch

        self._host, self._batch_seconds, self._max_wait, self._report = host, batch_seconds, max_wait, report
        self._queue: deque[_Waiting] = deque()
        self._changed = threading.Condition()
        self._closed = False
        self._took, self._heard = 1.0, 10.0
        """Seconds of this machine, and the seconds of audio that they computed; older batches count less and less."""
        self._cores = torch.get_num_threads()
        threads = min(most, self._cores) if host.backbone.device.type == "cpu" else 1
        self._idle = threads
        """Threads that wait for requests, or gather them."""
        names = [f"elp-batches-{number}" for number in range(threads)]
        self._threads = [threading.Thread(target=self._serve, name=name, daemon=True) for name in names]
        for thread in self._threads:
            thread.start()

    @property
    def alive(self) -> bool:
        """Whether the threads that compute are running."""
        return all(thread.is_alive() for thread in self._threads)

    @property
    def queued(self) -> tuple[int, Seconds]:
        """Number and audio of the requests that wait."""
        with self._changed:
            return len(self._queue), sum(one.seconds for one in self._queue)

    @property
    def cost(self) -> float:
        """Seconds that this machine, with all of its cores, computed lately for a second of audio."""
        with self._changed:
            return self._took / self._heard

    def submit(self, name: str, waveform: Waveform, ticket: Ticket, *, pooled: bool = False) -> Future[Any]:
        """Queue float32 [samples] for the adapter `name` of the host; return the future of its output.

        With `pooled`, the output is a `PooledOutput`, for the log of requests.

        Raises AudioError for what is no waveform of a clip, RequestRefused (503) after `close`.
        """
        # here, so that it concerns this request only
        check_waveform(0, waveform, backbone_in(self._host, name).min_samples)
        waiting = _Waiting(name, waveform, ticket, pooled)
        with self._changed:
            if self._closed:
                raise RequestRefused(503, "stopping", "the server is stopping; send the request again", 1)
            self._queue.append(waiting)
            self._changed.notify()
        return waiting.future

    def close(self) -> None:
        """Answer what is queued, then end the threads."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        for thread in self._threads:
            thread.join()

    def _serve(self) -> None:
        import torch

        while batch := self._next_batch():
            # the small operations of one batch leave much of several cores unused: so much the better if all are busy
            alone = self._alone()
            torch.set_num_threads(self._cores if alone else self._cores // len(self._threads))
            began = time.monotonic()
            self._compute(batch)
            took, seconds = time.monotonic() - began, sum(one.seconds for one in batch)
            with self._changed:
                self._idle += 1
                self._took = 0.9 * self._took + took / (1 if alone else len(self._threads))
                self._heard = 0.9 * self._heard + seconds
            if self._report:
                self._report(len(batch), seconds, took)

    def _next_batch(self) -> list[_Waiting]:
        """Wait for requests and take a batch of them from the queue; it is empty after `close`."""
        with self._changed:
            while True:
                while not self._queue and not self._closed:
                    self._changed.wait()
                if not self._queue:
                    return []
                ends = time.monotonic() + self._max_wait
                while not self._closed and (left := ends - time.monotonic()) > 0 and not self._full():
                    self._changed.wait(left)
                if batch := self._take():
                    self._idle -= 1
                    # for the parts of the other idle threads
                    self._changed.notify_all()
                    return batch

    def _alone(self) -> bool:
        """Return whether all other threads are idle, and nothing is left for them."""
        with self._changed:
            return not self._queue and self._idle == len(self._threads) - 1

    def _full(self) -> bool:
        """Return whether waiting is of no use: there is a batch for each idle thread, or another one took the queue."""
        longest = max((one.seconds for one in self._queue), default=math.inf)
        return not self._queue or longest * len(self._queue) >= self._batch_seconds * self._idle

    def _take(self) -> list[_Waiting]:
        """Take the oldest request and, in their order, those that fit into a batch with it after padding.

        What other idle threads can compute meanwhile is left to them: together they are as fast as the cores.
        """
        most = math.ceil(len(self._queue) / self._idle)
        batch: list[_Waiting] = []
        rest: deque[_Waiting] = deque()
        longest = 0.0
        for one in self._queue:
            padded = max(longest, one.seconds) * (len(batch) + 1)
            if one.ticket.cancelled:
                one.future.cancel()
            elif not batch or (padded <= self._batch_seconds and len(batch) < most):
                batch.append(one)
                longest = max(longest, one.seconds)
            else:
                rest.append(one)
        self._queue = rest
        # false for a future that its owner has cancelled
        return [one for one in batch if one.future.set_running_or_notify_cancel()]

    def _outputs(self, batch: list[_Waiting]) -> list[Any]:
        from elp_core.inference import Request

        requests = [Request(one.name, one.waveform) for one in batch]
        if not any(one.pooled for one in batch):
            return self._host.outputs(requests)
        found = self._host.pooled_outputs(requests)
        return [output if one.pooled else output.value for one, output in zip(batch, found, strict=True)]

    def _compute(self, batch: list[_Waiting]) -> None:
        try:
            outputs = self._outputs(batch)
        except Exception as error:
            if len(batch) == 1:
                batch[0].future.set_exception(error)
                return
            # the fault of one request, such as a bundle that cannot be read, is not the others'
            for one in batch:
                self._compute([one])
            return
        for one, output in zip(batch, outputs, strict=True):
            one.future.set_result(output)
