"""The serving hosts for `elp status`: what every `elp serve` reported last to the MLflow server of the workspace."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from elp_core.types import Seconds
from pipelines.local import accounts
from pipelines.local import http_client as web
from pipelines.local.service_status import ServiceStatus
from pipelines.local.workspace import Workspace

_STATES = {"same": "up", "differs": "differs", "lost": "silent"}
"""Words of `elp status` for those of the server."""
_URGENT = ("silent", "differs", "up")


@dataclass(frozen=True)
class ServingStatus:
    """A serving host by its newest report."""

    name: str
    """Machine and port, such as ``press-3:8400``."""
    state: str
    """``up``, ``differs`` (from the champions) or ``silent`` (no report for five minutes)."""
    box: str
    """Name of the box that it serves; empty if it follows the registry."""
    sites: tuple[str, ...]
    """Empty for all."""
    versions: tuple[str, ...]
    """What it answers with, such as ``plant-a/asr v3``."""
    differs: tuple[str, ...]
    """What it should answer with and does not; ``plant-a/asr –`` for a slot without champion."""
    problems: tuple[str, ...]
    release: str
    """Of elp on the host."""
    seen: str
    """Its last report by the clock of the server: UTC, ISO 8601."""
    detail: str
    """What it should answer with, and its problems, for people."""
    kind: Literal["serving"] = "serving"


def serving_status(workspace: Workspace, mlflow: ServiceStatus, patience: Seconds = 2.0) -> list[ServingStatus]:
    """Return the serving hosts, the most urgent first; none if the server is not up or does not answer in time."""
    if mlflow.state != "up":
        return []
    login = accounts.service_login(workspace)
    found: list[ServingStatus] = []
    # a server of another release, or with another login: `elp status` shows the rest
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError, AttributeError):
        answer = web.request(f"{mlflow.address}/elp/api/v1/serving", timeout=patience, login=login)
        found = list(_hosts(answer["serving"]))
    return sorted(found, key=lambda one: (_URGENT.index(one.state), one.name))


def _hosts(rows: list[Mapping[str, Any]]) -> Iterator[ServingStatus]:
    for row in rows:
        report = row["report"]
        yield ServingStatus(
            name=report["host"],
            state=_STATES[row["state"]],
            box=report["box"],
            sites=tuple(report["sites"]),
            versions=tuple(f"{one['slot']} v{one['version']}" for one in report["serving"]),
            differs=tuple(row["differing"]),
            problems=tuple(report["problems"]),
            release=report["release"],
            seen=row["seen_at"],
            detail="; ".join([*(f"champion: {one}" for one in row["differing"]), *report["problems"]]),
        )
