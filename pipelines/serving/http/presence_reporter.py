"""Reports what a server answers with to the console: at the start, after a change, every minute and at the end.

Nothing waits for it: a console that is away is reported once, and asked again a minute later.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from importlib.metadata import version
from typing import TYPE_CHECKING

from elp_core.errors import ElpError
from elp_core.types import Seconds
from pipelines.registry.delivery.box_report import RunningAdapter
from pipelines.registry.delivery.serving_report import EVERY, LONGEST_PROBLEM, MOST_PROBLEMS, MOST_SLOTS, ServingReport
from pipelines.serving.presence import ConsolePresence

if TYPE_CHECKING:
    from pipelines.serving.http.http_app import ServerParts

_LOOK: Seconds = 1.0
"""Between two looks whether something has changed."""
_END: Seconds = 3.0
"""How long the end of a server waits until its last report is sent."""


@contextlib.contextmanager
def known_to_console(
    parts: ServerParts, presence: ConsolePresence | None, report: Callable[[str], None]
) -> Iterator[None]:
    """Report a running server to the console until the block ends; without a presence, report nothing."""
    reporter = PresenceReporter(presence, parts, report) if presence else None
    if reporter:
        reporter.start()
    try:
        yield
    finally:
        if reporter:
            reporter.close()


class PresenceReporter:
    """Sends the report of a server in a thread, from `start` to `close`.

    Args:
        presence: Who the server says it is, and where.
        parts: The running server.
        report: Called with a sentence when the console stops taking reports, and when it takes them again.
    """

    def __init__(self, presence: ConsolePresence, parts: ServerParts, report: Callable[[str], None]) -> None:
        self._presence, self._parts, self._report = presence, parts, report
        self._away = False
        self._stop = threading.Event()
        # a daemon: a request that hangs does not keep the process
        self._thread = threading.Thread(target=self._run, name="elp-presence", daemon=True)

    def start(self) -> None:
        """Begin to report."""
        self._thread.start()

    def close(self) -> None:
        """Send the last report, but wait a few seconds at most."""
        self._stop.set()
        self._thread.join(_END)

    def _run(self) -> None:
        shown, due = None, 0.0
        while not self._stop.is_set():
            present = self._present()
            if present != shown or time.monotonic() >= due:
                shown, due = present, time.monotonic() + EVERY.total_seconds()
                self._send(present)
            self._stop.wait(_LOOK)
        if not self._away:
            self._send(self._present(), ended=True)

    def _present(self) -> tuple[tuple[RunningAdapter, ...], tuple[str, ...]]:
        """Return what is served, and what is not as it should be."""
        versions, state = self._parts.service.served.versions, self._parts.follower.state
        serving = tuple(RunningAdapter(str(one.slot), one.version, one.digest) for one in versions)[:MOST_SLOTS]
        found = [f"{slot}: {text}" for slot, text in sorted(state.problems.items(), key=str)]
        if state.updates_stopped:
            found.insert(0, state.updates_stopped)
        return serving, tuple(text[:LONGEST_PROBLEM] for text in found[:MOST_PROBLEMS])

    def _send(self, present: tuple[tuple[RunningAdapter, ...], tuple[str, ...]], *, ended: bool = False) -> None:
        serving, problems = present
        try:
            made = ServingReport(
                host=self._presence.host,
                at=self._presence.now().isoformat(timespec="microseconds"),
                sites=self._presence.sites,
                serving=serving,
                problems=problems,
                waiting=self._parts.service.batcher.queued[0],
                refused=self._parts.metrics.refused,
                release=version("elp-foundry"),
                box=self._presence.box,
                ended=ended,
            )
            self._presence.send(made)
        except (ElpError, OSError) as error:
            if not self._away:
                self._report(f"the console at {self._presence.console} does not show this server: {error}")
            self._away = True
            return
        if self._away:
            self._report(f"the console at {self._presence.console} shows this server again")
        self._away = False
