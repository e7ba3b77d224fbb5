from __future__ import annotations

import threading
from dataclasses import replace
from pathlib import Path

import pytest

from pipelines.local.doctor import Finding, examine
from pipelines.local.settings import Servers, Settings
from pipelines.local.workspace import Workspace
from pipelines.registry.signing import key_folder


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    monkeypatch.delenv("ELP_KEYS", raising=False)
    return Workspace(tmp_path, Settings())


@pytest.fixture
def keys(workspace: Workspace) -> Path:
    return key_folder.ensure_keys(workspace.state / "keys").folder


def _check(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> Finding:
    from pipelines.local import doctor

    for other in ("_python", "_packages", "_disk", "_git", "_clock", "_gpu", "_backbone"):
        monkeypatch.setattr(doctor, other, lambda _: ("ok", "", ""))
    monkeypatch.setattr(doctor, "service_status", lambda *_, **__: [])
    (found,) = [check for check in examine(workspace, {}) if check.name == "keys"]
    return found


def test_keys_that_can_sign_are_well(workspace: Workspace, keys: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    key_folder.rotate_key(keys, "verdict")
    found = _check(workspace, monkeypatch)
    assert (found.outcome, found.detail) == ("ok", "can sign lineage, verdict, ledger; 4 trusted, 1 ended")


def test_a_role_without_a_key_is_told(workspace: Workspace, keys: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    key_folder.retire_key(keys, "verdict")
    found = _check(workspace, monkeypatch)
    assert found.outcome == "fail"
    assert "make one: elp keys new --role verdict" in found.detail


def test_a_key_that_others_may_read_is_told(workspace: Workspace, keys: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for path in (keys / "private").iterdir():
        path.chmod(0o644)
    found = _check(workspace, monkeypatch)
    assert (found.outcome, "run: chmod 600 " in found.detail) == ("fail", True)


def test_the_ledgers_key_is_where_the_server_is(
    workspace: Workspace, keys: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    key_folder.retire_key(keys, "ledger")
    elsewhere = replace(workspace, settings=Settings(servers=Servers(mlflow_uri="http://ml.plant.lan")))
    assert _check(workspace, monkeypatch).outcome == "fail"
    assert _check(elsewhere, monkeypatch).outcome == "ok"


def test_a_private_key_that_nobody_trusts_is_told(
    workspace: Workspace, keys: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (keys / "private" / "stray.pem").write_text("x")
    found = _check(workspace, monkeypatch)
    assert (found.outcome, found.detail) == ("warn", "1 private key of no active key: stray.pem")


def test_no_keys_at_all_are_told(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    found = _check(workspace, monkeypatch)
    assert (found.outcome, "elp keys new" in found.detail) == ("fail", True)


def test_a_check_that_hangs_is_a_failure_and_the_others_are_made(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    from pipelines.local import doctor

    ended = threading.Event()

    def hang(_: Workspace) -> tuple[str, str, str]:
        ended.wait(60)
        return "ok", "", ""

    for other in ("_python", "_packages", "_disk", "_keys", "_clock", "_gpu", "_backbone"):
        monkeypatch.setattr(doctor, other, lambda _: ("ok", "", ""))
    monkeypatch.setattr(doctor, "_git", hang)
    monkeypatch.setattr(doctor, "CHECK_DEADLINE", 0.1)
    monkeypatch.setattr(doctor, "service_status", lambda *_, **__: [])
    found = {check.name: check for check in examine(workspace, {})}
    ended.set()
    assert (found["git"].outcome, found["backbone"].outcome) == ("fail", "ok")
    assert "does not answer within" in found["git"].detail
    assert "hangs" in found["git"].remedy
