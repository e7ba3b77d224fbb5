"""How an `elp serve` makes itself known to the console: to the registry that it follows, or as the server of a box."""

from __future__ import annotations

import socket
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from pipelines.errors import WorkspaceError
from pipelines.local.box_home import box_signer, read_box
from pipelines.local.verified_metadata import newest_seen
from pipelines.registry.client.serving_reports import send_box_serving, send_serving_report
from pipelines.registry.delivery.serving_report import ServingReport, host_name_of, sign_serving_report


@dataclass(frozen=True)
class ConsolePresence:
    """Who a server says it is, and where it says so."""

    host: str
    sites: tuple[str, ...]
    """Empty for all."""
    console: str
    """Address of the MLflow server."""
    send: Callable[[ServingReport], None]
    """Raises ElpError or OSError if the report was not taken."""
    box: str = ""
    now: Callable[[], datetime] = lambda: datetime.now(UTC)


def registry_presence(uri: str, sites: tuple[str, ...], port: int) -> ConsolePresence:
    """Return the presence of a server that follows the registry at `uri`."""
    return ConsolePresence(
        host_name_of(socket.gethostname(), port), sites, uri, lambda report: send_serving_report(uri, report)
    )


def box_presence(box: Path, port: int) -> ConsolePresence | None:
    """Return the presence of the server of a box; None if the box is not enrolled, or pulls from a medium."""
    try:
        own = read_box(box)
    except WorkspaceError:
        # the source of champions reports it
        return None
    if not own.name or "://" not in own.source:
        return None

    def send(report: ServingReport) -> None:
        send_box_serving(own.source, sign_serving_report(report, box_signer(box)))

    def now() -> datetime:
        # a box without a clock is not before what it has verified
        return max(datetime.now(UTC), newest_seen(box))

    return ConsolePresence(host_name_of(socket.gethostname(), port), (own.site,), own.source, send, own.name, now)
