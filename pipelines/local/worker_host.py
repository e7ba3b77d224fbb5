"""`elp worker`: a small process that runs the Prefect workers of a machine, as systemd and containers expect it.

It starts a Prefect worker for each GPU, starts it again when it has ended, and ends all of them when a signal asks it
to (SIGTERM, SIGINT, SIGHUP), or when the server has ended this worker or has another release: it would take all runs
and fail each. A worker that is killed leaves its run behind, which continues: this process ends the run and reports it
to Prefect before it starts the next worker. When this process itself is killed, its workers continue, and the next
`elp worker` of the same home takes them over.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

from elp_core.errors import OpsError
from elp_core.files import write_whole
from elp_core.types import Seconds
from pipelines.errors import ServiceError, WorkerEnded
from pipelines.local.addresses import Record
from pipelines.local.environment import child_environment
from pipelines.local.foreground import LogFollower, Stopped, collect_ended, ignore_signals, say_line, stop_signals
from pipelines.local.gpu_need import ensure_queues
from pipelines.local.interrupted_runs import worker_of
from pipelines.local.processes import Process, alive, start, stop, stop_remains
from pipelines.local.runs_in_progress import unfinished_runs
from pipelines.local.service_commands import run_environment
from pipelines.local.supervision import Ends, note_ends
from pipelines.local.worker_home import HOME, WorkerSettings
from pipelines.local.worker_plan import GPU_POOL, WorkerSpec
from pipelines.local.worker_runs import end_processes_of, forget_workers, report_lost_runs
from pipelines.locks import file_lock
from pipelines.prefect_names import PREFECT_LOGIN
from pipelines.registry.client.connection import PASSWORD, USERNAME, Account
from pipelines.registry.client.workers import refresh_keys
from pipelines.registry.signing.keys import FOLDER_VARIABLE
from pipelines.release import installed_release, require_same_release

Log = Callable[[str], None]

STOPPED = "its worker was stopped; started again, it continues at the step it had reached"
"""Message of a run that ended because `elp worker` was stopped."""
_EVERY: Seconds = 0.5
_ASK_AGAIN: Seconds = 5.0
"""Time between two attempts to report lost runs to a Prefect server that does not answer."""
_TRUST_EVERY: Seconds = 20.0
"""A run that begins between two questions goes back to its queue."""
_ANSWERS_WITHIN: Seconds = 5.0
_RECORD = "processes.json"


@dataclass
class WorkerHost:
    """The Prefect workers of this machine, and what is known about them between two rounds."""

    home: Path
    api: str
    specs: Sequence[WorkerSpec]
    environment: Mapping[str, str]
    log: Log
    running: dict[str, Process] = field(default_factory=dict)
    """The newest process of each worker, which may have ended, by the worker's name in Prefect."""
    ends: dict[str, Ends] = field(default_factory=dict)
    ask_at: float = 0.0
    """When Prefect is asked again after it did not answer, by the monotonic clock."""
    fault: str = ""
    trust_at: float = 0.0
    """When the server is asked again whether it trusts this worker, by the monotonic clock."""
    release: str = field(default_factory=installed_release)
    """Of this process: an upgrade in place changes what is installed, and not what runs."""
    finishing: set[str] | None = None
    """Runs that are still finished, by id, because the server has another release; None if it has the same."""

    def begin(self) -> None:
        """Take over the workers that an earlier `elp worker` left, end all others, and start what is missing."""
        wanted = {spec.worker: spec for spec in self.specs}
        for worker, (process, command) in self._read().items():
            if worker in wanted and command == wanted[worker].command() and alive(process):
                self.running[worker] = process
                self.log(f"{worker} is running already")
            else:
                stop([process])
                end_processes_of(self.home, worker)
        for spec in self.specs:
            if spec.worker not in self.running:
                # what a process left that was killed before it could write its record
                end_processes_of(self.home, spec.worker)
        self.round()

    def round(self) -> None:
        """Start each worker that is missing, or that has ended and may be started now."""
        collect_ended()
        now, before = time.time(), self.ends
        self.ends = note_ends(Record(tuple(map(self._named, self.running))), before, now)
        for spec in self.specs:
            process, end = self.running.get(spec.worker), self.ends.get(spec.worker)
            if process is not None and alive(process):
                continue
            if process is not None and end is not None and end.pid != before.get(spec.worker, Ends(0, ())).pid:
                self.log(f"{spec.worker} has ended")
                # at once: its run would keep the GPU during the pause before the next start
                stop_remains(process)
                end_processes_of(self.home, spec.worker)
            if (end is None or end.may_start(now)) and self._report(spec):
                end_processes_of(self.home, spec.worker)
                self._start(spec)

    def require_trust(self, settings: WorkerSettings) -> None:
        """Raise WorkerEnded if the server has ended this worker; without an answer nothing is known.

        Raise it for another release of the server, too, when no run is in progress that this worker can finish.
        """
        if time.monotonic() < self.trust_at:
            return
        self.trust_at = time.monotonic() + _TRUST_EVERY
        account = Account(settings.username, settings.password) if settings.username else None
        try:
            server = refresh_keys(settings.mlflow_uri, self.home / "keys", account, _ANSWERS_WITHIN).release
            # a run is a new process: after an upgrade in place it has another release than this one
            installed = installed_release()
            differs = server and {server} != {installed, self.release}
            finishing = self._running(installed) if differs else None
        except WorkerEnded:
            raise
        except (OpsError, OSError, LookupError, TypeError, ValueError, ImportError):
            # an outage, a strange answer, a full disk, or an upgrade that has just begun: the runs say what is wrong,
            # and this process outlives it
            return
        if finishing is not None and not finishing:
            require_same_release(installed, server)
            require_same_release(self.release, server)
        if finishing and self.finishing is None:
            own = self.release if installed == server else installed
            self.log(f"the server has {server}, and this worker {own}; it ends when its run has ended")
        self.finishing = finishing

    def _running(self, installed: str) -> set[str]:
        """Return the ids of the runs of this worker that are in progress, without those that are sent back.

        A run for the release of before an upgrade in place began before it if it was in progress when that was seen.
        """
        workers = {spec.worker for spec in self.specs}
        runs = unfinished_runs(self.api, {spec.pool for spec in self.specs})
        mine = [run for run in runs if worker_of(run) in workers and run["state_type"] == "RUNNING"]
        return {
            run["id"]
            for run in mine
            if (release := run["parameters"].get("release")) in ("", None, installed)
            or (release == self.release and (self.finishing is None or run["id"] in self.finishing))
        }

    def end(self) -> None:
        """End all workers with their runs, and report the runs."""
        stop(list(self.running.values()))
        for spec in self.specs:
            end_processes_of(self.home, spec.worker)
        for spec in self.specs:
            try:
                report_lost_runs(self.api, spec.pool, spec.worker, self.log, STOPPED)
            except (OSError, LookupError, TypeError, ValueError) as error:
                self.log(f"the runs of {spec.worker} could not be reported to Prefect: {error}")
        forget_workers(self.api, [(spec.pool, spec.worker) for spec in self.specs], self.log)
        self.running.clear()
        self._write()

    def _report(self, spec: WorkerSpec) -> bool:
        """Report the runs that a worker had when it ended; return whether Prefect has answered."""
        if time.monotonic() < self.ask_at:
            return False
        try:
            report_lost_runs(self.api, spec.pool, spec.worker, self.log)
            if spec.queues:
                ensure_queues(self.api, spec.pool, spec.queues)
        # an answer of another shape, too: this process must outlive every server
        except (OSError, LookupError, TypeError, ValueError) as error:
            self.ask_at = time.monotonic() + _ASK_AGAIN
            if (fault := f"Prefect at {self.api} does not answer as expected ({error!r}); trying again") != self.fault:
                self.log(fault)
            self.fault = fault
            return False
        self.fault = ""
        return True

    def _start(self, spec: WorkerSpec) -> None:
        environment = {**self.environment, **spec.environment()}
        log = self.home / "logs" / f"{spec.name}.log"
        self.running[spec.worker] = start(spec.name, spec.command(), environment, log)
        # at once: the next `elp worker` must find it even if this process is killed now
        self._write()
        self.log(f"{spec.worker} starting")

    def _named(self, worker: str) -> Process:
        """Return the process under the name that is unique here: that in Prefect."""
        process = self.running[worker]
        return Process(worker, process.pid, process.created, process.log, process.address, process.started)

    def _write(self) -> None:
        commands = {spec.worker: spec.command() for spec in self.specs}
        rows = [
            {"worker": worker, "process": asdict(process), "command": commands.get(worker, [])}
            for worker, process in self.running.items()
        ]
        write_whole(self.home / _RECORD, json.dumps(rows, indent=2) + "\n")

    def _read(self) -> dict[str, tuple[Process, list[str]]]:
        """Return what an earlier process started; empty if the record is missing or damaged."""
        try:
            rows = json.loads((self.home / _RECORD).read_text(encoding="utf-8"))
            return {row["worker"]: (Process(**row["process"]), row["command"]) for row in rows}
        except (OSError, ValueError, TypeError, KeyError):
            # its workers are found by their environment, and ended
            return {}


def run_worker(home: Path, settings: WorkerSettings, specs: Sequence[WorkerSpec], log: Log) -> int:
    """Run the workers of a machine until a signal asks for the end; return the exit code.

    Raises ServiceError if another `elp worker` runs with this home, WorkerEnded if the server has ended this worker.
    Signal handlers can be set in the main thread only.
    """
    if settings.prefect_key:
        # for the requests of this process, too
        os.environ[PREFECT_LOGIN] = settings.prefect_key
    host = WorkerHost(home, settings.prefect_api, specs, _environment(home, settings, specs), log)
    follower = LogFollower(home / "logs")
    follower.skip()
    try:
        with file_lock(home / "worker.lock", wait=0), stop_signals():
            try:
                host.require_trust(settings)
                host.begin()
                while True:
                    for line in follower.lines():
                        say_line(log, line)
                    time.sleep(_EVERY)
                    host.round()
                    host.require_trust(settings)
            except Stopped as signalled:
                ignore_signals()
                say_line(log, f"{signalled}: stopping")
                host.end()
                return 0
            except WorkerEnded as error:
                ignore_signals()
                say_line(log, f"{error}: stopping")
                host.end()
                raise
    except TimeoutError as error:
        raise ServiceError(
            f"another elp worker runs with {home}; end it, or name another folder with --home"
        ) from error


def _environment(home: Path, settings: WorkerSettings, specs: Sequence[WorkerSpec]) -> dict[str, str]:
    """Return the environment of the Prefect workers, and through them of the runs."""
    account = {USERNAME: settings.username, PASSWORD: settings.password} if settings.username else {}
    at_once = sum(spec.limit for spec in specs if spec.pool == GPU_POOL)
    return child_environment(
        {
            **run_environment(home / "prefect", at_once),
            **account,
            **({PREFECT_LOGIN: settings.prefect_key} if settings.prefect_key else {}),
            HOME: str(home),
            FOLDER_VARIABLE: str(home / "keys"),
            "PREFECT_API_URL": settings.prefect_api,
            "MLFLOW_TRACKING_URI": settings.mlflow_uri,
        }
    )
