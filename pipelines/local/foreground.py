"""`elp up --foreground`: the services live as long as one process, as containers and systemd expect it.

That process follows their logs. It ends all services when a signal asks it to (SIGTERM, SIGINT, SIGHUP) or when one of
them ends too often, and it ends if `elp down` has ended them. As process 1 of a container it also collects ended
processes.
"""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType

from elp_core.types import Seconds
from pipelines.local import lifecycle, supervision
from pipelines.local.addresses import read_record
from pipelines.local.interrupted_runs import STOPPED_WITH_SERVICE
from pipelines.local.processes import alive
from pipelines.local.service_commands import SUPERVISION
from pipelines.local.workspace import Workspace
from pipelines.locks import file_lock

Log = Callable[[str], None]

_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
_EVERY: Seconds = 0.5
_BLOCK = 1 << 20
"""Bytes of one log that are read at once."""


class Stopped(KeyboardInterrupt):
    """A signal asked for the end. An event loop passes on no other exception of a signal handler."""


@dataclass
class LogFollower:
    """The new lines of the logs in a folder."""

    folder: Path
    offsets: dict[str, int] = field(default_factory=dict)
    """Bytes of each log that were read, by file name."""

    def skip(self) -> None:
        """Leave out what the logs have now."""
        self.offsets = {log.name: log.stat().st_size for log in self.folder.glob("*.log")}

    def lines(self) -> Iterator[str]:
        """Yield the whole lines that were added since the last call, each after the name of its log."""
        for log in sorted(self.folder.glob("*.log")):
            try:
                file = log.open("rb")
            except FileNotFoundError:
                # it was moved away, and its service makes a new one
                continue
            with file:
                size, begin = file.seek(0, os.SEEK_END), self.offsets.get(log.name, 0)
                # a shorter log was replaced by a new one
                file.seek(begin if begin <= size else 0)
                block = file.read(_BLOCK)
            # a line without its end is read with the next call, unless it is as long as the block
            cut = block.rfind(b"\n") + 1 or (len(block) if len(block) == _BLOCK else 0)
            self.offsets[log.name] = (begin if begin <= size else 0) + cut
            for line in block[:cut].decode("utf-8", "replace").splitlines():
                yield f"{log.stem} | {line}"


def stay_up(workspace: Workspace, start: Callable[[], object], log: Log) -> int:
    """Start the services, follow their logs until they are to end, and end all of them; return the exit code.

    The code is 0 after a signal or `elp down`, and 1 if a service ends too often. What `start` raises is raised, and
    then only what it started is ended, which `lifecycle.up` does itself. Signal handlers can be set in the main thread
    only.
    """
    follower, started = LogFollower(workspace.state / "logs"), False

    def end() -> None:
        ignore_signals()
        lifecycle.down(workspace, lambda line: say_line(log, line), STOPPED_WITH_SERVICE)

    with stop_signals():
        try:
            follower.skip()
            start()
            started = True
            reason, code = _follow(workspace, follower, log), 1
            ignore_signals()
        except Stopped as signalled:
            reason, code = f"{signalled}: stopping", 0
        except Exception:
            if started:
                end()
            raise
        if reason:
            say_line(log, reason)
            end()
        # one that ended since the last look: who gets the children of this process may collect them late or never
        collect_ended()
        return code if reason else 0


@contextlib.contextmanager
def stop_signals() -> Iterator[None]:
    """Raise Stopped in the main thread at the first of `_SIGNALS`, but not for one that this process ignores."""
    before = {one: signal.getsignal(one) or signal.SIG_DFL for one in _SIGNALS}

    def stop(number: int, frame: FrameType | None) -> None:
        # a second signal must not stop the stopping
        ignore_signals()
        raise Stopped(signal.Signals(number).name)

    for one, handler in before.items():
        # nohup ignores SIGHUP, and a shell SIGINT for what it starts in the background
        if handler != signal.SIG_IGN:
            signal.signal(one, stop)
    try:
        yield
    finally:
        for one, handler in before.items():
            signal.signal(one, handler)


def ignore_signals() -> None:
    """Ignore the signals that ask for the end: the end is in progress."""
    for one in _SIGNALS:
        signal.signal(one, signal.SIG_IGN)


def _follow(workspace: Workspace, follower: LogFollower, log: Log) -> str:
    """Pass on the logs' lines for as long as all is well; return what is wrong, empty after `elp down`."""
    while True:
        for line in follower.lines():
            say_line(log, line)
        collect_ended()
        if _state(workspace) is not None:
            # `elp up` and `elp down` change the record step by step: only what is so between them counts
            with contextlib.suppress(TimeoutError), file_lock(workspace.state / "servers.lock", wait=0):
                if (found := _state(workspace)) is not None:
                    return found
        time.sleep(_EVERY)


def _state(workspace: Workspace) -> str | None:
    """Return None while all is well, a sentence if a service ends too often, an empty text if all were stopped."""
    record = read_record(workspace)
    if not record.processes:
        return ""
    if not any(alive(process) for process in record.processes if process.name in SUPERVISION):
        return "the supervision has ended, and nothing would be started again: stopping"
    ends = supervision.read_ends(workspace)
    often = [p.name for p in record.processes if (end := ends.get(p.name)) and end.pid == p.pid and end.too_often]
    return f"{', '.join(often)} ended too often: stopping" if often else None


def collect_ended() -> None:
    """Collect the exit codes of ended children: those of `elp up`, and orphans if this is process 1."""
    with contextlib.suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass


def say_line(log: Log, line: str) -> None:
    """Log a line; a reader of the output that is gone must not keep the services from being ended."""
    with contextlib.suppress(OSError):
        log(line)
