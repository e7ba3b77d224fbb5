"""Whether the client of a request still waits: every part of a server that works for a request asks its ticket."""

from __future__ import annotations

import threading

from pipelines.errors import RequestRefused

CLIENT_CLOSED = 499
"""Status in the metrics of a request whose client has gone; nobody reads the answer."""


class Ticket:
    """Whether the client of a request still waits for the answer."""

    def __init__(self) -> None:
        self._gone = threading.Event()

    @property
    def cancelled(self) -> bool:
        """Whether the answer is no longer wanted."""
        return self._gone.is_set()

    def cancel(self) -> None:
        """Leave out what the request has in the queue, and what would come after it."""
        self._gone.set()

    def require_wanted(self) -> None:
        """Raise RequestRefused (499) if the answer is no longer wanted."""
        if self.cancelled:
            raise RequestRefused(CLIENT_CLOSED, "client_closed", "the client has gone")
