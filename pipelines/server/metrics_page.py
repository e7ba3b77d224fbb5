"""``/elp/metrics``: the figures of the registry and of the operation for Prometheus.

The registry is counted for each request; the operation is what the supervision of `elp up` wrote last. So every server
process answers the same, and a scrape asks neither Prefect nor an inbox. A series has a slot, a pool, a process or a
fixed word as label, never a version, a run or a file: their number is that of the slots, of which there are hundreds.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from importlib.metadata import version
from pathlib import Path

from flask import Blueprint, Response, request
from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector
from sqlalchemy.exc import OperationalError

from pipelines.registry.operation_figures import BOUNDS, FIGURES_VARIABLE, OperationFigures, read_figures
from pipelines.server.auth.principal import READ, authorize
from pipelines.server.database_outage import answer_outage
from pipelines.server.read_models.registry_metrics import RegistryCounts, count_registry
from pipelines.server.refusal import Attempt
from pipelines.server.stores.registry_store import registry

STATUSES = ("champion", "challenger", "candidate", "retired", "rejected")
OUTCOMES = ("passed", "failed", "undecided")
RUN_STATES = ("scheduled", "pending", "running", "paused", "cancelling")
END_STATES = ("completed", "failed", "crashed", "cancelled")
INBOX_STATES = ("waiting", "incomplete", "claimed", "refused")
STEPS = ("intake", "training", "gate")

blueprint = Blueprint("elp_metrics", __name__)
blueprint.register_error_handler(OperationalError, answer_outage)


@blueprint.get("/metrics")
def get_metrics() -> Response:
    """Answer the metrics, in the format that the scraper asks for."""
    authorize(READ, Attempt("read the metrics"))
    with registry().engine.connect() as connection:
        counts = count_registry(connection)
    path = os.environ.get(FIGURES_VARIABLE)
    encode, content_type = choose_encoder(request.headers.get("Accept", ""))
    made = metrics_registry(counts, read_figures(Path(path)) if path else None)
    return Response(encode(made), content_type=content_type)


def metrics_registry(counts: RegistryCounts, figures: OperationFigures | None) -> CollectorRegistry:
    """Return the metrics of the registry, and those of the operation if the supervision has written them."""

    class Figures(Collector):
        def collect(self) -> Iterable[Metric]:
            yield from _of_registry(counts)
            if figures:
                yield from _of_operation(figures)
                yield from _of_runs(figures)

    # without the metrics of this process: another one may answer the next request
    made = CollectorRegistry(auto_describe=False)
    made.register(Figures())
    return made


def _of_registry(counts: RegistryCounts) -> Iterator[Metric]:
    info = GaugeMetricFamily("elp_build_info", "The version of elp that answers.", labels=["version"])
    info.add_metric([version("elp-foundry")], 1)
    yield info
    yield GaugeMetricFamily("elp_slots", "Slots with a registered model.", counts.slots)
    yield _gauge("elp_versions", "Adapter versions that exist.", "status", _filled(counts.versions, STATUSES))
    since = "When the present champion of a slot was promoted."
    yield _by_slot("elp_champion_since_timestamp_seconds", since, counts.champions)
    verdicts = _filled(counts.verdicts, OUTCOMES)
    yield _counter("elp_verdicts", "Verdicts of the gate that were recorded.", "outcome", verdicts)
    yield CounterMetricFamily("elp_ledger_entries", "Entries of the ledger.", counts.ledger)
    yield CounterMetricFamily("elp_refused_requests", "Requests that the guard refused.", counts.refused)
    yield GaugeMetricFamily("elp_overrides_open", "Overrides that wait or are in force.", counts.overrides)


def _of_operation(figures: OperationFigures) -> Iterator[Metric]:
    at = "When the supervision collected the figures of the operation."
    yield GaugeMetricFamily("elp_figures_timestamp_seconds", at, figures.at)
    yield GaugeMetricFamily("elp_prefect_up", "Whether Prefect answered the supervision.", int(figures.prefect))
    up = {name: int(runs) for name, runs in figures.up.items()}
    yield _gauge("elp_process_up", "Whether a process of elp up runs.", "process", up)
    restarts = "How often a process of elp up has ended unasked."
    yield _counter("elp_process_ends", restarts, "process", figures.restarts)
    yield GaugeMetricFamily("elp_disk_free_bytes", "Free bytes on the disk of the workspace.", figures.disk_free)
    yield GaugeMetricFamily("elp_disk_size_bytes", "Bytes of the disk of the workspace.", figures.disk_size)
    inboxes = GaugeMetricFamily(
        "elp_inbox_deliveries", "Deliveries in the inbox of a slot.", labels=["site", "task", "state"]
    )
    for slot, states in figures.inboxes.items():
        for state in INBOX_STATES:
            inboxes.add_metric([*_site_task(slot), state], states.get(state, 0))
    yield inboxes
    yield GaugeMetricFamily("elp_inboxes_unreadable", "Inboxes that could not be read.", figures.inbox_faults)


def _of_runs(figures: OperationFigures) -> Iterator[Metric]:
    runs = _filled(figures.runs, RUN_STATES)
    yield _gauge("elp_flow_runs", "Flow runs that are due and have not ended.", "state", runs)
    ended = CounterMetricFamily("elp_flow_runs_ended", "Flow runs that have ended.", labels=["flow", "state"])
    for flow, states in figures.ended.items():
        for state in END_STATES:
            ended.add_metric([flow, state], states.get(state, 0))
    yield ended
    yield _gauge("elp_queue_runs", "Due runs that no worker has begun.", "pool", figures.waiting)
    waits = {pool: max(0.0, figures.at - figures.oldest.get(pool, figures.at)) for pool in figures.waiting}
    yield _gauge("elp_queue_oldest_run_seconds", "How long the oldest of them has waited.", "pool", waits)
    yield _gauge("elp_workers_online", "Workers that report to Prefect.", "pool", figures.workers)
    last = "When the last ingest or retrain of a slot completed."
    yield _by_slot("elp_slot_last_success_timestamp_seconds", last, figures.last_success)
    yield GaugeMetricFamily(
        "elp_slots_overdue", "Slots with an overdue run: late for half an hour, as the alert counts.", figures.overdue
    )
    steps = HistogramMetricFamily("elp_step_duration_seconds", "Completed steps of runs.", labels=["step"])
    for step in STEPS:
        if step in figures.durations:
            counts, number = figures.durations[step].counts, 0
            buckets = []
            for bound, count in zip([*map(str, BOUNDS), "+Inf"], counts, strict=True):
                number += count
                buckets.append((bound, number))
            steps.add_metric([step], buckets, figures.durations[step].total)
    yield steps


def _filled(counts: Mapping[str, int], known: Iterable[str]) -> dict[str, int]:
    """Return the counts with 0 for what there is none of: a series that comes and goes is hard to alert on."""
    return {**dict.fromkeys(known, 0), **counts}


def _gauge(name: str, text: str, label: str, values: Mapping[str, float]) -> GaugeMetricFamily:
    family = GaugeMetricFamily(name, text, labels=[label])
    for key, value in values.items():
        family.add_metric([key], value)
    return family


def _counter(name: str, text: str, label: str, values: Mapping[str, int]) -> CounterMetricFamily:
    family = CounterMetricFamily(name, text, labels=[label])
    for key, value in values.items():
        family.add_metric([key], value)
    return family


def _by_slot(name: str, text: str, values: Mapping[str, float]) -> GaugeMetricFamily:
    family = GaugeMetricFamily(name, text, labels=["site", "task"])
    for slot, value in values.items():
        family.add_metric(_site_task(slot), value)
    return family


def _site_task(slot: str) -> list[str]:
    site, _, task = slot.partition("/")
    return [site, task]
