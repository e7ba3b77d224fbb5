"""Follows the champions while a server runs: a changed one is loaded next to the old one, then takes its place."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from elp_core.errors import ElpError
from elp_core.types import Seconds
from pipelines.registry.slot import Slot
from pipelines.serving.champion_source import Champion, ChampionSource
from pipelines.serving.http.served_set import ServedSet

if TYPE_CHECKING:
    from collections.abc import Callable

_AGAIN: Seconds = 30.0
"""After which a version that could not be loaded is tried again."""


@dataclass(frozen=True)
class FollowState:
    """What the last look at the source of champions found."""

    reachable: bool = False
    last_look: float = 0.0
    """The last one that was answered, in seconds since the epoch; 0 before the first."""
    error: str = ""
    """Why the source does not answer; empty if it does."""
    updates_stopped: str = ""
    """Why no new champions come although the source answers, such as expired metadata; empty if they do."""
    problems: Mapping[Slot, str] = field(default_factory=dict)
    """Why a slot is not served, or is served by an older version than its champion."""
    changes: int = 0
    """Versions that were taken into service since the start."""
    failures: int = 0
    """Versions that could not be loaded."""


class ChampionFollower:
    """Keeps a `ServedSet` at the champions of a source. If the source is away, what is loaded is served on.

    Args:
        source: Is asked every `every` seconds.
        served: Is changed by this object only.
        every: Seconds between two looks.
        report: Called with a sentence for each change and each new problem.
    """

    def __init__(
        self, source: ChampionSource, served: ServedSet, every: Seconds = 2.0, report: Callable[[str], None] = print
    ) -> None:
        self._source, self._served, self._every, self._report = source, served, every, report
        self._state = FollowState()
        self._failed: dict[tuple[Slot, Champion], float] = {}
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._follow, name="elp-champions", daemon=True)

    @property
    def state(self) -> FollowState:
        """What the last look found."""
        return self._state

    def start(self) -> None:
        """Look again and again in a thread, until `close`."""
        self._thread.start()

    def close(self) -> None:
        """End the thread; a bundle that is being loaded is finished first."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join()

    def look(self) -> FollowState:
        """Take the present champions into service, and return what was found. No error of a bundle is raised."""
        try:
            wanted = self._source.champions()
        except (ElpError, OSError) as error:
            if self._state.reachable or not self._state.error:
                self._report(f"{self._source.name} does not answer, what is loaded is served on: {error}")
            self._state = replace(self._state, reachable=False, error=str(error))
            return self._state
        if not self._state.reachable and self._state.error:
            self._report(f"{self._source.name} answers again")
        if (stopped := self._source.updates_stopped()) and stopped != self._state.updates_stopped:
            self._report(f"what is loaded is served on, and no new champions come: {stopped}")
        problems: dict[Slot, str] = {}
        for slot, champion in wanted.items():
            if problem := self._follow_slot(slot, champion):
                problems[slot] = problem
        for served in self._served.versions:
            if wanted.get(served.slot) is None:
                self._served.drop(served.slot)
                self._report(f"{served.slot} has no champion any more, it is not served")
        self._state = replace(
            self._state,
            reachable=True,
            last_look=time.time(),
            error="",
            updates_stopped=stopped,
            problems=problems,
        )
        return self._state

    def _follow_slot(self, slot: Slot, champion: Champion | None) -> str:
        """Take a version into service if it is not; return why that did not succeed."""
        if champion is None:
            return "it has no champion"
        present, version = self._served.find(slot), champion.version
        if present is not None and present.version == version and champion.bundle in ("", present.digest):
            return ""
        known = self._state.problems.get(slot, "")
        if known and time.monotonic() < self._failed.get((slot, champion), 0.0):
            return known
        try:
            bundle = self._source.fetch(slot, version)
            self._served.put(slot, version, bundle.folder, bundle.digest, time.time())
        except (ElpError, OSError) as error:
            self._failed[slot, champion] = time.monotonic() + _AGAIN
            self._state = replace(self._state, failures=self._state.failures + 1)
            still = f"version {present.version} is served on" if present else "it is not served"
            problem = f"version {version} cannot be loaded, {still}: {error}"
            self._report(f"{slot}: {problem}")
            return problem
        self._failed.pop((slot, champion), None)
        self._state = replace(self._state, changes=self._state.changes + 1)
        self._report(f"{slot}: version {version} is served")
        return ""

    def _follow(self) -> None:
        while not self._stop.wait(self._every):
            self.look()
