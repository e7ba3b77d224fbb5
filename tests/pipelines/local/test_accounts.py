from __future__ import annotations

import dataclasses
import os
import stat

import psutil
import pytest

from pipelines.errors import ServiceError, WorkspaceError
from pipelines.local import accounts, lifecycle
from pipelines.local import service_commands as commands
from pipelines.local.addresses import Record, read_record, write_record
from pipelines.local.processes import Process
from pipelines.local.runs_in_progress import runs_in_progress
from pipelines.local.servers import server_command
from pipelines.local.settings import Servers
from pipelines.local.workspace import Workspace


def test_the_first_administrator_is_told_once_and_kept_for_the_owner_only(workspace: Workspace) -> None:
    admin = accounts.create(workspace)
    assert admin is not None
    assert accounts.create(workspace) is None
    assert accounts.first_admin(workspace) == admin
    folder = workspace.state / "auth"
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert {stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()} == {0o600}


def test_no_password_is_in_the_command_line_or_in_the_administrators_environment(workspace: Workspace) -> None:
    admin = accounts.create(workspace)
    service = accounts.service(workspace)
    assert admin is not None
    assert service is not None
    environment = accounts.login_environment(workspace)
    shown = [*commands.mlflow_command(workspace, "127.0.0.1", 1), *environment.values()]
    assert not [word for word in shown if admin.password in word or service.password in word]
    assert environment["ELP_AUTH"] == "1"


def test_workers_act_as_the_service_account_whoever_starts_them(workspace: Workspace, monkeypatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", "anna")
    accounts.create(workspace)
    environment = commands.worker_environment(workspace, "http://127.0.0.1:1/api")
    assert environment["MLFLOW_TRACKING_USERNAME"] == accounts.SERVICE


def test_this_process_logs_in_as_the_user_given_else_as_the_service_account(workspace: Workspace, monkeypatch) -> None:
    monkeypatch.setattr(os, "environ", {})
    accounts.log_in(workspace)
    assert os.environ == {}
    accounts.create(workspace)
    accounts.log_in(workspace)
    assert os.environ["MLFLOW_TRACKING_USERNAME"] == accounts.SERVICE
    os.environ["MLFLOW_TRACKING_USERNAME"] = "anna"
    accounts.log_in(workspace)
    assert os.environ["MLFLOW_TRACKING_USERNAME"] == "anna"


def test_a_changed_password_of_the_first_administrator_is_forgotten(workspace: Workspace) -> None:
    accounts.create(workspace)
    accounts.forget_first_password(workspace)
    assert accounts.first_admin(workspace) is None
    assert stat.S_IMODE((workspace.state / "auth" / "server.ini").stat().st_mode) == 0o600
    assert "users.db" in (workspace.state / "auth" / "server.ini").read_text()


def test_a_damaged_account_is_named(workspace: Workspace) -> None:
    accounts.create(workspace)
    (workspace.state / "auth" / "service.json").write_text("{}")
    with pytest.raises(WorkspaceError, match=r"service.json is damaged"):
        accounts.service(workspace)


def test_a_login_is_not_switched_under_a_running_server(workspace: Workspace) -> None:
    import psutil

    here = Process("mlflow", os.getpid(), psutil.Process().create_time(), "", "http://127.0.0.1:1")
    write_record(workspace, Record((here,)))
    with pytest.raises(ServiceError, match=r"without a login now; run: elp down, then: elp up --auth"):
        lifecycle.up(workspace, lambda *_: None, auth=True, log=lambda _: None)
    assert not read_record(workspace).auth


def test_a_login_of_a_server_elsewhere_is_switched_on_there(workspace: Workspace) -> None:
    servers = Servers(mlflow_uri="http://127.0.0.1:1")
    remote = dataclasses.replace(workspace, settings=dataclasses.replace(workspace.settings, servers=servers))
    with pytest.raises(ServiceError, match=r"runs elsewhere .*docs/how-to/access.md"):
        lifecycle.up(remote, lambda *_: None, auth=True, log=lambda _: None)


def test_that_a_login_is_on_is_remembered(workspace: Workspace) -> None:
    write_record(workspace, Record(auth=True))
    assert read_record(workspace).auth
    lifecycle.down(workspace, log=lambda _: None)
    assert read_record(workspace).auth


@pytest.mark.parametrize("content", [None, "", "elp:", "\n"])
def test_without_a_whole_key_no_prefect_is_started_with_a_login(workspace: Workspace, content: str | None) -> None:
    accounts.create(workspace)
    path = workspace.state / "auth" / "prefect-key"
    path.unlink()
    if content is not None:
        path.write_text(content)
    record = Record(ports={"mlflow": 1, "prefect": 2}, auth=True, front=True)
    with pytest.raises(WorkspaceError, match=r"prefect-key (is damaged; delete it|cannot be read)"):
        server_command(workspace, record, "prefect", "http://127.0.0.1:2/api", 2)
    # elp down works without it
    write_record(workspace, Record((_prefect(),), auth=True, front=True))
    assert runs_in_progress(workspace) == []


def _prefect() -> Process:
    return Process("prefect", os.getpid(), psutil.Process().create_time(), "x.log", "http://127.0.0.1:1")
