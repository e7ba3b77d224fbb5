"""A retrain by Git address with the real servers: the worker has a home of its own and nothing of the workspace."""

from __future__ import annotations

import contextlib
import io
import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from pipelines.cli.main import run
from pipelines.datasets.versions import dataset_versions
from pipelines.local import git, lifecycle
from pipelines.local.addresses import mlflow_uri, read_record
from pipelines.local.processes import alive
from pipelines.local.run_workspace import clone_folder
from pipelines.local.workspace import Workspace
from pipelines.orchestration.deployments import register_deployments
from pipelines.orchestration.follow import follow
from pipelines.orchestration.prefect_api import connect_prefect, start_run
from pipelines.prefect_names import WRONG_RELEASE
from pipelines.registry.client import model_registry
from pipelines.registry.client.connection import connect
from pipelines.registry.client.server_api import list_statements
from pipelines.registry.signing.envelope import read_envelope
from pipelines.registry.signing.keys import key_folder
from pipelines.registry.slot import Slot
from tests.pipelines.conftest import SETTINGS
from tests.support.git_servers import shared_workspace
from tests.support.versions import make_champion
from tests.support.workspaces import delivery, isolate

pytestmark = [pytest.mark.integration, pytest.mark.slow, pytest.mark.timeout(900)]

ASR = Slot("plant-a", "asr")


@pytest.fixture(scope="module")
def up(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workspace]:
    """A workspace with a Git address whose servers and workers run."""
    from elp_core.testing import save_tiny

    folder = tmp_path_factory.mktemp("address")
    with pytest.MonkeyPatch.context() as patch:
        isolate(folder / "home", patch)
        patch.setenv("ELP_WORKER_HOME", str(folder / "worker"))
        save_tiny(folder / "backbone")
        settings = SETTINGS.format(backbone=folder / "backbone")
        workspace = shared_workspace(folder / "foundry", f"{settings}\nservers: {{mlflow_port: 0, prefect_port: 0}}\n")
        try:
            lifecycle.up(workspace, register_deployments, log=lambda _: None)
            yield workspace
        finally:
            processes = read_record(workspace).processes
            lifecycle.down(workspace, log=lambda _: None)
            assert not any(alive(process) for process in processes)


@pytest.fixture(scope="module")
def retrained(up: Workspace, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What `elp retrain` says about the first run, which has made version 1."""
    source, said = delivery(tmp_path_factory.mktemp("deliveries") / "monday"), io.StringIO()
    with contextlib.redirect_stdout(said):
        assert run(["retrain", str(ASR), str(source), "--json", "-w", str(up.root)]) in (0, 3)
    parameters: dict[str, Any] = json.loads(said.getvalue())["run"]["parameters"]
    assert parameters["revision"] == git.resolve(up.root)
    return parameters


def test_a_retrain_goes_by_the_address_alone(
    up: Workspace, retrained: dict[str, Any], capfd: pytest.CaptureFixture[str]
) -> None:
    home = up.root.parent / "worker"
    assert retrained["workspace"] == up.address
    clone = clone_folder(home, up.address)
    assert clone.is_dir()
    assert not (clone / "data" / "plant-a" / "asr" / "shards").exists(), "the data is read by its content"
    client = connect(mlflow_uri(up))
    versions = model_registry.list_versions(client, ASR)
    statements = list_statements(client.tracking_uri, model=ASR.model_name, kind="lineage")
    (statement,) = (one for one in statements if one.version == 1)
    payload = bytes(read_envelope(statement.envelope).payload).decode()
    assert f'"{up.address}"' in payload
    assert str(clone) not in payload
    # the worker loses its clone and its cache, and finds what is done all the same
    shutil.rmtree(home)
    assert run(["retrain", str(ASR), "--json", "-w", str(up.root)]) in (0, 3)
    assert model_registry.list_versions(client, ASR) == versions
    capfd.readouterr()
    assert run(["runs", "--json", "-w", str(up.root)]) == 0
    names = [one["name"] for one in json.loads(capfd.readouterr().out)]
    assert names.count(f"retrain {ASR}") == 2


@pytest.mark.usefixtures("retrained")
def test_a_site_changes_its_backbone_on_a_worker_that_shares_nothing(
    up: Workspace, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    from elp_core.testing import save_tiny

    monkeypatch.setenv("ELP_KEYS", str(key_folder(up.state)))
    client, new = connect(mlflow_uri(up)), str(save_tiny(up.root.parent / "new", seed=1))
    make_champion(client, model_registry.get(client, ASR, 1))
    git.commit(up.root, [_with_policy(up)], "Accept whatever two epochs make")
    git.git(up.root, "push", "--quiet", up.address, "main")
    migrate = ["backbone", "migrate", new, ASR.site, "-w", str(up.root)]
    command = [sys.executable, "-m", "pipelines.cli.main", *migrate]
    with subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True) as watched:
        assert watched.stderr is not None
        assert any(line.startswith(f"migrate {ASR}: http") for line in watched.stderr)
        watched.kill()
    # the run of the command that was killed is found, and no other one is started
    assert run([*migrate, "--json"]) == 0
    (site,) = json.loads(capfd.readouterr().out)
    assert [(one["slot"], one["champion"], one["version"], one["state"]) for one in site["slots"]] == [
        (str(ASR), 1, 2, "ready")
    ]
    assert run(["runs", "--json", "-w", str(up.root)]) == 0
    runs = [one for one in json.loads(capfd.readouterr().out) if one["name"] == f"migrate {ASR}"]
    assert [(one["state"], one["parameters"]["revision"]) for one in runs] == [("Completed", git.resolve(up.root))]
    # judged already: no run is started
    assert run(migrate) == 0
    assert "is judged already: passed" in capfd.readouterr().err
    # the commit that names the new backbone is at the address, so the next training on the worker uses it
    assert run(["backbone", "switch", new, ASR.site, "-w", str(up.root)]) == 0
    assert git.resolve(Path(up.address.removeprefix("file://")), "main") == git.resolve(up.root)
    assert run(["train", str(ASR), "--json", "-w", str(up.root)]) == 0
    assert model_registry.list_versions(client, ASR)[0].fingerprint == site["fingerprint"]
    assert run(["backbone", "back", ASR.site, "-w", str(up.root)]) == 0
    capfd.readouterr()


def _with_policy(workspace: Workspace) -> Path:
    path = workspace.root / "elp.yaml"
    gate = "{limit: 1.5, margin: 1.0, resamples: 200, safety: {max_slowdown: null, operating_margin: null}}"
    path.write_text(f"{path.read_text()}\nslots:\n  {ASR}:\n    gate: {gate}\n")
    return path.relative_to(workspace.root)


def test_a_commit_that_was_not_pushed_is_refused(up: Workspace, capfd: pytest.CaptureFixture[str]) -> None:
    (up.root / "notes.txt").write_text("mine\n")
    git.commit(up.root, [Path("notes.txt")], "Note")
    assert run(["train", str(ASR), "-w", str(up.root)]) == 1
    assert f"is not at {up.address}, so that no worker can read it; run: git push" in capfd.readouterr().err
    git.git(up.root, "push", "--quiet", up.address, "main")


def test_a_worker_with_another_release_refuses_the_run_by_name(up: Workspace) -> None:
    with connect_prefect(up) as client:
        made = start_run(client, up, "train", {"slot": str(ASR), "release": "elp 9.9, recipe 7"}, "train it")
        ended = follow(client, made, "elp-gpu", print)
        assert (ended.state, ended.state_type) == (WRONG_RELEASE, "FAILED")
        assert "asks for elp 9.9, recipe 7, and this worker has elp " in ended.message
        assert client.read_flow_run(UUID(made.id)).run_count == 1


@pytest.mark.usefixtures("retrained")
def test_every_version_is_at_the_address(up: Workspace, tmp_path: Path) -> None:
    fresh = tmp_path / "fresh"
    git.git(tmp_path, "clone", "--quiet", up.address, str(fresh))
    assert dataset_versions(fresh, ASR) == dataset_versions(up, ASR)
