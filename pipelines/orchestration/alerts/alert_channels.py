"""Where alerts go: the channels of a workspace, with their secrets, in a file that only its owner may read."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

from elp_core.config import from_dict, to_dict
from elp_core.errors import ConfigError
from elp_core.files import write_whole
from pipelines.errors import UsageError, WorkspaceError
from pipelines.local.workspace import Workspace
from pipelines.locks import file_lock
from pipelines.orchestration.alerts.alert import KINDS

Sort = Literal["email", "webhook", "slack", "teams"]
_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,39}")
_ADDRESS = re.compile(r"[^\s@<>,;\x00-\x1f\x7f]+@[^\s@<>,;\x00-\x1f\x7f]+")
_TIME = re.compile(r"([01]\d|2[0-3]):[0-5]\d")


@dataclass(frozen=True)
class Channel:
    """A receiver of messages. `url` and `password` are secrets."""

    name: str
    sort: Sort
    on: tuple[str, ...] = KINDS
    """The kinds of alerts that it gets."""
    digest: str = "07:00"
    """When the collected repeats are sent, in the time of this machine."""
    url: str = field(default="", repr=False)
    to: tuple[str, ...] = ()
    """Addresses of an e-mail."""
    sender: str = ""
    smtp: str = ""
    """HOST:PORT of the SMTP server."""
    user: str = ""
    password: str = field(default="", repr=False)
    added: float = 0.0
    """When it was added: seconds since the epoch."""
    changed: float = 0.0
    """When it was added or changed last."""

    def __post_init__(self) -> None:
        if not _NAME.fullmatch(self.name):
            raise UsageError(f"the name {self.name!r} is not possible; use lower-case letters, digits and hyphens")
        if unknown := [kind for kind in self.on if kind not in KINDS]:
            raise UsageError(f"unknown kind {unknown[0]!r} in --on; expected some of {', '.join(KINDS)}")
        if not self.on:
            raise UsageError(f"--on names no kind; expected some of {', '.join(KINDS)}")
        if not _TIME.fullmatch(self.digest):
            raise UsageError(f"--digest is {self.digest!r}, expected a time of the day such as 07:00")
        if self.sort == "email":
            _check_email(self)
        else:
            _check_url(self.url)

    @property
    def target(self) -> str:
        """Return where it goes, without what is secret in it."""
        if self.sort == "email":
            return f"{', '.join(self.to)} through {self.smtp}"
        parts = urlsplit(self.url)
        return f"{parts.scheme}://{parts.hostname}{f':{parts.port}' if parts.port else ''}/…"

    @property
    def secrets(self) -> tuple[str, ...]:
        """Return what no message and no log may contain."""
        path = urlsplit(self.url).path
        return tuple(text for text in (self.url, self.password, path if len(path) > 1 else "") if text)


def folder(workspace: Workspace) -> Path:
    """Return the folder of the channels and the queues; readable by its owner only."""
    return workspace.state / "alerts"


def read_channels(workspace: Workspace) -> dict[str, Channel]:
    """Return the channels by name; raises WorkspaceError if the file is damaged."""
    path = folder(workspace) / "channels.json"
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
        return {each["name"]: from_dict(Channel, each, "channel") for each in values["channels"]}
    except FileNotFoundError:
        return {}
    except (ValueError, KeyError, TypeError, ConfigError, UsageError) as error:
        # the text of the error may hold an address with its secret
        raise WorkspaceError(
            f"{path} is damaged ({type(error).__name__}); delete it and add the channels again: elp alerts add"
        ) from None


def put_channel(workspace: Workspace, channel: Channel) -> bool:
    """Add a channel, or replace the one of its name, which keeps what waits; return whether there was one."""
    with file_lock(folder(workspace) / "channels.lock"):
        present = read_channels(workspace)
        before = present.get(channel.name)
        now = time.time()
        channel = replace(channel, added=before.added if before else now, changed=now)
        _write(workspace, {**present, channel.name: channel})
        return channel.name in present


def drop_channel(workspace: Workspace, name: str) -> Channel:
    """Remove a channel and return it; raises UsageError if there is none of this name."""
    with file_lock(folder(workspace) / "channels.lock"):
        present = read_channels(workspace)
        removed = find_channel(present, name)
        _write(workspace, {key: value for key, value in present.items() if key != name})
        return removed


def find_channel(channels: Mapping[str, Channel], name: str) -> Channel:
    """Return the channel of this name; raises UsageError if there is none."""
    if name in channels:
        return channels[name]
    known = ", ".join(sorted(channels)) or "none at all"
    raise UsageError(f"there is no channel {name!r} (there is: {known}); add one with: elp alerts add")


def wanted_kinds(channels: Iterable[Channel]) -> set[str]:
    """Return the kinds that some channel gets."""
    return {kind for channel in channels for kind in channel.on}


def private_folder(path: Path) -> Path:
    """Make a folder that only its owner may read, and return it."""
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    # mkdir leaves the mode of a folder that exists
    path.chmod(0o700)
    return path


def _write(workspace: Workspace, channels: Mapping[str, Channel]) -> None:
    content = {"format": 1, "channels": [to_dict(channels[name]) for name in sorted(channels)]}
    path = private_folder(folder(workspace)) / "channels.json"
    write_whole(path, json.dumps(content, indent=2) + "\n", mode=0o600)


def _check_email(channel: Channel) -> None:
    addresses = (*channel.to, *([channel.sender] if channel.sender else []))
    if not channel.to or (wrong := [one for one in addresses if not _ADDRESS.fullmatch(one)]):
        shown = wrong[0] if channel.to else ""
        raise UsageError(f"{shown!r} is not an e-mail address; expected NAME@HOST, several with commas between them")
    host, colon, port = channel.smtp.rpartition(":")
    if not (host and colon and port.isascii() and port.isdigit() and 0 < int(port) < 65536):
        raise UsageError(f"--smtp is {channel.smtp!r}, expected HOST:PORT, such as mail.plant.lan:587")


def _check_url(url: str) -> None:
    try:
        parts = urlsplit(url)
        good = parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
    except ValueError:
        good = False
    if not good or any(c.isspace() or not c.isprintable() for c in url):
        raise UsageError("the address of the channel is not one; expected http:// or https:// and a host")
