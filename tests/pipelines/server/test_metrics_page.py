"""The metrics: what the registry and the supervision count, in Prometheus' format, quick at the size of a company."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa
from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore
from prometheus_client import generate_latest
from prometheus_client.openmetrics.exposition import generate_latest as generate_openmetrics
from prometheus_client.openmetrics.parser import text_string_to_metric_families as read_openmetrics
from prometheus_client.parser import text_string_to_metric_families

from pipelines.registry.operation_figures import DurationHistogram, OperationFigures, read_figures, write_figures
from pipelines.registry.signing.key_folder import ensure_keys
from pipelines.registry.slot import Slot
from pipelines.server.metrics_page import metrics_registry
from pipelines.server.read_models.registry_metrics import RegistryCounts, count_registry
from pipelines.server.stores.registry_store import GuardedStore
from tests.support.environment import lasting
from tests.support.new_databases import new_mlflow_database
from tests.support.registry_rows import fill

ROOT = Path(__file__).parents[3]
COUNTS = RegistryCounts(2, {"champion": 1}, {"plant-a/asr": 1.7e9}, {"passed": 3}, 12, 4, 1)
FIGURES = OperationFigures(
    at=1.7e9 + 60,
    prefect=True,
    runs={"running": 1},
    ended={"retrain": {"completed": 5, "failed": 1}},
    waiting={"elp-gpu": 2, "elp-cpu": 0},
    oldest={"elp-gpu": 1.7e9},
    workers={"elp-gpu": 1, "elp-cpu": 1},
    last_success={"plant-a/asr": 1.7e9},
    overdue=1,
    inboxes={"plant-a/asr": {"waiting": 1, "refused": 2}},
    inbox_faults=1,
    disk_free=10,
    disk_size=100,
    up={"mlflow": True, "elp-gpu": False},
    restarts={"mlflow": 0, "elp-gpu": 3},
    durations={"training": DurationHistogram().with_one(30.0).with_one(100_000.0)},
)


def _samples(counts: RegistryCounts, figures: OperationFigures | None) -> dict[str, float]:
    text = generate_latest(metrics_registry(counts, figures)).decode()
    found = {}
    for family in text_string_to_metric_families(text):
        assert family.documentation.endswith(".")
        for sample in family.samples:
            labels = ",".join(f"{k}={v}" for k, v in sorted(sample.labels.items()))
            key = f"{sample.name}{{{labels}}}" if labels else sample.name
            assert key not in found
            found[key] = sample.value
    return found


def test_every_figure_is_a_sample() -> None:
    found = _samples(COUNTS, FIGURES)
    expected = {
        "elp_slots": 2,
        "elp_versions{status=champion}": 1,
        "elp_versions{status=rejected}": 0,
        "elp_champion_since_timestamp_seconds{site=plant-a,task=asr}": 1.7e9,
        "elp_verdicts_total{outcome=passed}": 3,
        "elp_verdicts_total{outcome=undecided}": 0,
        "elp_ledger_entries_total": 12,
        "elp_refused_requests_total": 4,
        "elp_overrides_open": 1,
        "elp_prefect_up": 1,
        "elp_process_up{process=elp-gpu}": 0,
        "elp_process_ends_total{process=elp-gpu}": 3,
        "elp_disk_free_bytes": 10,
        "elp_inbox_deliveries{site=plant-a,state=refused,task=asr}": 2,
        "elp_inbox_deliveries{site=plant-a,state=claimed,task=asr}": 0,
        "elp_inboxes_unreadable": 1,
        "elp_flow_runs{state=running}": 1,
        "elp_flow_runs_ended_total{flow=retrain,state=completed}": 5,
        "elp_flow_runs_ended_total{flow=retrain,state=crashed}": 0,
        "elp_queue_runs{pool=elp-gpu}": 2,
        "elp_queue_oldest_run_seconds{pool=elp-gpu}": 60,
        "elp_queue_oldest_run_seconds{pool=elp-cpu}": 0,
        "elp_workers_online{pool=elp-cpu}": 1,
        "elp_slot_last_success_timestamp_seconds{site=plant-a,task=asr}": 1.7e9,
        "elp_slots_overdue": 1,
        "elp_step_duration_seconds_bucket{le=15.0,step=training}": 0,
        "elp_step_duration_seconds_bucket{le=60.0,step=training}": 1,
        "elp_step_duration_seconds_bucket{le=+Inf,step=training}": 2,
        "elp_step_duration_seconds_count{step=training}": 2,
        "elp_step_duration_seconds_sum{step=training}": 100_030.0,
    }
    assert {name: found.get(name) for name in expected} == expected


def test_without_the_supervision_the_registry_is_counted_all_the_same() -> None:
    found = _samples(COUNTS, None)
    assert "elp_slots" in found
    assert not [name for name in found if name.startswith(("elp_flow", "elp_process", "elp_disk"))]


def test_names_follow_the_conventions_of_prometheus_and_openmetrics() -> None:
    families = list(read_openmetrics(generate_openmetrics(metrics_registry(COUNTS, FIGURES)).decode()))
    assert families
    for family in families:
        assert re.fullmatch(r"elp_[a-z]+(_[a-z]+)*", family.name)
        # base units, and none in thousands or minutes
        assert not re.search(r"_(ms|milliseconds|minutes|hours|days|kb|mb|gb|percent)$", family.name)
        for sample in family.samples:
            assert sample.labels.keys() <= {
                *("site", "task", "status", "state", "outcome", "pool", "process", "flow", "step", "le", "version")
            }


def test_a_slot_with_odd_figures_breaks_nothing() -> None:
    odd = OperationFigures(inboxes={'a"b\\c\nd': {"waiting": 1}}, last_success={"": 1.0})
    assert _samples(COUNTS, odd)


def test_figures_come_back_from_their_file_and_a_damaged_one_is_none(tmp_path: Path) -> None:
    path = tmp_path / "figures.json"
    assert read_figures(path) is None
    write_figures(path, FIGURES)
    assert read_figures(path) == FIGURES
    for text in ("", "[]", "{", '{"at": []}', '{"unknown": 1}', '"x"'):
        path.write_text(text)
        assert read_figures(path) is None


def test_every_query_of_the_dashboard_has_its_metric() -> None:
    dashboard = json.loads((ROOT / "deploy/grafana/elp-dashboard.json").read_text())
    known = {name.partition("{")[0] for name in _samples(COUNTS, FIGURES)}
    queries = [target["expr"] for panel in dashboard["panels"] for target in panel["targets"]]
    asked = {name for query in queries for name in re.findall(r"\belp_[a-z_]+", query)}
    assert asked <= known
    # and every metric is shown, but for the parts of the histogram and what only names the version
    shown = {name for name in known if not name.endswith(("_sum", "_count")) and name != "elp_build_info"}
    assert shown - asked == set()
    ids = [panel["id"] for panel in dashboard["panels"]]
    assert len(ids) == len(set(ids))


def test_the_page_names_every_metric() -> None:
    page = (ROOT / "docs/how-to/metrics.md").read_text()
    known = {re.sub(r"_(bucket|sum|count)$", "", name.partition("{")[0]) for name in _samples(COUNTS, FIGURES)}
    assert {name for name in known if f"`{name}" not in page} == set()


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[sa.Engine]:
    """A registry of 600 slots with eight versions each."""
    folder = tmp_path_factory.mktemp("metrics")
    ensure_keys(folder / "keys")
    lasting(ELP_KEYS=str(folder / "keys"))
    new_mlflow_database(folder / "mlflow.db")
    uri = f"sqlite:///{folder / 'mlflow.db'}"
    SqlAlchemyStore(uri, str(folder / "artifacts"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ELP_KEYS", str(folder / "keys"))
        made: sa.Engine = GuardedStore(f"elp+{uri}").engine
    fill(made, [Slot(f"site-{n}", task) for n in range(200) for task in ("asr", "asv", "ser")], 8)
    yield made
    made.dispose()


@pytest.mark.integration
def test_six_hundred_slots_are_answered_within_half_a_second(engine: sa.Engine) -> None:
    slots = [f"site-{n}/{task}" for n in range(200) for task in ("asr", "asv", "ser")]
    figures = OperationFigures(inboxes={slot: {"waiting": 1} for slot in slots}, last_success=dict.fromkeys(slots, 1.0))
    times = []
    for _ in range(5):
        began = time.process_time()
        with engine.connect() as connection:
            counts = count_registry(connection)
        text = generate_latest(metrics_registry(counts, figures))
        times.append(time.process_time() - began)
    assert counts.slots == 600
    assert sum(counts.versions.values()) == 4800
    assert counts.versions["champion"] == len(counts.champions) == 600
    assert sum(counts.verdicts.values()) == 4800
    assert counts.ledger > 9600
    # series, and so the cost of a scrape, grow with the slots only
    assert len(text.splitlines()) < 600 * 7 + 200
    print(f"CPU seconds: {sorted(times)}, {len(text)} bytes")
    assert min(times) < 0.5
