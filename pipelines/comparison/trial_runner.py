"""Trials run one after another, each in its own process, and kept so that none is repeated."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from elp_core.config import to_dict
from pipelines.comparison import method_trial
from pipelines.comparison.method_trial import MethodTrial, TrialSpec, WantedTrial, scores_path
from pipelines.datasets.dataset_version import DatasetVersion, GoldenRef
from pipelines.datasets.slot_language import require_same_language
from pipelines.local.environment import child_environment
from pipelines.local.workspace import Workspace
from pipelines.number_text import metric_title, percent
from pipelines.progress_text import Report
from pipelines.registry.evidence_scores import Scores, unpack_scores
from pipelines.registry.slot import Slot
from pipelines.training.provenance import code_digest, task_digest

if TYPE_CHECKING:
    from elp_core.backbones import Backbone

Log = Callable[[str], None]
Progress = Callable[[float, int, str], None]
"""Takes trials done, with the part of the present one, trials in all, and what the present one does."""


@dataclass(frozen=True)
class FailedTrial:
    """A trial that failed, with the reason."""

    method: str
    share: float
    reason: str
    seed: int = 0
    factor: float = 1.0
    head: str = ""
    """These three as in `WantedTrial`."""


class TrialRunner:
    """The trials of one comparison: each result is kept in a file named by the digest of its inputs."""

    def __init__(
        self, workspace: Workspace, slot: Slot, dataset: DatasetVersion, golden: GoldenRef, backbone: Backbone, log: Log
    ) -> None:
        self.slot, self.dataset, self.golden, self.backbone = slot, dataset, golden, backbone
        chosen, cache = workspace.settings.for_slot(slot), workspace.cache
        # the gate accepts no adapter whose transcripts are under another normaliser than its answers
        require_same_language(dataset, chosen.language)
        settings, self.policy = to_dict(chosen), chosen.gate
        self._own_head: str = getattr(chosen.task, "head", "")
        # for `elp predict` only: it changes no trial
        del settings["decode"]
        self._spec = TrialSpec(
            "", 1.0, str(slot), str(workspace.root), dataset.tag, str(cache),
            workspace.settings.backbone_of(slot), dataset.closed_set, settings,
        )  # fmt: skip
        # everything that determines a trial's numbers; the folder of the workspace does not
        self._inputs = {
            "slot": str(slot),
            "data": dataset.dvc_hash,
            "golden": golden.digest + golden.words + (golden.trials.digest if golden.trials else ""),
            "backbone": backbone.fingerprint,
            "settings": settings,
            "code": code_digest(),
            "task": task_digest(slot.task_spec),
            **({"units": dict(dataset.units)} if dataset.units else {}),
            **({"normaliser": chosen.language.resolve().digest} if dataset.language.code else {}),
            "trial": hashlib.sha256(Path(method_trial.__file__).read_bytes()).hexdigest(),
        }
        self._folder, self._log = cache / "trials", log

    def run_all(self, trials: Sequence[WantedTrial], progress: Progress) -> list[MethodTrial | FailedTrial]:
        """Return the results of trials in their order.

        `progress` receives how much of the trials that were not done at the start is done.
        """
        waiting = [trial for trial in trials if not self._is_done(trial)]
        ended, results = 0, list[MethodTrial | FailedTrial]()
        for trial in trials:

            def report(done: int, total: int, note: str, method: str = trial.method, before: int = ended) -> None:
                steps = f"{method}: {done:,}/{total:,} steps" + (f", {note}" if note else "")
                progress(before + (done / total if total else 0.0), len(waiting), steps)

            if trial in waiting:
                progress(ended, len(waiting), trial.method)
            results.append(self.run(trial, report))
            if trial in waiting:
                # a training may stop before its last step, and its number is an estimate
                ended += 1
                progress(ended, len(waiting), f"{trial.method}: done")
        return results

    def run(self, wanted: WantedTrial, report: Report) -> MethodTrial | FailedTrial:
        """Return the result of one trial, from an earlier run if there is one; `report` gets its steps."""
        path, name = self._path(wanted), wanted.text
        if self._is_done(wanted):
            self._log(f"{name}: already done")
        else:
            self._log(f"{name}: training")
            if reason := self._train(replace(self._spec, **wanted._asdict()), path, report):
                self._log(f"{name}: failed: {reason}")
                return FailedTrial(wanted.method, wanted.share, reason, wanted.seed, wanted.factor, wanted.head)
        trial = replace(MethodTrial(**json.loads(path.read_text(encoding="utf-8"))), head=wanted.head)
        self._log(f"{name}: {metric_title(trial.metric)} {percent(trial.value)} in {trial.train_seconds:.0f} s")
        return trial

    def scores(self, trial: WantedTrial | MethodTrial) -> Scores:
        """Return the scores on the golden set's clips of a trial that ran."""
        wanted = WantedTrial(trial.method, trial.share, trial.seed, trial.factor, trial.head)
        return unpack_scores(json.loads(scores_path(self._path(wanted)).read_text(encoding="utf-8")))

    def _path(self, wanted: WantedTrial) -> Path:
        if wanted.head == self._own_head:
            # the same training as one that names no head
            wanted = wanted._replace(head="")
        return self._folder / f"{json_digest({**self._inputs, **wanted._asdict()})}.json"

    def _is_done(self, wanted: WantedTrial) -> bool:
        path = self._path(wanted)
        return path.is_file() and scores_path(path).is_file()

    def _train(self, spec: TrialSpec, path: Path, report: Report) -> str:
        """Run the trial in its own process; return why it failed, or an empty text."""
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory() as scratch:
            file = Path(scratch) / "spec.json"
            file.write_text(json.dumps(asdict(spec)), encoding="utf-8")
            command = [sys.executable, "-P", "-m", method_trial.__name__, str(file), str(path)]
            code, errors = run_child(command, Path(scratch) / "errors", report)
        if code == 0:
            return ""
        return "\n".join(errors.strip().splitlines()[-4:]) or f"its process ended with {code}"


def run_child(command: Sequence[str], errors: Path, report: Report) -> tuple[int, str]:
    """Run the process of a trial; return its exit code and what it wrote to stderr, which goes through a file.

    A line of its stdout that is a JSON list of two numbers and a text is reported; others are left out.
    """
    with errors.open("wb") as sink:
        child = subprocess.Popen(command, env=child_environment({}), stdout=subprocess.PIPE, stderr=sink, text=True)
    with child:
        assert child.stdout is not None
        try:
            for line in child.stdout:
                if step := _step(line):
                    report(*step)
        except BaseException:
            # Ctrl-C or a display that is gone: nobody would use what the trial finds
            child.kill()
            raise
    return child.returncode, errors.read_text(encoding="utf-8", errors="replace")


def _step(line: str) -> tuple[int, int, str] | None:
    try:
        done, total, note = json.loads(line)
    except (ValueError, TypeError):
        return None
    fits = isinstance(done, int) and isinstance(total, int) and isinstance(note, str)
    return (done, total, note) if fits else None


def json_digest(values: Any) -> str:
    """Return the SHA-256 of JSON values, as 64 hexadecimal digits."""
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()
