from __future__ import annotations

import dataclasses
import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from elp_core.errors import ConfigError
from pipelines.errors import ServiceError
from pipelines.local import accounts, lifecycle
from pipelines.local import http_client as web
from pipelines.local import service_commands as commands
from pipelines.local.addresses import Record, read_record, write_record
from pipelines.local.chosen_ports import choose_port, last_port
from pipelines.local.environment import OFFLINE, child_environment
from pipelines.local.processes import start
from pipelines.local.servers import server_command
from pipelines.local.settings import Servers
from pipelines.local.workspace import Workspace, open_workspace
from pipelines.registry.signing.keys import load_trusted_keys
from tests.support.pretended_prefect import answering


def _on_ports(workspace: Workspace, mlflow: int, prefect: int) -> Workspace:
    servers = Servers(mlflow_port=mlflow, prefect_port=prefect)
    return dataclasses.replace(workspace, settings=dataclasses.replace(workspace.settings, servers=servers))


def test_a_taken_port_is_named_with_its_remedies_and_nothing_starts(workspace: Workspace) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        busy = _on_ports(workspace, web.free_port("127.0.0.1"), port)
        with pytest.raises(
            ServiceError, match=rf"port {port} for prefect is taken.*servers.prefect_port.*--free-ports"
        ):
            lifecycle.up(busy, lambda *_: None, log=lambda _: None)
    assert read_record(busy).processes == ()


@pytest.mark.parametrize(
    ("elsewhere", "roles"), [(True, ("lineage", "verdict")), (False, ("lineage", "verdict", "ledger"))]
)
def test_a_workspace_without_keys_gets_those_it_needs(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch, elsewhere: bool, roles: tuple[str, ...]
) -> None:
    monkeypatch.delenv("ELP_KEYS", raising=False)
    shutil.rmtree(workspace.state / "keys")
    monkeypatch.setattr(lifecycle, "_start_servers", _no_servers)
    servers = Servers(mlflow_uri="http://127.0.0.1:1" if elsewhere else "")
    settings = dataclasses.replace(workspace.settings, servers=servers)
    with pytest.raises(ServiceError, match="none today"):
        lifecycle.up(dataclasses.replace(workspace, settings=settings), lambda *_: None, log=lambda _: None)
    assert tuple(key.name for key in load_trusted_keys(workspace.state / "keys").keys) == roles


def _no_servers(*_: object) -> None:
    raise ServiceError("none today")


def test_the_owner_of_a_port_is_named() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        assert "pid" in web.port_owner(taken.getsockname()[1])


def test_a_server_that_dies_at_start_shows_its_log_and_leaves_nothing(workspace: Workspace, monkeypatch) -> None:
    dying = [sys.executable, "-c", "raise SystemExit('no such option: --bogus')"]
    sleeping = [sys.executable, "-c", "import time; time.sleep(600)"]
    monkeypatch.setattr(commands, "prefect_command", lambda *_: dying)
    monkeypatch.setattr(commands, "mlflow_command", lambda *_: sleeping)
    with pytest.raises(ServiceError, match=r"prefect ended while it started.*\n.*\n?.*no such option"):
        lifecycle.up(_on_ports(workspace, 0, 0), lambda *_: None, log=lambda _: None)
    assert read_record(workspace).processes == ()


@pytest.mark.parametrize(("auth", "front"), [(True, True), (False, True), (True, False), (False, False)])
def test_the_key_is_known_to_prefect_the_front_and_the_workers_only_with_a_login(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch, auth: bool, front: bool
) -> None:
    monkeypatch.delenv("PREFECT_API_AUTH_STRING", raising=False)
    accounts.create(workspace)
    record = Record(ports={"mlflow": 1, "prefect": 2}, auth=auth, front=front)
    write_record(workspace, record)
    api = "http://127.0.0.1:2/api"
    key = accounts.prefect_key(workspace) if auth and front else None
    command, prefect = server_command(workspace, record, "prefect", api, 2)
    mlflow = server_command(workspace, record, "mlflow", api, 1)[1]
    assert prefect.get("PREFECT_SERVER_API_AUTH_STRING") == mlflow.get("PREFECT_API_AUTH_STRING") == key
    assert commands.worker_environment(workspace, api).get("PREFECT_API_AUTH_STRING") == key
    assert mlflow.get("ELP_PREFECT_SERVER") == ("http://127.0.0.1:2" if front else None)
    assert prefect.get("ELP_FRONT") == ("http://127.0.0.1:1" if front else None)
    # what `ps` shows has no key
    assert accounts.prefect_key(workspace) not in " ".join(command)


def test_a_server_elsewhere_that_is_silent_is_named(workspace: Workspace) -> None:
    address = f"http://127.0.0.1:{web.free_port('127.0.0.1')}"
    servers = Servers(mlflow_uri=address, prefect_api=f"{address}/api")
    remote = dataclasses.replace(workspace, settings=dataclasses.replace(workspace.settings, servers=servers))
    with pytest.raises(ServiceError, match=rf"prefect server at {address} .*does not answer"):
        lifecycle.up(remote, lambda *_: None, log=lambda _: None)


def test_telemetry_is_off_in_every_child_and_a_users_own_word_stays(monkeypatch) -> None:
    monkeypatch.setenv("GX_ANALYTICS_ENABLED", "true")
    environment = child_environment({"EXTRA": "1"})
    assert environment["GX_ANALYTICS_ENABLED"] == "true"
    assert {name for name in OFFLINE if name not in environment} == set()
    assert environment["EXTRA"] == "1"


def test_a_child_finds_a_relative_backbone_where_its_parent_does(tmp_path: Path, monkeypatch) -> None:
    (tmp_path / "models" / "ours").mkdir(parents=True)
    (tmp_path / "deep").mkdir()
    (tmp_path / "elp.yaml").write_text("backbone: models/ours\n")
    monkeypatch.chdir(tmp_path / "deep")
    open_workspace()
    command = "from elp_core.checkpoint_folders import local_folder; print(local_folder('models/ours'))"
    child = subprocess.run(
        [sys.executable, "-c", command], env=child_environment({}), stdout=subprocess.PIPE, text=True
    )
    assert child.stdout.strip() == str(tmp_path / "models" / "ours")


def test_a_chosen_port_stays_while_it_is_free_and_the_setting_is_the_same() -> None:
    chosen, configured = web.free_port("127.0.0.1"), web.free_port("127.0.0.1")
    record = Record(ports={"mlflow": chosen}, configured={"mlflow": configured})
    last = last_port(record, "mlflow", configured)
    assert last == chosen
    # the configured port is free again, and the addresses that people know stay
    assert choose_port("mlflow", "127.0.0.1", configured, last, False) == chosen
    with socket.create_server(("127.0.0.1", chosen)):
        assert choose_port("mlflow", "127.0.0.1", configured, last, False) == configured
    # another setting, and a record of 0.1.0, which says nothing about it
    assert last_port(record, "mlflow", configured + 1) == 0
    assert last_port(Record(ports={"mlflow": chosen}), "mlflow", configured) == 0
    assert last_port(Record(ports={"mlflow": chosen}), "mlflow", 0) == chosen


def test_down_deletes_its_workers_on_a_prefect_server_elsewhere(workspace: Workspace) -> None:
    """The supervision of another control host would report them as lost."""
    deleted: list[str] = []
    with answering(lambda path, _, body: (200, deleted.append(path) if body is None else [])) as api:
        settings = dataclasses.replace(workspace.settings, servers=Servers(prefect_api=f"{api}/"))
        there = dataclasses.replace(workspace, settings=settings)
        log = there.state / "logs" / "elp-gpu.log"
        write_record(there, Record((start("elp-gpu", ["sleep", "600"], dict(os.environ), log),)))
        assert [process.name for process in lifecycle.down(there, lambda _: None)] == ["elp-gpu"]
    assert deleted == [f"/api/work_pools/elp-gpu/workers/{commands.worker_name(there, 'elp-gpu')}"]


def test_a_control_host_without_trainings_starts_the_data_worker_only(workspace: Workspace) -> None:
    servers = dataclasses.replace(workspace.settings.servers, workers=0)
    control = dataclasses.replace(workspace, settings=dataclasses.replace(workspace.settings, servers=servers))
    assert commands.local_pools(control) == ["elp-cpu"]
    assert commands.local_pools(workspace) == ["elp-cpu", "elp-gpu"]
    assert int(commands.worker_environment(control, "http://127.0.0.1:4200/api")["OMP_NUM_THREADS"]) >= 1
    with pytest.raises(ConfigError, match="workers is -1, expected 0 or more"):
        dataclasses.replace(servers, workers=-1)
