"""The trainings of `elp tune`, each in its own process, and their results, kept by the digest of all inputs."""

from __future__ import annotations

import hashlib
import json
import signal
import sys
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any

from elp_core.config import from_dict
from elp_core.files import write_whole
from pipelines.comparison.trial_runner import json_digest, run_child
from pipelines.datasets.dataset_version import DatasetVersion
from pipelines.errors import StudyStopped
from pipelines.local.workspace import Workspace
from pipelines.locks import file_lock
from pipelines.progress_text import Report
from pipelines.registry.evidence_scores import Scores, unpack_scores
from pipelines.registry.slot import Slot
from pipelines.training.provenance import code_digest, task_digest
from pipelines.tuning import clip_errors, tune_trial, validation_halves
from pipelines.tuning.search_space import Candidate, changed_settings
from pipelines.tuning.tune_trial import TuneResult, TuneSpec, rung_file, scores_file

DETERMINING = ("adapter", "train", "task", "language")
"""Groups of a slot's settings that change the result of a training; of the gate, its metric does, too."""


@dataclass(frozen=True)
class Rung:
    """The errors of a training at the epoch of its rung."""

    value: float
    blocks: Mapping[str, float]


Prune = Callable[[Rung], bool]
"""Returns whether a training with these errors is not worth its remaining epochs."""


@dataclass(frozen=True)
class PrunedTraining:
    """A training that ended at its rung."""

    rung: Rung


@dataclass(frozen=True)
class FailedTraining:
    """A training that failed, with the reason."""

    reason: str


Ended = TuneResult | PrunedTraining | FailedTraining


class _EndAtRung(Exception):
    """Ends the process of a training; `rung` has its errors."""

    def __init__(self, rung: Rung) -> None:
        super().__init__()
        self.rung = rung


@dataclass(frozen=True)
class TrialStore:
    """The trainings on one dataset version."""

    workspace: Workspace
    slot: Slot
    dataset: DatasetVersion
    fingerprint: str
    """That of the backbone."""
    _code: str = field(default_factory=code_digest, repr=False)

    @property
    def folder(self) -> Path:
        """Return the folder of the results."""
        return self.workspace.cache / "tuning" / "trials"

    def spec(
        self, candidate: Candidate, *, epochs: int, seed: int, rung: int = 0, layers_only: bool = False
    ) -> TuneSpec:
        """Return the inputs of the training of a candidate; raise ConfigError if its settings are refused."""
        chosen = self.workspace.settings.for_slot(self.slot)
        spec = TuneSpec(
            slot=str(self.slot),
            repository=str(self.workspace.root),
            tag=self.dataset.tag,
            cache=str(self.workspace.cache),
            backbone=self.workspace.settings.backbone_of(self.slot),
            closed_set=self.dataset.closed_set,
            settings=changed_settings(chosen, candidate, epochs=epochs, seed=seed),
            adapter=dict(candidate.adapter) if candidate.adapter.get("method") else {},
            rung=rung,
            layers_only=layers_only,
        )
        tune_trial.settings_of(spec)
        return spec

    def key(self, spec: TuneSpec) -> str:
        """Return the digest of everything that determines a training's result; no folder and no rung is in it."""
        values = asdict(spec)
        for name in ("repository", "cache", "tag", "backbone", "rung"):
            del values[name]
        values["settings"] = {name: spec.settings[name] for name in DETERMINING}
        inputs = {
            "metric": spec.settings["gate"]["metric"],
            "data": self.dataset.dvc_hash,
            "golden": self.dataset.golden,
            "backbone": self.fingerprint,
            "code": self._code,
            "task": task_digest(self.slot.task_spec),
            "trial": modules_digest(tune_trial, validation_halves, clip_errors),
        }
        return json_digest({**values, **inputs})

    def path(self, spec: TuneSpec) -> Path:
        """Return the file of a training's result."""
        return self.folder / f"{self.key(spec)}.json"

    def result(self, spec: TuneSpec) -> TuneResult | None:
        """Return the result of a training that is done, or None."""
        path = self.path(spec)
        if not (path.is_file() and scores_file(path).is_file()):
            return None
        return from_dict(TuneResult, json.loads(path.read_text(encoding="utf-8")), str(path))

    def scores(self, spec: TuneSpec) -> Scores:
        """Return the scores of a training that is done."""
        return unpack_scores(json.loads(scores_file(self.path(spec)).read_text(encoding="utf-8")))

    def rung(self, spec: TuneSpec) -> Rung | None:
        """Return the errors of a training at its rung, or None if it had none."""
        return _read_rung(self.path(spec))

    def run(self, spec: TuneSpec, report: Report, prune: Prune | None = None) -> Ended:
        """Return the result of a training: a kept one, or that of a new process; `report` gets its steps.

        `prune` is asked once, at the rung. Two processes with the same training make it once.
        """
        path = self.path(spec)
        with file_lock(path.with_suffix(".lock")):
            known = _read_rung(path)
            # the study compares later trainings with the errors at this rung, so it is told them in any case
            worse = bool(prune and known and prune(known))
            if found := self.result(spec):
                return found
            if worse and known:
                return PrunedTraining(known)
            rung_file(path).unlink(missing_ok=True)
            try:
                reason = self._train(spec, path, _watching(path, report, prune))
            except _EndAtRung as end:
                return PrunedTraining(end.rung)
        return self.result(spec) or FailedTraining(reason or "its process left no result")

    def _train(self, spec: TuneSpec, path: Path, report: Report) -> str:
        """Run the training in its own process; return why it failed, or an empty text."""
        with tempfile.TemporaryDirectory() as scratch:
            file = Path(scratch) / "spec.json"
            write_whole(file, json.dumps(asdict(spec)))
            command = [sys.executable, "-P", "-m", tune_trial.__name__, str(file), str(path)]
            code, errors = run_child(command, Path(scratch) / "errors", report)
        if code == 0:
            return ""
        if code in (-signal.SIGINT, 128 + signal.SIGINT):
            # a Ctrl-C in a terminal: it says nothing about the configuration
            raise StudyStopped("a training was interrupted; run the command again: it continues the study")
        return "\n".join(errors.strip().splitlines()[-4:]) or f"its process ended with {code}"


def modules_digest(*modules: ModuleType) -> str:
    """Return the SHA-256 of the files of modules, in their order."""
    files = (Path(module.__file__ or "").read_bytes() for module in modules)
    return json_digest([hashlib.sha256(content).hexdigest() for content in files])


def _watching(path: Path, report: Report, prune: Prune | None) -> Report:
    """Return a report of steps that ends the training at its rung if `prune` asks for that."""
    asked = False

    def watch(done: int, total: int, note: str) -> None:
        nonlocal asked
        report(done, total, note)
        if prune and not asked and (rung := _read_rung(path)):
            asked = True
            if prune(rung):
                raise _EndAtRung(rung)

    return watch


def _read_rung(path: Path) -> Rung | None:
    try:
        values: dict[str, Any] = json.loads(rung_file(path).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    return Rung(float(values["value"]), values["blocks"])
