"""One judgement of verification by every engine: in one process, two processes, Dask and Ray, the same evidence."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from pipelines.registry.client.connection import connect
from pipelines.registry.slot import Slot
from tests.support import bundles, gate_run
from tests.support.dask_cluster import LIMIT, dask_cluster
from tests.support.prefect_server import prefect_server
from tests.support.versions import make_champion
from tests.support.workspaces import Site, isolate, own_slot

ROOT = Path(__file__).parents[3]
SLOT = Slot("divided-gate", "asv")
SETTINGS = """
backbone: {backbone}
slots:
  divided-gate/asv:
    train: {{batch_seconds: 2.0, device: cpu}}
    gate: {{limit: 1.0, resamples: 100, safety: {{max_slowdown: null}}}}
"""
Judged = Callable[..., dict[str, Any]]


@pytest.fixture(scope="module")
def prefect(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mapping[str, str]]:
    """Environment of processes that use a Prefect server."""
    folder = tmp_path_factory.mktemp("prefect")
    with pytest.MonkeyPatch.context() as patch:
        isolate(folder / "home", patch)
        with prefect_server(folder) as environment:
            yield environment


@pytest.fixture(scope="module")
def judged(site: Site, mlflow_uri: str, tmp_path_factory: pytest.TempPathFactory) -> Judged:
    """Judges a challenger against a champion by an engine, in a cache of its own."""
    folder, client = tmp_path_factory.mktemp("versions"), connect(mlflow_uri)
    own_slot(site, SLOT)
    make_champion(client, bundles.add_bundle(client, SLOT, "k1", folder))
    bundles.add_bundle(client, SLOT, "k2", folder)
    text = SETTINGS.format(backbone=site.settings.backbone)

    def judge(engine: str, address: str = "", environment: Mapping[str, str] | None = None) -> dict[str, Any]:
        settings = text
        if engine == "processes":
            settings += "    compute: {processes: 2}\n"
        cache = str(tmp_path_factory.mktemp(engine))
        values = gate_run.GateRun(engine, address, site.repository, str(SLOT), mlflow_uri, cache, settings)
        if environment is None:
            return gate_run.run(values)
        command = [sys.executable, "-m", "tests.support.gate_run", values.to_json()]
        done = subprocess.run(command, env=environment, cwd=ROOT, capture_output=True, text=True, timeout=LIMIT)
        assert done.returncode == 0, done.stderr[-3000:]
        found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
        return found

    return judge


@pytest.fixture(scope="module")
def serial(judged: Judged) -> dict[str, Any]:
    """What one process finds."""
    return judged("serial")


@pytest.mark.integration
def test_two_processes_give_the_evidence_of_one(
    judged: Judged, serial: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    divided = judged("processes")
    assert serial["chunks"] == 0
    assert divided["chunks"] >= 6
    assert (divided["evidence"], divided["verdict"]) == (serial["evidence"], serial["verdict"])


@pytest.mark.slow
@pytest.mark.parametrize("engine", ["dask", "ray"])
def test_a_cluster_gives_the_evidence_of_one_process(
    judged: Judged, serial: dict[str, Any], prefect: Mapping[str, str], engine: str, tmp_path: Path
) -> None:
    pytest.importorskip(f"prefect_{engine}", reason=f"pip install 'elp-foundry[{engine}]'")
    if engine == "dask":
        with dask_cluster(prefect, tmp_path) as address:
            divided = judged("dask", address, prefect)
    else:
        divided = judged("ray", "", prefect)
    assert divided["chunks"] >= 6
    assert (divided["evidence"], divided["verdict"]) == (serial["evidence"], serial["verdict"])
