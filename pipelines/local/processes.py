"""Detached processes: recognised by id and creation time, ended with their children."""

import contextlib
import os
import subprocess
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil

from elp_core.types import Seconds

_CLOCK_TOLERANCE: Seconds = 2.0
"""A process keeps its creation time to within this much if the system clock is corrected a little."""
_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


@dataclass(frozen=True)
class Process:
    """A process that `elp up` started."""

    name: str
    pid: int
    created: float
    """Creation time in seconds since the epoch, as the kernel reports it: a re-used id is another process."""
    log: str
    address: str = ""
    """Address of a server, empty for a worker."""
    started: str = ""
    """Id of the system's start, and the tick of it in which the process began; empty if the system does not say.

    A step of the clock, as after a virtual machine was paused, shifts `created` of every process, and never this.
    """

    @property
    def uptime(self) -> Seconds:
        """How long it has been running."""
        return max(0.0, time.time() - self.created)


def start(name: str, command: Sequence[str], environment: Mapping[str, str], log: Path, address: str = "") -> Process:
    """Start a detached process in its own session; its output is appended to `log`."""
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as output:
        output.write(f"--- {time.strftime('%Y-%m-%d %H:%M:%S')} {' '.join(command)}\n".encode())
        # the child writes to the descriptor itself: a line that waits in this buffer would come after its output
        output.flush()
        child = subprocess.Popen(
            list(command),
            env=dict(environment),
            cwd=log.parent,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            # Ctrl-C in a terminal goes to its foreground process group: the servers must not be in it
            start_new_session=True,
        )
    # it outlives this program on purpose; without a return code Python warns about a child that was not waited for
    child.returncode = 0
    return Process(name, child.pid, psutil.Process(child.pid).create_time(), str(log), address, _began(child.pid))


def own_process(name: str, address: str = "") -> Process:
    """Return the record of the process that calls."""
    pid = os.getpid()
    return Process(name, pid, psutil.Process(pid).create_time(), "", address, _began(pid))


def alive(process: Process) -> bool:
    """Return whether exactly this process still runs, not another one with the same id."""
    return _find(process) is not None


def descendants(process: Process) -> set[int]:
    """Return the ids of all its descendants; empty if it has ended."""
    found = _find(process)
    return {member.pid for member in _family(found)} - {process.pid} if found else set()


def listens(process: Process, port: int) -> bool:
    """Return whether a process or one of its descendants listens at a TCP port; true if the system does not show it."""
    found = _find(process)
    for member in _family(found) if found else []:
        try:
            connections = member.net_connections(kind="tcp")
        except psutil.NoSuchProcess:
            continue
        except (psutil.Error, OSError):
            return True
        if any(c.status == psutil.CONN_LISTEN and c.laddr and c.laddr.port == port for c in connections):
            return True
    return False


def stop(processes: Iterable[Process], patience: Seconds = 8.0, *, alone: bool = False) -> list[Process]:
    """End processes, by a request and after `patience` by force; return those that ran.

    Their descendants are ended with them, unless they are to be ended `alone`.
    """
    targets = {process: found for process in processes if (found := _find(process))}
    # listed before anything ends: a server does not end its own children, and they then belong to another parent
    family = {member for found in targets.values() for member in ([found] if alone else _family(found))}
    for found in targets.values():
        with contextlib.suppress(psutil.NoSuchProcess):
            found.terminate()
    psutil.wait_procs(targets.values(), timeout=patience)
    rest = [member for member in family if _running(member)]
    for member in rest:
        with contextlib.suppress(psutil.NoSuchProcess):
            member.kill()
    psutil.wait_procs(rest, timeout=patience)
    return list(targets)


def every_process() -> Iterator[psutil.Process]:
    """Yield the processes of this machine as they are now.

    `psutil.process_iter` keeps what it found in earlier calls. It takes a new process with the id of an ended one for
    that one, and does not kill it then.
    """
    for pid in psutil.pids():
        with contextlib.suppress(psutil.NoSuchProcess):
            yield psutil.Process(pid)


def stop_remains(process: Process, patience: Seconds = 5.0) -> set[int]:
    """Kill what an ended process has left behind in its session; return the ids that were killed.

    A server that was killed leaves its own children, which keep its port.
    """
    if psutil.pid_exists(process.pid) and not _same(process):
        # no process gets the id of a session that has members: nothing is left, and the new session is not ours
        return set()
    killed = []
    for member in every_process():
        with contextlib.suppress(psutil.Error, OSError):
            if member.pid != process.pid and os.getsid(member.pid) == process.pid:
                member.kill()
                killed.append(member)
    psutil.wait_procs(killed, timeout=patience)
    return {member.pid for member in killed}


def tail(log: str | Path, lines: int = 15) -> str:
    """Return the last lines of a log file; empty if there is no file."""
    try:
        with open(log, "rb") as file:
            # the log of a server that ran for weeks is large
            file.seek(max(0, os.path.getsize(log) - 16_384))
            return "\n".join(file.read().decode(errors="replace").splitlines()[-lines:])
    except FileNotFoundError:
        return ""


def _find(process: Process) -> psutil.Process | None:
    try:
        found = psutil.Process(process.pid)
    except psutil.NoSuchProcess:
        return None
    return found if _same(process) and _running(found) else None


def _same(process: Process) -> bool:
    """Return whether the process that has the id now, a zombie too, is the recorded one."""
    began = _began(process.pid)
    if process.started and began:
        return began == process.started
    try:
        return abs(psutil.Process(process.pid).create_time() - process.created) < _CLOCK_TOLERANCE
    except psutil.NoSuchProcess:
        return False


def _began(pid: int) -> str:
    """Return when a process began as `Process.started` has it; empty without the process or without a `/proc`."""
    try:
        # the name of the program, in brackets, may contain anything
        values = Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(")")[2].split()
        # the 22nd value, see proc_pid_stat(5); two are before the bracket
        return f"{_BOOT_ID.read_text().strip()} {values[19]}"
    except (OSError, IndexError):
        return ""


def _family(found: psutil.Process) -> list[psutil.Process]:
    try:
        return [found, *found.children(recursive=True)]
    except psutil.NoSuchProcess:
        return []


def _running(found: psutil.Process) -> bool:
    try:
        # a zombie keeps its id and its creation time until its parent collects it
        return bool(found.is_running() and found.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False
