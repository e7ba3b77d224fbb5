"""The commands of docs/how-to/access.md, one after the other, in a real workspace whose server asks for a login."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipelines.local import accounts
from pipelines.local.addresses import mlflow_uri
from pipelines.local.workspace import Workspace, open_workspace
from pipelines.registry.client.connection import Account
from pipelines.registry.signing.keys import key_folder, load_trusted_keys
from tests.docs.pages import fences
from tests.support.rest import Rest
from tests.support.shell import shell
from tests.support.versions_by_hand import ELP, gate, promote, register
from tests.support.workspaces import isolate

pytestmark = [pytest.mark.slow, pytest.mark.integration, pytest.mark.timeout(900)]

SETTINGS = "servers: {mlflow_port: 0, prefect_port: 0}\n"
LOGINS = {
    "elp promote": ("anna", "correct horse battery"),
    "elp approve": ("berta", "another long password"),
    "elp withdraw": ("berta", "another long password"),
}


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    from pipelines.local.initialise import init_workspace

    isolate(tmp_path / "home", monkeypatch)
    monkeypatch.setattr(os, "environ", dict(os.environ))
    root = init_workspace(tmp_path / "workspace").root
    (root / "elp.yaml").write_text(SETTINGS)
    yield root
    shell("elp down --yes", root)


def _a_champion_and_one_that_the_gate_has_not_seen(workspace: Workspace) -> None:
    uri, keys = mlflow_uri(workspace), load_trusted_keys(key_folder(workspace.state))
    service, admin = accounts.service(workspace), accounts.first_admin(workspace)
    assert service is not None
    assert admin is not None
    rest = Rest(uri, (service.name, service.password))
    first, _ = (register(rest, "elp.plant-a.asr", mark, lineage=keys) for mark in ("one", "two"))
    gate(rest, first, "passed", None, keys)
    promote(Rest(uri, (admin.name, admin.password)), first)


def test_the_pages_commands_run_and_no_password_is_anywhere_it_could_be_read(workspace: Path) -> None:
    said: dict[str, str] = {}
    for block in (f for f in fences("sh") if f.page == "access.md"):
        for line in block.commands:
            verb = " ".join(line.split("|")[-1].split()[:2])
            if verb == "elp promote":
                _a_champion_and_one_that_the_gate_has_not_seen(open_workspace(workspace))
            login = Account(*LOGINS[verb]).environment() if verb in LOGINS else {}
            done = shell(line, workspace, **login)
            assert done.returncode == 0, line
            said[verb] = said.get(verb, "") + done.stdout + done.stderr
    admin = accounts.first_admin(open_workspace(workspace))
    assert admin is not None
    assert said["elp up"].count(admin.password) == 1
    assert "plant-a/asr v2: OVERRIDE until" in said["elp status"]
    assert "the override of v2 is over" in said["elp withdraw"]
    logs = "".join(path.read_text(errors="replace") for path in (workspace / ".elp" / "logs").iterdir())
    commands = subprocess.run(["ps", "-ww", "-eo", "args"], capture_output=True, text=True, check=True).stdout
    secrets = [admin.password, *(password for _, password in LOGINS.values())]
    assert not [word for word in secrets if word in logs or word in commands]
    _started_again_it_still_asks(workspace)


def _started_again_it_still_asks(workspace: Path) -> None:
    assert shell("elp down", workspace).returncode == 0
    again = shell("elp up", workspace)
    assert again.returncode == 0
    assert "password" not in again.stderr
    assert Rest(mlflow_uri(open_workspace(workspace)))("GET", f"{ELP}/status").status == 401
    answer = shell("elp versions list plant-a/asr --json", workspace)
    assert answer.returncode == 0, "our own client is let in as the workers' account"
