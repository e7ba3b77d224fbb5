"""The commands of docs/how-to/alerts.md, one after the other, with receivers on this machine."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.docs.pages import fences
from tests.support.receivers import http_receiver, smtp_receiver
from tests.support.shell import shell
from tests.support.workspaces import isolate

pytestmark = [pytest.mark.slow, pytest.mark.integration, pytest.mark.timeout(900)]

SECRET = "correct horse battery"


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    from pipelines.local.initialise import init_workspace

    isolate(tmp_path / "home", monkeypatch)
    root = init_workspace(tmp_path / "workspace").root
    (root / "elp.yaml").write_text("servers: {mlflow_port: 0, prefect_port: 0}\n")
    yield root
    shell("elp down", root)


def test_the_pages_commands_run_and_each_channel_gets_its_test_message(workspace: Path) -> None:
    assert shell("elp up", workspace).returncode == 0
    said = ""
    with http_receiver() as hook, smtp_receiver() as mail:
        here = {"127.0.0.1:9000": f"127.0.0.1:{hook.port}", "mail.plant.lan:587": f"127.0.0.1:{mail.port}"}
        for line in [line for fence in fences("sh") if fence.page == "alerts.md" for line in fence.commands]:
            for shown, real in here.items():
                line = line.replace(shown, real)
            done = shell(line, workspace, ELP_SMTP_PASSWORD=SECRET)
            assert done.returncode == 0, line
            said += done.stdout + done.stderr
    assert [message["title"] for message in hook.got] == ["[ELP workspace] test message"] * 2
    assert [message["To"] for message in mail.got] == ["ops@plant.lan, qa@plant.lan"]
    assert mail.logins == [f"\0elp\0{SECRET}"]
    logs = "".join(path.read_text(errors="replace") for path in (workspace / ".elp" / "logs").iterdir())
    assert SECRET not in said + logs
    assert shell("git status --porcelain", workspace).stdout.split() == ["M", "elp.yaml"]
