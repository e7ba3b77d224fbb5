"""`elp alerts add | list | remove | test`."""

from __future__ import annotations

import os
import sys
import uuid
from typing import Any

import click

from elp_core.errors import OpsError
from pipelines.cli.options import on_workspace
from pipelines.cli.output import emit, mark, progress, table
from pipelines.errors import ServiceError, UsageError
from pipelines.local.workspace import Workspace
from pipelines.orchestration.alerts import alert_channels as store
from pipelines.orchestration.alerts.alert import KINDS
from pipelines.orchestration.alerts.alert_channels import Channel, Sort
from pipelines.orchestration.alerts.automations import ensure_automations
from pipelines.orchestration.alerts.channel_status import ChannelStatus, channel_status
from pipelines.orchestration.alerts.deliver import send_text
from pipelines.orchestration.prefect_api import connect_prefect

PASSWORD = "ELP_SMTP_PASSWORD"


@click.group()
def alerts() -> None:
    """Send messages about what needs a person: failed runs, refusals, overdue runs, drift, overrides.

    The supervision of `elp up` sends them. The first message of an event of a slot is sent at once;
    repeats within 24 hours are sent in one digest a day.
    """


@alerts.command(name="add", short_help="Add a channel, or change the one of its name.")
@click.option("--email", metavar="ADDRESS[,…]", help="Send e-mail to these addresses.")
@click.option("--webhook", metavar="URL", help="Send JSON (title, text, id) to this address; - reads it from stdin.")
@click.option("--slack", metavar="URL", help="Send to this incoming webhook of Slack or Mattermost; - reads it.")
@click.option("--teams", metavar="URL", help="Send to this workflow address of Microsoft Teams; - reads it.")
@click.option("--on", metavar="KINDS", default=",".join(KINDS), help=f"Some of {','.join(KINDS)} [default: all].")
@click.option("--name", help="Name of the channel [default: email, webhook, slack or teams].")
@click.option("--digest", metavar="HH:MM", default="07:00", help="When the daily digest is sent [default: 07:00].")
@click.option("--smtp", metavar="HOST:PORT", default="localhost:25", help="SMTP server [default: localhost:25].")
@click.option("--smtp-user", metavar="NAME", default="", help=f"Log in; the password is {PASSWORD}, or asked for.")
@click.option("--from", "sender", metavar="ADDRESS", default="", help="Sender of the e-mails.")
@click.option("--test/--no-test", default=True, help="Send a test message at once [default: yes].")
@on_workspace
def add_channel(workspace: Workspace, test: bool, **given: str) -> None:
    """Add a channel, or replace the one of the same name, and send a test message.

    \b
    elp alerts add --email ops@plant.lan --smtp mail.plant.lan:587 --smtp-user elp --on failed,overdue
    elp alerts add --webhook http://127.0.0.1:9000/hook --on refused,undecided,drift
    """
    channel = _channel(given)
    # before it is stored: without Prefect there are no automations, and no alert would ever come
    kinds = store.wanted_kinds(
        [*(c for c in store.read_channels(workspace).values() if c.name != channel.name), channel]
    )
    with connect_prefect(workspace) as client:
        ensure_automations(client, workspace, kinds)
    replaced = store.put_channel(workspace, channel)
    progress(f"{channel.name} {'changed' if replaced else 'added'}: {channel.target}, on {', '.join(channel.on)}")
    if test:
        try:
            _send_test(workspace, channel)
        except OpsError as error:
            raise OpsError(
                f"the channel is stored, but the test message was not sent: {error}; correct it with elp alerts add, "
                f"or try again: elp alerts test {channel.name}"
            ) from error
    emit(channel_status(workspace), _table)


@alerts.command(name="list", short_help="List the channels, and what waits.")
@on_workspace
def list_channels(workspace: Workspace) -> None:
    """List the channels: where they go, what waits, and whether the last message was sent."""
    emit(channel_status(workspace), _table)


@alerts.command(name="remove")
@click.argument("name")
@on_workspace
def remove_channel(workspace: Workspace, name: str) -> None:
    """Remove a channel, and what waits to be sent to it."""
    store.drop_channel(workspace, name)
    try:
        with connect_prefect(workspace) as client:
            ensure_automations(client, workspace, store.wanted_kinds(store.read_channels(workspace).values()))
    except ServiceError as error:
        progress(f"{name} is removed, its automations in Prefect are not: {error}; the next elp up removes them")
    emit(channel_status(workspace), _table)


@alerts.command(name="test")
@click.argument("name", required=False)
@on_workspace
def test_channel(workspace: Workspace, name: str | None) -> None:
    """Send a test message to one channel, or to all. Exit code 1 if one cannot be sent."""
    known = store.read_channels(workspace)
    if name is None and not known:
        raise UsageError("there is no channel yet; add one with: elp alerts add")
    chosen = [store.find_channel(known, name)] if name else list(known.values())
    faults = []
    for channel in chosen:
        try:
            _send_test(workspace, channel)
        except OpsError as error:
            faults.append(str(error))
    if faults:
        raise OpsError("; ".join(faults))
    emit([channel.name for channel in chosen], lambda names: f"sent to {', '.join(names)}")


def _send_test(workspace: Workspace, channel: Channel) -> None:
    text = (
        f"This is a test message of the workspace {workspace.root}.\n"
        f"{channel.name} gets alerts of: {', '.join(channel.on)}.\nTo stop them: elp alerts remove {channel.name}\n"
    )
    send_text(channel, f"[ELP {workspace.root.name}] test message", text, uuid.uuid4().hex)
    progress(f"test message sent to {channel.name} ({channel.target})")


def _channel(given: dict[str, Any]) -> Channel:
    """Return the channel that the options describe."""
    sorts: tuple[Sort, ...] = ("email", "webhook", "slack", "teams")
    chosen = [sort for sort in sorts if given[sort] is not None]
    if len(chosen) != 1:
        raise UsageError(f"name one of --email, --webhook, --slack, --teams; got {', '.join(chosen) or 'none'}")
    (sort,) = chosen
    value = given[sort]
    common = {
        "name": given["name"] or sort,
        "sort": sort,
        "on": tuple(dict.fromkeys(kind.strip() for kind in given["on"].split(",") if kind.strip())),
        "digest": given["digest"],
    }
    if sort == "email":
        user = given["smtp_user"]
        to = tuple(address.strip() for address in value.split(",") if address.strip())
        login = {"user": user, "password": _password(user)} if user else {}
        return Channel(**common, to=to, smtp=given["smtp"], sender=given["sender"], **login)
    return Channel(**common, url=_line().strip() if value == "-" else value)


def _password(user: str) -> str:
    """Return the SMTP password: never an argument, which other users could see."""
    password: str
    if PASSWORD in os.environ:
        password = os.environ[PASSWORD]
    elif sys.stdin and sys.stdin.isatty():
        password = click.prompt(f"SMTP password of {user}", hide_input=True, err=True)
    else:
        password = _line()
    if not password:
        raise UsageError(f"the SMTP password of {user} is empty; set {PASSWORD}, or give it on standard input")
    return password


def _line() -> str:
    # a process may have no standard input at all
    return sys.stdin.readline().rstrip("\r\n") if sys.stdin else ""


def _table(found: list[ChannelStatus]) -> str:
    rows = [(c.name, c.target, ", ".join(c.on), c.waiting, c.collected, mark(c.state), c.last, c.error) for c in found]
    names = ("channel", "target", "on", "waiting", "for digest", "state", "last message (UTC)", "error")
    return table(names, rows, "no channels; add one with: elp alerts add --email ADDRESS")
