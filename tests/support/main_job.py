"""The main job of one slot without Prefect: intake, training, gate, promotion; in processes that can be killed.

    python -m tests.support.main_job

imports everything once and then forks a process for each line of its input, which is the job as JSON. It answers each
with the process id and, later, the exit code.
"""

from __future__ import annotations

import contextlib
import json
import os
import resource
import signal
import subprocess
import sys
import traceback
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

SETTINGS = """
backbone: {backbone}
defaults:
  asr:
    adapter: {{encoder: {{bottleneck: 4}}, layer: {{width: 8}}, prompt: {{count: 1}}}}
    train: {{epochs: 2, batch_seconds: 8.0, min_steps: 4, device: cpu, seed: 1, checkpoint_minutes: 0}}
    gate:
      limit: 1.5
      margin: 1.0
      min_slice: 1
      resamples: 200
      safety: {{max_slowdown: null, interference_slots: 0}}
"""


@dataclass(frozen=True)
class MainJob:
    """One slot, and where its job works."""

    root: str
    """The workspace."""
    delivery: str
    uri: str
    """Address of the MLflow server."""
    slot: str
    cache: str


def run_main_job(job: MainJob) -> None:
    """Do the job; what is done already is not done again."""
    from pipelines.datasets.ingest import add_delivery
    from pipelines.gating.gate import gate_version
    from pipelines.local.workspace import open_workspace
    from pipelines.registry.client.server_api import promote_version
    from pipelines.registry.policies import policy_digest
    from pipelines.registry.slot import Slot
    from pipelines.training.train import train_adapters

    workspace, slot = open_workspace(Path(job.root)), Slot.parse(job.slot)
    dataset = add_delivery(workspace, slot, Path(job.delivery))
    options: dict[str, Any] = {"mlflow_uri": job.uri, "cache": Path(job.cache)}
    made = train_adapters(job.root, {slot: dataset.tag}, workspace.settings, **options)[slot]
    judged = gate_version(job.root, slot, workspace.settings, made.version, **options)
    policy = policy_digest(workspace.settings.for_slot(slot).gate)
    promote_version(slot, judged.version, mlflow_uri=job.uri, policy=policy, by="ann", reason="better")


class Jobs:
    """The process that forks the jobs."""

    def __init__(self, log: Path, before: tuple[str, ...] = (), more: Mapping[str, str] | None = None) -> None:
        """Start the process; the command `before` runs it, such as ``faketime``; `more` is added to the environment."""
        self.log = log
        self._process = subprocess.Popen(
            [*before, sys.executable, "-m", __name__, str(log)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, **(more or {})},
        )
        self.pid = 0
        """Process id of the present job."""

    def start(self, job: MainJob, **environment: str) -> None:
        """Begin a job; one at a time."""
        assert self._process.stdin
        self._process.stdin.write(json.dumps([asdict(job), environment]) + "\n")
        self._process.stdin.flush()
        self.pid = self._answer()

    def wait(self) -> int:
        """Return the exit code of the job, negative for a signal."""
        return self._answer()

    def _answer(self) -> int:
        assert self._process.stdout
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"the process of the jobs has ended:\n{self.log.read_text()[-3000:]}")
        return int(line)

    def run(self, job: MainJob, **environment: str) -> int:
        """Do a job and return its exit code."""
        self.start(job, **environment)
        return self.wait()

    def end(self) -> None:
        """End the process."""
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.close()
        self._process.wait(60)
        self._process.stdout.close()


def _import() -> None:
    """Import what each job would import."""
    import importlib

    for name in (
        "elp_core.training",
        "elp_core.assemble",
        "elp_core.bundle",
        "elp_core.testing",
        "transformers.modeling_utils",
        "mlflow.pyfunc",
        "matplotlib.backends.backend_agg",
        "dvc.repo",
        "dvc.api",
        "pipelines.datasets.ingest",
        "pipelines.gating.gate",
        "pipelines.training.train",
    ):
        importlib.import_module(name)
    from pipelines.datasets.expectations import import_great_expectations

    import_great_expectations()


def main(log: str) -> None:
    """Fork a job for each line."""
    sink = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    _import()
    for line in sys.stdin:
        job, environment = json.loads(line)
        pid = os.fork()
        if pid == 0:
            os.dup2(sink, 1)
            os.dup2(sink, 2)
            os.environ.update(environment)
            os.setpgid(0, 0)
            try:
                if largest := os.environ.get("LARGEST_FILE"):
                    # a write beyond it fails like one to a full disk
                    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
                    resource.setrlimit(resource.RLIMIT_FSIZE, (int(largest), resource.RLIM_INFINITY))
                run_main_job(MainJob(**job))
            except BaseException:
                with contextlib.suppress(OSError):
                    # the log has the same limit; its buffers would decide about the exit code
                    traceback.print_exc()
                    sys.stderr.flush()
                os._exit(1)
            sys.stdout.flush()
            os._exit(0)
        print(pid, flush=True)
        code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        print(code, flush=True)


if __name__ == "__main__":
    main(sys.argv[1])
