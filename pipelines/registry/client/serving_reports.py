"""The client of the server's routes about servers of requests; errors are those of `server_api`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from elp_core.types import Seconds
from pipelines.registry.client.server_api import call_server
from pipelines.registry.delivery.serving_report import ServingReport

_PATIENCE: Seconds = 10.0
"""For a report: the next one follows in a minute."""


def send_serving_report(uri: str, report: ServingReport) -> None:
    """Send the report of a server that follows the registry at `uri`."""
    call_server(uri, "POST", "/serving/report", json={"report": asdict(report)}, timeout=_PATIENCE)


def send_box_serving(uri: str, envelope: str) -> None:
    """Send the signed report of the server of a box."""
    call_server(uri, "POST", "/boxes/serving", json={"report": envelope}, timeout=_PATIENCE)


def list_serving(uri: str) -> list[Mapping[str, Any]]:
    """Return the servers of requests, each with its newest report."""
    found: list[Mapping[str, Any]] = call_server(uri, "GET", "/serving")["serving"]
    return found
