"""Times of several ways to do something, measured alternately."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping


def take_turns(ways: Mapping[str, Callable[[], object]], turns: int, warm_up: int = 1) -> dict[str, list[float]]:
    """Return the seconds of each way, one call of each in turn, so that other load affects all of them alike."""
    times: dict[str, list[float]] = {name: [] for name in ways}
    for turn in range(turns + warm_up):
        for name, run in ways.items():
            started = time.perf_counter()
            run()
            if turn >= warm_up:
                times[name].append(time.perf_counter() - started)
    return times
