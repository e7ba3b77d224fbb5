from __future__ import annotations

import dataclasses
import os

import psutil
import pytest

from pipelines.errors import ServiceError, WorkspaceError
from pipelines.local import accounts
from pipelines.local.addresses import (
    Record,
    log_in_to_prefect,
    mlflow_uri,
    prefect_api,
    prefect_pages,
    read_record,
    write_record,
)
from pipelines.local.processes import Process
from pipelines.local.settings import Servers
from pipelines.local.workspace import Workspace


def _this_process(name: str, address: str) -> Process:
    return Process(name, os.getpid(), psutil.Process().create_time(), "x.log", address)


def _elsewhere(workspace: Workspace, **servers: str) -> Workspace:
    return dataclasses.replace(workspace, settings=dataclasses.replace(workspace.settings, servers=Servers(**servers)))


def test_the_record_reads_back(workspace: Workspace) -> None:
    record = Record((_this_process("mlflow", "http://127.0.0.1:1"),), {"mlflow": 1})
    write_record(workspace, record)
    assert read_record(workspace) == record
    assert [p.name for p in workspace.state.glob("servers*")] == ["servers.json"]


def test_addresses_come_from_what_runs(workspace: Workspace) -> None:
    ours = (_this_process("mlflow", "http://127.0.0.1:1"), _this_process("prefect", "http://127.0.0.1:2"))
    write_record(workspace, Record(ours, {}))
    assert mlflow_uri(workspace) == "http://127.0.0.1:1"
    assert prefect_api(workspace) == "http://127.0.0.1:2/api"


def test_the_pages_of_prefect_are_below_the_front_if_there_is_one(workspace: Workspace) -> None:
    ours = (_this_process("mlflow", "http://127.0.0.1:1"), _this_process("prefect", "http://127.0.0.1:2"))
    api = "http://127.0.0.1:2/api"
    for front, pages in ((True, "http://127.0.0.1:1/prefect"), (False, "http://127.0.0.1:2")):
        write_record(workspace, Record(ours, {}, front=front))
        assert prefect_pages(workspace, api) == pages
        # one that runs elsewhere has its own pages
        assert prefect_pages(workspace, "https://pf.example/api/") == "https://pf.example"


def test_only_a_prefect_behind_a_login_has_a_key(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "environ", {})
    accounts.create(workspace)
    ours = (_this_process("prefect", "http://127.0.0.1:2"),)
    # a server that was started before there was a front asks for none
    for auth, front in ((False, True), (True, False)):
        write_record(workspace, Record(ours, {}, auth=auth, front=front))
        prefect_api(workspace)
        assert os.environ == {}
    write_record(workspace, Record(ours, {}, auth=True, front=True))
    prefect_api(workspace)
    assert os.environ == {"PREFECT_API_AUTH_STRING": accounts.prefect_key(workspace)}
    assert accounts.prefect_key(workspace).startswith("elp:")
    # the record is of the time before Prefect ran elsewhere, where this key is not known
    monkeypatch.setattr(os, "environ", {"PREFECT_API_AUTH_STRING": "another"})
    log_in_to_prefect(_elsewhere(workspace, prefect_api="https://pf.example/api"))
    assert os.environ == {"PREFECT_API_AUTH_STRING": "another"}


def test_a_server_that_has_ended_is_told_apart_from_one_never_started(workspace: Workspace) -> None:
    with pytest.raises(ServiceError, match=r"mlflow server .* is not running; start it with: elp up"):
        mlflow_uri(workspace)
    gone = dataclasses.replace(_this_process("mlflow", "http://127.0.0.1:1"), created=1.0)
    write_record(workspace, Record((gone,), {}))
    with pytest.raises(ServiceError, match="was started but has ended"):
        mlflow_uri(workspace)


def test_settings_point_elsewhere(workspace: Workspace) -> None:
    remote = _elsewhere(workspace, mlflow_uri="https://ml.example/", prefect_api="https://pf.example/api/")
    assert (mlflow_uri(remote), prefect_api(remote)) == ("https://ml.example", "https://pf.example/api")


def test_a_damaged_record_is_refused(workspace: Workspace) -> None:
    workspace.state.mkdir(exist_ok=True)
    (workspace.state / "servers.json").write_text("{")
    with pytest.raises(WorkspaceError, match=r"servers\.json is damaged"):
        read_record(workspace)
