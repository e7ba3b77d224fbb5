"""The bytes of all bodies in progress: requests hold them from their header to their answer."""

from __future__ import annotations

import contextlib
import math
import threading
from collections.abc import Callable, Iterator

from elp_core.types import Seconds
from pipelines.errors import RequestRefused

Hold = Callable[[int], None]
"""Sets how many bytes one request holds."""


class BodyRoom:
    """Bounds the bytes that all requests hold together. May be asked from many threads at once.

    Args:
        limit: A request over it is refused, unless it is alone.
        delay: Estimate of the time until a request in progress has its answer.
    """

    def __init__(self, limit: int, delay: Callable[[], Seconds]) -> None:
        self._limit, self._delay = limit, delay
        self._held, self._lock = 0, threading.Lock()

    @contextlib.contextmanager
    def place(self) -> Iterator[Hold]:
        """Give a function that holds bytes for one request, or raises RequestRefused (429); the end frees them."""
        own = 0

        def hold(size: int) -> None:
            nonlocal own
            with self._lock:
                others = self._held - own
                if size > own and others and others + size > self._limit:
                    wait = max(1, math.ceil(self._delay()))
                    raise RequestRefused(
                        429,
                        "bodies_full",
                        f"the requests in progress here have {others:,} bytes, and with this one over {self._limit:,}; "
                        f"try again in {wait} s",
                        wait,
                    )
                self._held += size - own
                own = size

        try:
            yield hold
        finally:
            hold(0)
