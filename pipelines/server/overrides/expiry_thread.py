"""A thread of the server that ends overrides when their time is over."""

from __future__ import annotations

import logging
import threading
from datetime import UTC, datetime

from pipelines.server.auth import principal as who
from pipelines.server.overrides import expiry as endings
from pipelines.server.overrides import override as overrides
from pipelines.server.stores import current as server

EVERY_SECONDS = 30.0
"""How often it looks at least; an end that is nearer is waited for, one made by another process is found by looking."""

_log = logging.getLogger(__name__)


def start() -> threading.Thread:
    """Look now, and then again and again until the process ends."""
    thread = threading.Thread(target=_watch, name="elp-overrides", daemon=True)
    thread.start()
    return thread


def look() -> float:
    """End what is over.

    Returns:
        Seconds until it is worth looking again.
    """
    with who.as_server():
        ended, following = endings.expire(server.registry())
    for request in ended:
        _log.warning("the override of %s v%d by %s expired", request.slot, request.version, request.asked_by)
    if following is None:
        return EVERY_SECONDS
    return min(EVERY_SECONDS, max(0.0, (following - datetime.now(UTC)).total_seconds()))


def _watch() -> None:
    while True:
        overrides.changed.clear()
        try:
            wait = look()
        except Exception:
            # a database that is away comes back; an override must not outlive its time because of it
            _log.exception("overrides could not be looked at; trying again in %.0f s", EVERY_SECONDS)
            wait = EVERY_SECONDS
        overrides.changed.wait(wait)
