"""Trials run one after another, each in a process of its own, and kept so that none is done twice."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from elp_core.config import to_dict
from pipelines.comparison import trial as program
from pipelines.comparison.trial import Trial, TrialSpec, scores_beside
from pipelines.datasets.dataset_version import DatasetVersion, GoldenRef
from pipelines.gating.compare import Scores
from pipelines.gating.pack import unpack
from pipelines.local.environment import child_environment
from pipelines.local.workspace import Workspace
from pipelines.registry.slot import Slot
from pipelines.training.provenance import code_digest, task_digest

Log = Callable[[str], None]


@dataclass(frozen=True)
class Failure:
    """A trial that did not come to an end."""

    method: str
    share: float
    reason: str


class Bench:
    """Where the trials of one comparison are run and kept."""

    def __init__(
        self, workspace: Workspace, slot: Slot, version: DatasetVersion, golden: GoldenRef, fingerprint: str, log: Log
    ) -> None:
        chosen, cache = workspace.settings.for_slot(slot), workspace.state / "cache"
        settings, self.policy = to_dict(chosen), chosen.gate
        self._spec = TrialSpec(
            "", 1.0, str(slot), str(workspace.root), version.tag, str(cache), workspace.settings.backbone,
            version.closed_set, settings,
        )  # fmt: skip
        # what decides a trial's numbers; where the workspace lies does not
        self._made_from = {
            "slot": str(slot),
            "data": version.dvc_hash,
            "golden": golden.digest,
            "backbone": fingerprint,
            "settings": settings,
            "code": code_digest(),
            "task": task_digest(slot.task_spec),
            "trial": hashlib.sha256(Path(program.__file__).read_bytes()).hexdigest(),
        }
        self._kept, self._log = cache / "trials", log

    def run(self, method: str, share: float = 1.0) -> Trial | Failure:
        """One trial, from what is kept where it was done before."""
        path = self._place(method, share)
        told = f"{method} on {100 * share:g} % of the training audio"
        if path.is_file() and scores_beside(path).is_file():
            self._log(f"{told}: done before")
        else:
            self._log(f"{told}: training")
            reason = self._train(asdict(self._spec) | {"method": method, "share": share}, path)
            if reason:
                self._log(f"{told}: failed: {reason}")
                return Failure(method, share, reason)
        trial = Trial(**json.loads(path.read_text(encoding="utf-8")))
        self._log(f"{told}: {trial.metric} {100 * trial.value:.2f} % in {trial.train_seconds:.0f} s")
        return trial

    def scores(self, method: str) -> Scores:
        """What a trial that was run on all of the audio scored on the golden set's clips."""
        return unpack(json.loads(scores_beside(self._place(method, 1.0)).read_text(encoding="utf-8")))

    def _place(self, method: str, share: float) -> Path:
        return self._kept / f"{digest({**self._made_from, 'method': method, 'share': share})}.json"

    def _train(self, spec: dict[str, Any], path: Path) -> str:
        """Run the trial in a process of its own; why it failed, or nothing."""
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory() as scratch:
            asked = Path(scratch) / "spec.json"
            asked.write_text(json.dumps(spec), encoding="utf-8")
            command = [sys.executable, "-m", program.__name__, str(asked), str(path)]
            done = subprocess.run(command, env=child_environment(), capture_output=True, text=True, check=False)
        if done.returncode == 0:
            return ""
        return "\n".join(done.stderr.strip().splitlines()[-4:]) or f"its process ended with {done.returncode}"


def digest(values: Any) -> str:
    """SHA-256 of JSON values, as 64 hexadecimal digits."""
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()
