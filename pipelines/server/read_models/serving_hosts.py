"""The servers of requests (`elp serve`): those that report here, and the one recorded in this server's workspace."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Literal

import psutil
import sqlalchemy as sa

from pipelines.registry.adapter_version import AdapterVersion
from pipelines.registry.delivery.serving_report import LOST
from pipelines.server.storage.serving_rows import ServingRow, serving_rows

RECORD = Path(".elp") / "serving" / "server.json"
"""Below the workspace; `elp serve` writes it (`pipelines.serving.server_record`)."""
_TOLERANCE = 2.0
"""Seconds between two readings of the time at which a process was created."""


@dataclass(frozen=True)
class ServingHost:
    """A recorded server of requests."""

    address: str
    sites: tuple[str, ...]
    """Empty for all sites."""
    runs: bool
    """Whether its process runs on this machine; it may still have no slot to serve."""


def recorded_serving(root: Path | None) -> ServingHost | None:
    """Return the server of requests of a workspace; None if none is recorded or the record cannot be read."""
    if root is None:
        return None
    try:
        record = json.loads((root / RECORD).read_text(encoding="utf-8"))
        process = record["process"]
        sites = tuple(str(site) for site in record.get("sites", ()))
        return ServingHost(str(process["address"]), sites, _runs(int(process["pid"]), float(process["created"])))
    except (OSError, ValueError, KeyError, TypeError, OverflowError, RecursionError):
        return None


def _runs(pid: int, created: float) -> bool:
    with contextlib.suppress(psutil.Error):
        # another process may have got the same id
        return abs(psutil.Process(pid).create_time() - created) < _TOLERANCE
    return False


HostState = Literal["lost", "differs", "same"]
_URGENT: tuple[HostState, ...] = ("lost", "differs", "same")


@dataclass(frozen=True)
class ServedSlot:
    """A version that answers for a slot."""

    slot: str
    version: int
    digest: str
    """``sha256:…`` of its bundle."""


@dataclass(frozen=True)
class ReportedHost:
    """A server of requests by its newest report."""

    name: str
    """Machine and port."""
    box: str
    """Name of the box that it serves; empty if it follows the registry."""
    sites: tuple[str, ...]
    """Empty for all."""
    state: HostState
    serves: tuple[ServedSlot, ...]
    differing: tuple[str, ...]
    """What it should answer with and does not: ``plant-a/asr v4``, or ``plant-a/asr –`` for a slot without champion."""
    seen: str
    """UTC, ISO 8601, by the clock of this server."""
    release: str
    """Of elp on the host."""
    problems: tuple[str, ...]
    waiting: int
    refused: int


def reported_hosts(
    registry: sa.Connection, champions: Mapping[str, AdapterVersion], now: datetime
) -> list[ReportedHost]:
    """Return the servers that reported within a day, the most urgent first; `champions` are by slot."""
    found = [reported_host(row, champions, now) for row in serving_rows(registry)]
    return sorted(found, key=lambda host: _URGENT.index(host.state))


def reported_host(row: ServingRow, champions: Mapping[str, AdapterVersion], now: datetime) -> ReportedHost:
    """Return one server as `reported_hosts` does."""
    report = row.report
    serves = tuple(ServedSlot(one.slot, one.version, one.bundle) for one in report.serving)
    wanted = {
        slot: (champion.version, champion.bundle_digest)
        for slot, champion in champions.items()
        if not report.sites or slot.partition("/")[0] in report.sites
    }
    answers = {one.slot: (one.version, one.digest) for one in serves}
    differing = [slot for slot in sorted({*wanted, *answers}) if wanted.get(slot) != answers.get(slot)]
    state: HostState = "differs" if differing else "same"
    if now - datetime.fromisoformat(row.seen_at) > LOST:
        state = "lost"
    return ReportedHost(
        name=report.host,
        box=report.box,
        sites=report.sites,
        state=state,
        serves=serves,
        differing=tuple(f"{slot} {f'v{wanted[slot][0]}' if slot in wanted else '–'}" for slot in differing),
        seen=row.seen_at,
        release=report.release,
        problems=report.problems,
        waiting=report.waiting,
        refused=report.refused,
    )


@dataclass(frozen=True)
class HostCount:
    """How many servers of requests there are, and how they stand."""

    known: int
    reporting: int
    """Reported within the last minutes."""
    differing: int
    """Of those that report: answer with another version than the champion of a slot."""


def count_hosts(hosts: Sequence[ReportedHost]) -> HostCount:
    """Return the counts over all sites."""
    states = [host.state for host in hosts]
    return HostCount(len(states), len(states) - states.count("lost"), states.count("differs"))
