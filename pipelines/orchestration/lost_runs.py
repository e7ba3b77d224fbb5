"""Which flow runs are dead: the decision of the reaper, from what it saw at each look.

No clock of another machine is compared: what counts is how long a sign of life has not changed for the reaper, in
seconds of its own monotonic clock, while Prefect answered. Of a pause between two answers, at most 15 s count: a look
or two without an answer delay nothing, and a longer outage makes no run look old. After a pause of more than a minute
(a server that was away, a machine that was suspended) the waiting begins again.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from elp_core.types import Seconds
from pipelines.local.interrupted_runs import Presence

HEARTBEAT: Seconds = 30.0
"""How often a run sends a heartbeat: the smallest value that Prefect takes."""
SILENT: Seconds = 3 * HEARTBEAT
"""A worker and its run are lost if neither has sent anything for this long. Workers report every 30 s, too."""
SETTLED: Seconds = 8.0
"""A worker reports a crash within 0.5 s and again about 2 s later, which would overwrite an earlier new state."""
UNBEGUN: Seconds = 60.0
"""How long a worker of this machine may take from claiming a run to starting its process."""
_GAP: Seconds = 60.0
"""Signs of life are not compared over a longer pause between two looks."""
_COUNTED: Seconds = 15.0
"""So much of a shorter pause counts: a run and its worker report every 30 s, so neither misses more than one report."""


@dataclass(frozen=True)
class SeenRun:
    """One unfinished run at one look."""

    id: str
    state_id: str
    """Prefect gives each state an id: the same id means that nothing was reported since."""
    state_type: str
    presence: Presence
    worker: str = ""
    """Name of the worker that took it last."""
    heartbeat: str = ""
    """What identifies its newest heartbeat; empty if Prefect has none."""
    worker_heartbeat: str = ""
    """When its worker reported last, as Prefect says it; empty if Prefect does not know the worker."""


@dataclass(frozen=True)
class LostRun:
    """A run that has to be ended or put back."""

    run: SeenRun
    reason: str

    @property
    def begun(self) -> bool:
        """Whether it may have done something; else it can simply be put back to its queue."""
        return self.run.state_type != "PENDING"


@dataclass(frozen=True)
class _Signs:
    """A run, and since when each of its signs has been as it is, by the monotonic clock."""

    run: SeenRun
    gone: float
    heartbeat: float
    worker: float


@dataclass(frozen=True)
class Watched:
    """What the looks before have shown."""

    at: float = float("-inf")
    """When the last look was, by the monotonic clock."""
    signs: Mapping[str, _Signs] = field(default_factory=dict)


def look(before: Watched, runs: Iterable[SeenRun], now: float) -> tuple[Watched, list[LostRun]]:
    """Return what is known after a look at all unfinished runs, and the runs that are dead."""
    pause = now - before.at
    known = before.signs if pause <= _GAP else {}
    uncounted = max(0.0, pause - _COUNTED)
    signs = {run.id: _signs(known.get(run.id), run, now, uncounted) for run in runs}
    dead = [LostRun(one.run, reason) for one in signs.values() if (reason := _reason(one, now))]
    return Watched(now, signs), dead


def _signs(before: _Signs | None, run: SeenRun, now: float, uncounted: Seconds) -> _Signs:
    if before is None or before.run.state_id != run.state_id:
        return _Signs(run, now, now, now)
    old = before.run
    # the end of a heartbeat, which Prefect deletes after days, is no sign of life
    run = replace(run, heartbeat=run.heartbeat or old.heartbeat)
    same_worker = (old.worker, old.worker_heartbeat) == (run.worker, run.worker_heartbeat)
    return _Signs(
        run,
        gone=before.gone + uncounted if old.presence is run.presence else now,
        heartbeat=before.heartbeat + uncounted if old.heartbeat == run.heartbeat else now,
        worker=before.worker + uncounted if same_worker else now,
    )


def _reason(signs: _Signs, now: float) -> str:
    """Return why a run is dead; empty if it may be alive."""
    run = signs.run
    if run.presence is Presence.HERE:
        # a process that is stopped or slow is alive
        return ""
    if run.presence is Presence.GONE:
        if now - signs.gone < (UNBEGUN if run.state_type == "PENDING" else SETTLED):
            return ""
        return f"its process has ended on the machine of its worker {run.worker}"
    begun = run.state_type != "PENDING"
    if begun and not run.worker:
        # somebody runs it without a worker, and without the settings that a worker gives
        return ""
    if run.state_type == "CANCELLING":
        # a worker that lives ends only a process that it has, not a run that waited when it was cancelled
        silent = now - signs.heartbeat
        return f"it has not reported anything for {silent:.0f} s" if silent >= SILENT else ""
    silent = now - max(signs.worker, signs.heartbeat if begun else signs.worker)
    if silent < SILENT:
        return ""
    if not run.worker:
        return f"no worker has begun it within {SILENT:.0f} s"
    return f"neither it nor its worker {run.worker} has reported anything for {silent:.0f} s"
