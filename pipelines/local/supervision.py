"""Start again what has ended: the servers and workers of `elp up`, with growing pauses."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace

from elp_core.config import from_dict
from elp_core.errors import ConfigError
from elp_core.files import write_whole
from elp_core.types import Seconds
from pipelines.local.addresses import Record
from pipelines.local.processes import Process, alive
from pipelines.local.workspace import Workspace
from pipelines.number_text import count

SUPERVISOR, GUARD = "supervisor", "supervisor-guard"
"""Names in the record of `elp up`: of the supervision, and of the process that starts the supervision again."""

WINDOW: Seconds = 900.0
PAUSES: tuple[Seconds, ...] = (0.0, 2.0, 10.0, 30.0, 60.0)
"""Before the first, second … start within `WINDOW`; the last one is before all further ones, too.

Prefect's server ends at once at each start for as long as its database is away: it must not stay down after that.
"""
_STATE_FILES = {SUPERVISOR: "supervision.json", GUARD: "supervision-guard.json"}
"""In the state folder, by the process that writes the file: the guard knows the ends of the supervision."""


@dataclass(frozen=True)
class Ends:
    """How often one process has ended lately."""

    pid: int
    """The process whose end is the newest."""
    times: tuple[float, ...]
    """Ends within `WINDOW`, in seconds since the epoch."""

    def since(self, now: float) -> tuple[float, ...]:
        """Return the ends within `WINDOW` before now."""
        return tuple(at for at in self.times if 0 <= now - at < WINDOW)

    @property
    def too_often(self) -> bool:
        """Whether it ends again and again: that is reported once, and `elp up --foreground` ends as a whole."""
        return len(self.times) > len(PAUSES)

    @property
    def start_at(self) -> float:
        """Return when it may be started again, in seconds since the epoch."""
        return self.times[-1] + PAUSES[min(len(self.times), len(PAUSES)) - 1]

    def may_start(self, now: float) -> bool:
        """Return whether the pause is over; a clock that was set back must not make it longer."""
        return now >= self.start_at or now < self.times[-1]

    @property
    def text(self) -> str:
        """Return the sentence for people."""
        ended = f"ended {count(len(self.times), 'time')} within {WINDOW / 60:.0f} minutes"
        return f"{ended}, and is started again every {PAUSES[-1]:.0f} s; read its log" if self.too_often else ended


def note_ends(record: Record, known: Mapping[str, Ends], now: float) -> dict[str, Ends]:
    """Return the ends by the name of the process, with those that happened since `known`. Old ones are forgotten."""
    found = {}
    for process in (p for p in record.processes if p.name != SUPERVISOR):
        before = known.get(process.name, Ends(0, ()))
        times = before.since(now)
        if alive(process):
            if times:
                found[process.name] = replace(before, times=times)
        elif before.pid == process.pid:
            found[process.name] = before
        else:
            found[process.name] = Ends(process.pid, (*times, now))
    return found


def due(record: Record, ends: Mapping[str, Ends], now: float) -> Sequence[Process]:
    """Return the processes that are to be started again now."""
    return [
        process
        for process in record.processes
        if (end := ends.get(process.name)) and end.pid == process.pid and end.may_start(now)
    ]


def read_ends(workspace: Workspace) -> dict[str, Ends]:
    """Return what the supervision and its guard noted last, without what is missing or damaged."""
    return {name: end for file in _STATE_FILES.values() for name, end in _read(workspace, file).items()}


def _read(workspace: Workspace, file: str) -> dict[str, Ends]:
    try:
        values = json.loads((workspace.state / file).read_text(encoding="utf-8"))
        return {name: from_dict(Ends, each, "ends") for name, each in values.items()}
    except (OSError, ValueError, AttributeError, ConfigError):
        # it is written again; a wrong count at worst starts a process once more
        return {}


def write_ends(workspace: Workspace, ends: Mapping[str, Ends], writer: str = SUPERVISOR) -> None:
    """Write the ends that the supervision or its guard knows, for its next start, `elp status` and `elp doctor`."""
    content = {name: asdict(each) for name, each in ends.items()}
    write_whole(workspace.state / _STATE_FILES[writer], json.dumps(content) + "\n")
