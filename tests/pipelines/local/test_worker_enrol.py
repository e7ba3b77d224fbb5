"""A worker of another machine: which addresses it gets, and what a wrong command says."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from pipelines.cli.main import run
from pipelines.errors import UsageError
from pipelines.local import worker_enrol
from pipelines.local.worker_enrol import enrol_here
from pipelines.local.worker_home import read_worker

ADDRESSES = {
    "prefect_api": "http://127.0.0.1:4200/api", "git": "ssh://elp@localhost:2222/srv/foundry.git", "remote": "/srv/dvc",
}  # fmt: skip
ANSWER: dict[str, Any] = {"name": "w1", "addresses": ADDRESSES, "account": None, "prefect_key": ""}


@pytest.fixture(autouse=True)
def _server(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker_enrol.workers, "enrol_worker_keys", lambda *_: ANSWER)


def test_a_loopback_address_means_the_control_host(tmp_path: Path) -> None:
    made = enrol_here(tmp_path / "home", "http://control.plant.lan:5000/", "w1.x")
    assert made == read_worker(tmp_path / "home")
    assert (made.mlflow_uri, made.prefect_api) == (
        "http://control.plant.lan:5000", "http://control.plant.lan:4200/api",
    )  # fmt: skip
    assert made.git == "ssh://elp@control.plant.lan:2222/srv/foundry.git"
    assert made.remote == "/srv/dvc"


def test_on_the_control_host_itself_the_addresses_stay(tmp_path: Path) -> None:
    made = enrol_here(tmp_path / "home", "http://127.0.0.1:5000", "w1.x")
    assert (made.prefect_api, made.git) == (ADDRESSES["prefect_api"], ADDRESSES["git"])
    six = enrol_here(tmp_path / "home", "http://[fd00::1]:5000", "w1.x")
    assert six.prefect_api == "http://[fd00::1]:4200/api"


def test_an_account_and_prefects_key_are_kept_for_the_owner_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    account = {"username": "worker-w1", "password": "p" * 32}
    answer = {**ANSWER, "account": account, "prefect_key": "elp:key"}
    monkeypatch.setattr(worker_enrol.workers, "enrol_worker_keys", lambda *_: answer)
    home = tmp_path / "home"
    words = ["worker", "enrol", "http://control:5000", "--token", "w1.x", "--home", str(home)]
    assert run([*words, "--json"]) == 0
    assert json.loads(capfd.readouterr().out)["name"] == "w1"
    made = read_worker(home)
    assert (made.username, made.password, made.prefect_key) == ("worker-w1", "p" * 32, "elp:key")
    assert (home / "worker.json").stat().st_mode & 0o777 == 0o600
    assert run(words) == 0
    shown = capfd.readouterr().out
    assert f"next: elp worker --home {home}" in shown
    assert "p" * 32 not in shown


@pytest.mark.parametrize("address", ["control:5000", "ftp://control", "http://", "http://[x", "", "../x"])
def test_what_is_no_address_is_refused(tmp_path: Path, address: str) -> None:
    with pytest.raises(UsageError, match="is no address of an MLflow server; expected such as"):
        enrol_here(tmp_path, address, "w1.x")


def test_a_machine_that_is_not_enrolled_is_told_how(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert run(["worker", "--home", str(tmp_path)]) == 1
    assert "is no enrolled worker; on the control host run: elp worker invite NAME" in capfd.readouterr().err
