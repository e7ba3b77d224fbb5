"""``/metrics`` of `elp serve` for Prometheus. Labels are slots, routes and fixed words, never versions or clients."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry, Counter, Histogram
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from elp_core.types import Seconds
from pipelines.registry.slot import Slot

if TYPE_CHECKING:
    from pipelines.serving.http.audio_batcher import AudioBatcher
    from pipelines.serving.http.audio_room import AudioRoom
    from pipelines.serving.http.champion_follower import ChampionFollower
    from pipelines.serving.http.request_logger import RequestLogger
    from pipelines.serving.http.served_set import ServedSet

_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300)


class ServiceMetrics:
    """The counters of one server, and the gauges of what it watches."""

    def __init__(self) -> None:
        # of this server only: several may run in one process
        self.registry = CollectorRegistry(auto_describe=False)
        self._requests = Counter(
            "elp_serve_requests",
            "Requests by route, slot and status",
            ["route", "slot", "status"],
            registry=self.registry,
        )
        self._latency = Histogram(
            "elp_serve_request_seconds",
            "From the first byte of a request to the end of its answer",
            ["route"],
            buckets=_SECONDS,
            registry=self.registry,
        )
        self._batch_size = Histogram(
            "elp_serve_batch_requests",
            "Requests in a batch",
            buckets=(1, 2, 4, 8, 16, 32, 64, 128),
            registry=self.registry,
        )
        self._audio = Counter("elp_serve_audio_seconds", "Seconds of audio computed", registry=self.registry)
        self._logged = Counter(
            "elp_serve_logged_requests",
            "Requests chosen for the log by what became of them",
            ["slot", "outcome"],
            registry=self.registry,
        )
        self.refused = 0
        """Requests that were answered with 429."""
        self._computing = Counter("elp_serve_computing_seconds", "Seconds spent in batches", registry=self.registry)

    def count_request(self, route: str, slot: str, status: int, took: Seconds) -> None:
        """Count an answered request."""
        self._requests.labels(route, slot, str(status)).inc()
        self._latency.labels(route).observe(took)
        self.refused += status == 429

    def count_batch(self, size: int, seconds: Seconds, took: Seconds) -> None:
        """Count a batch of the batcher."""
        self._batch_size.observe(size)
        self._audio.inc(seconds)
        self._computing.inc(took)

    def count_logged(self, slot: Slot, outcome: str, number: int) -> None:
        """Count requests that were chosen for the log."""
        self._logged.labels(str(slot), outcome).inc(number)

    def watch(
        self,
        batcher: AudioBatcher,
        room: AudioRoom,
        follower: ChampionFollower,
        served: ServedSet,
        log: RequestLogger | None = None,
    ) -> None:
        """Add the gauges of the parts of a server."""
        self.registry.register(_Gauges(batcher, room, follower, served, log))


class _Gauges(Collector):
    def __init__(
        self,
        batcher: AudioBatcher,
        room: AudioRoom,
        follower: ChampionFollower,
        served: ServedSet,
        log: RequestLogger | None,
    ) -> None:
        self._batcher, self._room, self._follower, self._served, self._log = batcher, room, follower, served, log

    def collect(self) -> Iterable[Metric]:
        state, (queued, seconds) = self._follower.state, self._batcher.queued
        values = {
            "queued_requests": ("Waveforms that wait for a batch", queued),
            "queued_audio_seconds": ("Their seconds of audio", seconds),
            "backlog_seconds": ("Estimated computing of all recordings in progress", self._room.backlog),
            "adapter_bytes": ("Bytes of adapters in memory", self._served.host.resident_bytes),
            "source_up": (
                "Whether the registry, or the folder of the box, answered the last look",
                int(state.reachable),
            ),
            "source_last_look_seconds": ("When it answered last, since the epoch", state.last_look),
            "updates_stopped": (
                "Whether a box gets no new champions: its last pull was refused, or its metadata have expired",
                int(bool(state.updates_stopped)),
            ),
            "slots_with_problems": ("Slots whose champion is not served", len(state.problems)),
            "champion_changes": ("Versions taken into service since the start", state.changes),
            "log_queue_requests": ("Requests that wait for the log", self._log.queued if self._log else 0),
            "load_failures": ("Versions that could not be loaded since the start", state.failures),
        }
        for name, (text, value) in values.items():
            yield GaugeMetricFamily(f"elp_serve_{name}", text, value=value)
        versions = GaugeMetricFamily("elp_serve_version", "Version that answers for a slot", labels=["slot"])
        for one in self._served.versions:
            versions.add_metric([str(one.slot)], one.version)
        yield versions
