"""The trainings of a study as runs in MLflow, below the run of the study in the slot's experiment."""

from __future__ import annotations

import contextlib
import json
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from elp_core.config import from_dict
from elp_core.errors import OpsError
from pipelines.registry.client import runs
from pipelines.registry.slot import Slot
from pipelines.tuning.trial_store import Ended, FailedTraining, PrunedTraining
from pipelines.tuning.tune_request import TrialCall
from pipelines.tuning.tune_trial import TuneResult
from pipelines.tuning.tuning_result import RESULT_FILE, TuningResult
from pipelines.tuning.tuning_words import tuning_findings

if TYPE_CHECKING:
    from mlflow import MlflowClient

PARENT = "mlflow.parentRunId"
"""MLflow's tag of a run below another one."""


@dataclass
class StudyRuns:
    """The runs of one study; a study that continues has the same ones."""

    client: MlflowClient = field(repr=False)
    slot: Slot
    study: str = ""
    tag: str = ""
    parent: str = ""
    """Run of the study."""
    flow_run: str = ""
    """Flow run of Prefect that this is part of, or empty."""

    def finished(self) -> TuningResult | None:
        """Return what the study of this flow run found if it has ended, else None.

        A flow run that crashed is started again later. If the same command was given meanwhile, another run has
        finished the study, and its winner may be in `elp.yaml` by now: on these settings, a new study would begin.
        """
        begun = runs.tagged_run(self.client, self.slot, self._begun_by, "tuning") if self.flow_run else None
        if begun is None or begun[1] != "FINISHED":
            return None
        with tempfile.TemporaryDirectory() as folder:
            path = runs.fetch_artifact(self.client, begun[0], f"tuning/{RESULT_FILE}", Path(folder))
            if path is None:
                return None
            return from_dict(TuningResult, json.loads(path.read_text(encoding="utf-8")), RESULT_FILE)

    @property
    def _begun_by(self) -> str:
        # one tag for each flow run: several may work on one study
        return f"elp.flow_run.{self.flow_run}"

    def open(self, study: str, tag: str) -> None:
        """Open the run of the study with this key, on the dataset version `tag`."""
        self.study, self.tag = study, tag
        name = f"tuned on {tag.rsplit('/', 1)[-1]}"
        mine = {self._begun_by: "tuning"} if self.flow_run else {}
        self.parent = runs.open_run(self.client, self.slot, f"tune-{study}", name, self._tags("tuning") | mine)

    def record(self, call: TrialCall, train: Callable[[], Ended]) -> Ended:
        """Run a training with its run open; the run ends with its parameters, its metrics and its state.

        Raises ServiceError if MLflow is gone; the training's result is kept.
        """
        tags = self._tags("tuning trial") | {PARENT: self.parent}
        key = f"tune-{self.study[:16]}-{call.key}"
        run = runs.open_run(self.client, self.slot, key, call.name, tags)
        settings = {**call.candidate.settings(), "epochs": call.epochs, "seed": call.seed}
        runs.log_params(self.client, run, settings)
        try:
            ended = train()
        except BaseException:
            # a run that is stopped is opened again when the study continues
            with contextlib.suppress(OpsError):
                runs.close_run(self.client, run, "KILLED")
            raise
        match ended:
            case TuneResult():
                runs.log_metrics(self.client, run, _numbers(ended))
                runs.close_run(self.client, run)
            case PrunedTraining(rung):
                runs.log_metrics(self.client, run, {"value_at_rung": rung.value})
                runs.close_run(self.client, run, "KILLED")
            case FailedTraining(reason):
                runs.set_run_tags(self.client, run, {"elp.reason": reason})
                runs.close_run(self.client, run, "FAILED")
        return ended

    def close(self, found: TuningResult, folder: Path) -> None:
        """Log what the study found, with its report, and end its run."""
        runs.set_run_tags(self.client, self.parent, {"elp.decision": tuning_findings(found)[0]})
        numbers = {"seconds": found.seconds, "trials": float(len(found.searched))}
        for place, finalist in enumerate(found.finalists, start=1):
            numbers |= {
                f"finalist_{place}.{found.metric}": finalist.against_present.value,
                f"finalist_{place}.delta": finalist.against_present.delta,
                f"finalist_{place}.parameters": float(finalist.tried.parameters),
            }
        runs.log_metrics(self.client, self.parent, numbers)
        runs.log_folder(self.client, self.parent, folder, "tuning")
        # a trial of a session that was killed has no other end if the study ends before its turn comes again
        for run in runs.open_runs(self.client, self.slot, PARENT, self.parent):
            runs.close_run(self.client, run, "KILLED")
        runs.close_run(self.client, self.parent)

    def _tags(self, kind: str) -> dict[str, str]:
        return {"elp.slot": str(self.slot), "elp.dataset": self.tag, "elp.kind": kind}


def _numbers(ended: TuneResult) -> dict[str, float]:
    names = ("parameters", "head_parameters", "slowdown", "real_time_factor", "seconds", "best_epoch")
    return {ended.metric: ended.value, **{f"trial.{name}": float(getattr(ended, name)) for name in names}}
