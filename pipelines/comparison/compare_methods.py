"""Compare methods on a slot: a trial each, the learning curve, the report, and the run in MLflow."""

from __future__ import annotations

import json
import platform
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from elp_core.errors import OpsError
from pipelines.comparison.comparison_page import draw, render
from pipelines.comparison.difference import differences, pairs_of
from pipelines.comparison.findings import findings
from pipelines.comparison.result import Comparison, foresee, markdown
from pipelines.comparison.trial import Trial
from pipelines.comparison.trials import Bench, Failure, digest
from pipelines.datasets.dataset_version import DatasetVersion
from pipelines.datasets.versions import golden_ref, version_at
from pipelines.errors import UsageError
from pipelines.local.workspace import Workspace
from pipelines.registry.client import model_registry as registry
from pipelines.registry.client import runs as tracking
from pipelines.registry.plain_json import plain
from pipelines.registry.slot import Slot

if TYPE_CHECKING:
    from mlflow import MlflowClient

    from elp_core.backbones import Backbone

Log = Callable[[str], None]
OWN = "slot"
"""Stands for the slot's own adapter configuration."""


@dataclass(frozen=True)
class Question:
    """What to compare."""

    methods: tuple[str, ...]
    """Names in `elp_core.methods.METHODS`, or `OWN`."""
    shares: tuple[float, ...]
    """Shares of the training split for the learning curve; empty draws none."""
    curve_method: str = "elp"


def compare_methods(
    workspace: Workspace, slot: Slot, version: str, question: Question, *, mlflow_uri: str, log: Log = print
) -> tuple[Comparison, Path]:
    """Train and judge every method on one dataset version.

    A trial that was done before with the same data, settings, code and backbone is not done again: a comparison that
    was stopped goes on where it was.

    Args:
        workspace: the workspace.
        slot: the slot.
        version: dataset version, such as ``v3`` or ``latest``.
        question: what to compare.
        mlflow_uri: address of the MLflow server, where the report becomes a run of the slot's experiment.
        log: takes a line at a time.

    Returns:
        The comparison, and the folder with compare.html, compare.md, compare.json and the pictures.

    Raises:
        UsageError: for an unknown method or a share that is none.
        VersioningError: where the slot has no such version or no golden set.
        ServiceError: where MLflow is gone.
        OpsError: where no method's trial came to an end; single ones that failed are in `Comparison.failed`.
    """
    from elp_core.backbones import Backbone

    _check(question)
    client = registry.connect(mlflow_uri)
    dataset = version_at(workspace, version, slot)
    golden, backbone = golden_ref(workspace, dataset.tag, slot), Backbone.from_pretrained(workspace.settings.backbone)
    bench = Bench(workspace, slot, dataset, golden, backbone.fingerprint, log)
    names = list(dict.fromkeys((*question.methods, *([question.curve_method] if question.shares else []))))
    shares = sorted({share for share in question.shares if share < 1.0})
    ends = [*(bench.run(name) for name in names), *(bench.run(question.curve_method, share) for share in shares)]
    found = _comparison(bench, slot, dataset, golden.tag, backbone, question, ends)
    folder = write_report(found, workspace.state / "comparisons" / digest(plain(found))[:16])
    log(f"report: {folder / 'compare.html'}")
    _log_run(client, slot, found, folder)
    return found, folder


def write_report(found: Comparison, folder: Path) -> Path:
    """Write the report's files into `folder`, over those of the same comparison."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "compare.json").write_text(
        json.dumps(plain(found), indent=1, sort_keys=True, allow_nan=False), encoding="utf-8"
    )
    (folder / "compare.md").write_text(markdown(found), encoding="utf-8")
    (folder / "compare.html").write_text(render(found), encoding="utf-8")
    for number, png in enumerate(draw(found).values(), start=1):
        (folder / f"picture-{number}.png").write_bytes(png)
    return folder


def _check(question: Question) -> None:
    from elp_core.methods import METHODS

    known = (*METHODS, OWN)
    strange = [name for name in (*question.methods, question.curve_method) if name not in known]
    if strange or not question.methods:
        raise UsageError(f"unknown method {', '.join(strange) or '(none)'}; expected some of {', '.join(known)}")
    wrong = [share for share in question.shares if not 0 < share <= 1]
    if wrong:
        raise UsageError(f"{wrong[0]} is no share of the training audio; expected more than 0, up to 1")


def _comparison(
    bench: Bench,
    slot: Slot,
    dataset: DatasetVersion,
    golden: str,
    backbone: Backbone,
    question: Question,
    ends: Sequence[Trial | Failure],
) -> Comparison:
    from elp_core.methods import METHODS

    failed = tuple(end for end in ends if isinstance(end, Failure))
    trials = [end for end in ends if isinstance(end, Trial)]
    whole = {trial.method: trial for trial in trials if trial.share == 1.0}
    methods = tuple(whole[name] for name in question.methods if name in whole)
    if not methods:
        reasons = "\n".join(f"{one.method}: {one.reason}" for one in failed)
        raise OpsError(f"no method could be trained on {dataset.tag}:\n{reasons}")
    parts = [trial for trial in trials if trial.method == question.curve_method]
    curve = tuple(sorted(parts, key=lambda trial: trial.share)) if question.shares else ()
    ahead, words = foresee(curve)
    about = {name: METHODS[name].about if name in METHODS else "the slot's own configuration" for name in whole}
    first, policy = methods[0], bench.policy
    scores = {trial.method: bench.scores(trial.method) for trial in methods}
    told = differences(scores, pairs_of(methods), policy, dataset.closed_set)
    return Comparison(
        slot=str(slot),
        dataset=dataset.tag,
        golden=golden,
        backbone=backbone.id,
        fingerprint=backbone.fingerprint,
        metric=first.metric,
        confidence=policy.confidence,
        closed_set=dataset.closed_set,
        hardware=f"{first.device}, {first.threads} threads of {platform.machine()}",
        methods=methods,
        differences=told,
        about=about,
        curve_method=question.curve_method,
        curve=curve,
        ahead=ahead,
        failed=failed,
        findings=findings(slot.task, methods, told, words, failed),
    )


def _log_run(client: MlflowClient, slot: Slot, found: Comparison, folder: Path) -> None:
    """The comparison as a run of the slot's experiment; the same one again is the same run."""
    tags = {"elp.slot": str(slot), "elp.dataset": found.dataset, "elp.kind": "comparison"}
    key = f"compare-{digest(plain(found))}"
    run = tracking.open_run(client, slot, key, f"methods compared on {found.dataset.rsplit('/', 1)[-1]}", tags)
    numbers: dict[str, float] = {}
    for trial in found.methods:
        told = {
            found.metric: trial.value,
            "lower": trial.lower,
            "upper": trial.upper,
            "parameters": trial.parameters,
            "train_seconds": trial.train_seconds,
            "peak_bytes": trial.peak_bytes,
            "bundle_bytes": trial.bundle_bytes,
            "real_time_factor": trial.real_time_factor,
        }
        numbers |= {f"{trial.method}.{name}": float(value) for name, value in told.items() if value is not None}
    tracking.log_metrics(client, run, numbers)
    tracking.log_folder(client, run, folder, "comparison")
    tracking.close_run(client, run)
