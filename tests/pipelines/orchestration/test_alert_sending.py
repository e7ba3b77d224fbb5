"""Messages reach a real SMTP server and a real HTTP receiver, and a fault is reported without the secret address."""

from __future__ import annotations

import io
import json
import re
import stat
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from elp_core.errors import OpsError
from pipelines.cli.main import run
from pipelines.errors import UsageError, WorkspaceError
from pipelines.local import http_client as web
from pipelines.local.settings import Settings
from pipelines.local.workspace import Workspace
from pipelines.orchestration.alerts import deliver
from pipelines.orchestration.alerts.alert import Alert
from pipelines.orchestration.alerts.alert_channels import (
    Channel,
    drop_channel,
    folder,
    put_channel,
    read_channels,
)
from pipelines.orchestration.alerts.alert_state import AlertState, queue_of, read_state, take_in, write_state
from pipelines.orchestration.alerts.channel_status import channel_status, examine_alerts
from pipelines.orchestration.alerts.deliver import send_text
from tests.support.receivers import http_receiver, smtp_receiver

pytestmark = pytest.mark.integration

SECRETS = ("s3cr3t-path", "pass word")
REFUSED = Alert("9", "elp.gate.refused", "refused", "2026-11-28T10:00:00Z", "the gate did not pass plant-a/asr v3")


@pytest.fixture
def here(tmp_path: Path) -> Workspace:
    return Workspace(tmp_path / "plant", Settings())


def test_an_email_arrives_with_subject_text_and_login() -> None:
    with smtp_receiver() as server:
        smtp = f"127.0.0.1:{server.port}"
        channel = Channel(
            "mail", "email", to=("ops@plant.lan", "qa@plant.lan"), smtp=smtp, sender="elp@plant.lan", user="elp",
            password=SECRETS[1],
        )  # fmt: skip
        send_text(channel, "[ELP plant] 会議 failed", "Ω one\n.two\n", "abc")
    (mail,) = server.got
    assert (mail["Subject"], mail["To"]) == ("[ELP plant] 会議 failed", "ops@plant.lan, qa@plant.lan")
    assert (mail["From"], mail["Message-ID"]) == ("elp@plant.lan", "<abc@plant.lan>")
    assert mail.get_content() == "Ω one\r\n.two\r\n"
    assert server.logins == [f"\0elp\0{SECRETS[1]}"]


def test_files_in_the_current_folder_are_not_imported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "queue.py").write_text("raise SystemExit('not the one of the library')")
    monkeypatch.chdir(tmp_path)
    with http_receiver() as server:
        send_text(Channel("hook", "webhook", url=server.url), "one", "two", "3")
    assert server.got == [{"title": "one", "text": "two", "id": "3"}]


@pytest.mark.parametrize("sort", ["webhook", "slack", "teams"])
def test_a_message_arrives_in_the_form_of_its_receiver(sort: str) -> None:
    with http_receiver() as server:
        send_text(Channel(sort, sort, url=server.url), "subject", "one <two> {{url}}\nthree", "abc")
    (got,) = server.got
    text = {
        "webhook": lambda: got == {"title": "subject", "text": "one <two> {{url}}\nthree", "id": "abc"},
        "slack": lambda: got == {"text": "*subject*\none &lt;two&gt; {{url}}\nthree"},
        "teams": lambda: (
            [part["text"] for part in got["attachments"][0]["content"]["body"]]
            == ["subject", "one <two> {{url}}\n\nthree"]
        ),
    }
    assert text[sort]()
    assert SECRETS[0] not in json.dumps(got)


@pytest.mark.parametrize(
    ("status", "reason"), [(500, "answered HTTP 500"), (404, "answered HTTP 404"), (302, "answered HTTP 302")]
)
def test_a_receiver_that_refuses_is_named_without_its_secret(status: int, reason: str) -> None:
    with http_receiver() as server:
        server.status = status
        with pytest.raises(OpsError, match=re.escape(reason)) as refused:
            send_text(Channel("hook", "webhook", url=server.url), "subject", "text", "abc")
    assert SECRETS[0] not in str(refused.value)


def test_a_receiver_that_is_down_is_named() -> None:
    url = f"http://127.0.0.1:{web.free_port('127.0.0.1')}/{SECRETS[0]}"
    with pytest.raises(OpsError, match=r"hook \(http://127.0.0.1:\d+/…\): ConnectError") as down:
        send_text(Channel("hook", "webhook", url=url), "subject", "text", "abc")
    assert SECRETS[0] not in str(down.value)


def test_a_receiver_that_is_slow_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(deliver, "_LIMIT", 6.0)
    with http_receiver() as server:
        server.delay = 9.0
        with pytest.raises(OpsError, match="did not take the message within 6 s"):
            send_text(Channel("hook", "webhook", url=server.url), "subject", "text", "abc")


def test_a_recipient_that_the_server_refuses_is_named() -> None:
    with smtp_receiver() as server:
        server.status = 550
        channel = Channel(
            "mail", "email", to=("who@plant.lan",), smtp=f"127.0.0.1:{server.port}", sender="elp@plant.lan"
        )
        with pytest.raises(OpsError, match=r"refused the recipient who@plant\.lan"):
            send_text(channel, "subject", "text", "abc")


def test_what_could_not_be_sent_is_sent_after_a_restart(here: Workspace) -> None:
    with http_receiver() as server:
        channel = Channel("hook", "webhook", url=server.url)
        put_channel(here, channel)
        channel = read_channels(here)["hook"]
        server.status = 500
        state = take_in(AlertState(0.0), {"hook": channel}, [REFUSED, REFUSED], 1.0)
        write_state(here, state)
        lines: list[str] = []
        deliver.deliver(here, state, {"hook": channel}, lines.append)
        (shown,) = channel_status(here)
        assert (shown.state, shown.waiting) == ("failing", 1)
        assert examine_alerts(here)[0] == "fail"
        # the process that would send was killed; another one reads what is to be sent
        later = read_state(here, 0.0)
        later = replace(later, queues={"hook": replace(later.queues["hook"], retry_at=0.0)})
        server.status = 200
        deliver.deliver(here, later, {"hook": channel}, lines.append)
    (got,) = server.got
    assert got["title"] == "[ELP plant] the gate did not pass plant-a/asr v3"
    assert channel_status(here)[0].waiting == 0
    assert not [line for line in lines if SECRETS[0] in line]


def test_a_channel_that_is_added_again_begins_empty_and_one_that_is_changed_keeps_what_waits(here: Workspace) -> None:
    channel = Channel("hook", "webhook", url="http://127.0.0.1:9/x")
    put_channel(here, channel)
    state = take_in(AlertState(0.0), read_channels(here), [REFUSED], 1.0)
    put_channel(here, replace(channel, url="http://127.0.0.1:9/y"))
    assert len(queue_of(state, read_channels(here)["hook"]).waiting) == 1
    drop_channel(here, "hook")
    put_channel(here, channel)
    assert queue_of(state, read_channels(here)["hook"]).waiting == ()


def test_the_channels_are_readable_by_their_owner_only(here: Workspace) -> None:
    channel = Channel("hook", "webhook", url=f"http://127.0.0.1/{SECRETS[0]}", on=("failed",))
    assert put_channel(here, channel) is False
    assert put_channel(here, channel) is True
    (kept,) = read_channels(here).values()
    assert replace(kept, added=0.0, changed=0.0) == channel
    modes = [stat.S_IMODE(path.stat().st_mode) for path in (folder(here), folder(here) / "channels.json")]
    assert modes == [0o700, 0o600]
    assert SECRETS[0] not in f"{channel} {channel_status(here)} {examine_alerts(here)}"
    drop_channel(here, "hook")
    with pytest.raises(UsageError, match=r"no channel 'hook' \(there is: none at all\)"):
        drop_channel(here, "hook")


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"channels": [{"name": "a"}]}', '{"channels": 5}', "\x00"])
def test_a_damaged_file_is_named(here: Workspace, text: str) -> None:
    folder(here).mkdir(parents=True)
    (folder(here) / "channels.json").write_text(text)
    with pytest.raises(WorkspaceError, match=r"channels.json is damaged .*elp alerts add"):
        read_channels(here)
    (folder(here) / "state.json").write_text(text)
    with pytest.raises(WorkspaceError, match=r"state.json is damaged"):
        read_state(here, 0.0)


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ({"sort": "webhook", "url": "ftp://x"}, "expected http"),
        ({"sort": "webhook", "url": "http://x y"}, "expected http"),
        ({"sort": "webhook", "url": "http://x/\n"}, "expected http"),
        ({"sort": "slack", "url": "http://[bad"}, "expected http"),
        ({"sort": "email", "to": ("a@b\nBcc: c@d",), "smtp": "x:25"}, "not an e-mail address"),
        ({"sort": "email", "to": (), "smtp": "x:25"}, "not an e-mail address"),
        ({"sort": "email", "to": ("a@b",), "smtp": "x"}, "expected HOST:PORT"),
        ({"sort": "email", "to": ("a@b",), "smtp": "x:99999"}, "expected HOST:PORT"),
        ({"sort": "webhook", "url": "http://x", "on": ("fire",)}, "unknown kind 'fire'"),
        ({"sort": "webhook", "url": "http://x", "on": ()}, "names no kind"),
        ({"sort": "webhook", "url": "http://x", "digest": "25:00"}, "time of the day"),
        ({"sort": "webhook", "url": "http://x", "name": "../up"}, "the name"),
    ],
)
def test_a_channel_that_cannot_work_is_refused(values: dict[str, object], reason: str) -> None:
    with pytest.raises(UsageError, match=re.escape(reason)):
        Channel(**{"name": "one", **values})


def test_a_channel_that_was_corrected_is_tried_again_at_once(here: Workspace) -> None:
    with http_receiver() as server:
        put_channel(here, Channel("hook", "webhook", url="http://127.0.0.1:9/wrong"))
        channels = read_channels(here)
        state = deliver.deliver(here, take_in(AlertState(0.0), channels, [REFUSED], 1.0), channels, print)
        assert channel_status(here)[0].state == "failing"
        assert deliver.deliver(here, state, channels, print) is state, "it waits before it tries again"
        put_channel(here, Channel("hook", "webhook", url=server.url))
        assert channel_status(here)[0].state == "ready"
        deliver.deliver(here, state, read_channels(here), print)
    assert len(server.got) == 1


def test_a_round_sends_one_message(here: Workspace) -> None:
    with http_receiver() as server:
        for name in ("one", "two"):
            put_channel(here, Channel(name, "webhook", url=server.url))
        channels = read_channels(here)
        state = take_in(AlertState(0.0), channels, [REFUSED], 1.0)
        for sent in (1, 2, 2):
            state = deliver.deliver(here, state, channels, print)
            assert len(server.got) == sent


def test_a_channel_is_removed_though_prefect_is_down(workspace: Workspace, capfd) -> None:
    put_channel(workspace, Channel("hook", "webhook", url="http://127.0.0.1:9/x"))
    assert run(["alerts", "remove", "hook", "-w", str(workspace.root)]) == 0
    assert "the next elp up removes them" in capfd.readouterr().err
    assert read_channels(workspace) == {}


def test_an_empty_password_is_refused(workspace: Workspace, capfd, monkeypatch: pytest.MonkeyPatch) -> None:
    add = ["alerts", "add", "--email", "a@b", "--smtp-user", "elp", "-w", str(workspace.root)]
    monkeypatch.delenv("ELP_SMTP_PASSWORD", raising=False)
    for stdin in (None, io.StringIO(""), io.StringIO("\n")):
        monkeypatch.setattr(sys, "stdin", stdin)
        assert run(add) == 2
        assert "the SMTP password of elp is empty" in capfd.readouterr().err
