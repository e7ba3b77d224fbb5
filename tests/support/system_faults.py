"""The kinds of faults of a whole system, each at one moment of a run: which processes are killed or stopped."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable

import psutil

from pipelines.local import lifecycle
from pipelines.local.addresses import read_record
from pipelines.local.supervision import GUARD, SUPERVISOR
from pipelines.orchestration.deployments import register_deployments
from tests.support.whole_system import System, family, kill_processes


def _kill_run(system: System, run: str) -> None:
    kill_processes(*(process.pid for process in system.run_processes(run)[:1]))


def _end_all(system: System, run: str) -> None:
    """End everything, as a restart of the machine does; `elp up` is then started by systemd."""
    record = read_record(system.workspace)
    # the supervision and its guard, which are the last in the record, first: they would start the others again
    every = [process for one in reversed(record.processes) for process in family(one.pid)]
    every += system.run_processes(run)
    kill_processes(*(process.pid for process in every))
    psutil.wait_procs(every, timeout=10.0)
    lifecycle.up(system.workspace, register_deployments, log=lambda _: None)


def _worker_and_run(system: System, run: str) -> None:
    kill_processes(system.pid("elp-gpu"))
    _kill_run(system, run)


def _hang(*pids: int) -> None:
    """Let processes stand still for longer than the beats of a run may be away."""
    kill_processes(*pids, number=signal.SIGSTOP)
    time.sleep(45)
    kill_processes(*pids, number=signal.SIGCONT)


def _hang_service(name: str) -> Callable[[System, str], None]:
    return lambda system, run: _hang(*(process.pid for process in family(system.pid(name))))


def _supervision_then_run(system: System, run: str) -> None:
    kill_processes(system.pid(SUPERVISOR))
    _kill_run(system, run)


def begin_a_new_count(system: System) -> None:
    """Let the supervision forget what has ended: after a sixth end in 15 minutes it waits a minute."""
    both = [process for name in (SUPERVISOR, GUARD) for process in family(system.pid(name))[:1]]
    kill_processes(*(process.pid for process in both))
    psutil.wait_procs(both, timeout=10.0)
    lifecycle.up(system.workspace, register_deployments, log=lambda _: None)


FAULTS: dict[str, Callable[[System, str], None]] = {
    "the process of the run": _kill_run,
    "the worker": lambda system, run: kill_processes(system.pid("elp-gpu")),
    "worker and process": _worker_and_run,
    "the Prefect server": lambda system, run: kill_processes(system.pid("prefect")),
    "the MLflow server": lambda system, run: kill_processes(*(p.pid for p in family(system.pid("mlflow")))),
    "the supervision, then the run": _supervision_then_run,
    "everything": _end_all,
    "the run hangs": lambda system, run: _hang(*(process.pid for process in system.run_processes(run)[:1])),
    "the worker hangs": lambda system, run: _hang(system.pid("elp-gpu")),
    "the Prefect server hangs": _hang_service("prefect"),
    "the MLflow server hangs": _hang_service("mlflow"),
    "the supervision hangs": lambda system, run: _hang(system.pid(SUPERVISOR)),
}
"""Each returns when what it ended may come back: at once, or after what a machine does that starts again."""
