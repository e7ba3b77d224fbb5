"""Compare methods on a slot: a trial each, the learning curve, the report, and the run in MLflow."""

from __future__ import annotations

import hashlib
import json
import platform
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from elp_core.config import to_dict
from elp_core.errors import OpsError
from pipelines.clients import registry, tracking
from pipelines.comparison.page import draw, render
from pipelines.comparison.result import Comparison, findings, foresee, markdown
from pipelines.comparison.trial import Trial, TrialSpec
from pipelines.errors import UsageError
from pipelines.lineage.collect import code_digest
from pipelines.services.environment import child_environment
from pipelines.settings import Slot
from pipelines.steps.dataset import golden_ref, version_at
from pipelines.workspace import Workspace

if TYPE_CHECKING:
    from mlflow import MlflowClient

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
        OpsError: where a trial fails; its last lines are told.
    """
    _check(question)
    client = registry.connect(mlflow_uri)
    base = _base(workspace, slot, version_at(workspace, version, slot).tag)
    golden = golden_ref(workspace, base.tag, slot)
    names = list(dict.fromkeys((*question.methods, *([question.curve_method] if question.shares else []))))
    whole = {name: _trial(workspace, base, name, 1.0, log) for name in names}
    shares = sorted({share for share in question.shares if share < 1.0})
    partial = [_trial(workspace, base, question.curve_method, share, log) for share in shares]
    curve = (*partial, whole[question.curve_method]) if question.shares else ()
    found = _comparison(workspace, base, golden.tag, question, whole, curve)
    folder = write_report(found, workspace.state / "comparisons" / _digest(asdict(found))[:16])
    _log_run(client, slot, found, folder)
    return found, folder


def write_report(found: Comparison, folder: Path) -> Path:
    """Write the report's files into `folder`, over those of the same comparison."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "compare.json").write_text(json.dumps(asdict(found), indent=1, sort_keys=True), encoding="utf-8")
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


def _base(workspace: Workspace, slot: Slot, tag: str) -> TrialSpec:
    closed = version_at(workspace, tag, slot).closed_set
    settings, cache = to_dict(workspace.settings.for_slot(slot)), str(workspace.state / "cache")
    backbone = workspace.settings.backbone
    return TrialSpec("", 1.0, str(slot), str(workspace.root), tag, cache, backbone, closed, settings)


def _trial(workspace: Workspace, base: TrialSpec, method: str, share: float, log: Log) -> Trial:
    """One trial, from the cache where it was done before."""
    spec = asdict(base) | {"method": method, "share": share}
    dataset = version_at(workspace, base.tag, Slot.parse(base.slot)).dvc_hash
    kept = workspace.state / "cache" / "trials" / f"{_digest({**spec, 'code': code_digest(), 'data': dataset})}.json"
    told = f"{method} on {100 * share:g} % of the training audio"
    if kept.is_file():
        log(f"{told}: done before")
    else:
        log(f"{told}: training")
        kept.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory() as scratch:
            path = Path(scratch) / "spec.json"
            path.write_text(json.dumps(spec), encoding="utf-8")
            command = [sys.executable, "-m", "pipelines.comparison.trial", str(path), str(kept)]
            done = subprocess.run(command, env=child_environment(), capture_output=True, text=True, check=False)
        if done.returncode:
            tail = "\n".join(done.stderr.strip().splitlines()[-4:])
            raise OpsError(f"the trial {told} of {base.slot} failed; the others are kept, run it again:\n{tail}")
    trial = Trial(**json.loads(kept.read_text(encoding="utf-8")))
    log(f"{told}: {trial.metric} {100 * trial.value:.2f} % in {trial.train_seconds:.0f} s")
    return trial


def _comparison(
    workspace: Workspace,
    base: TrialSpec,
    golden: str,
    question: Question,
    whole: dict[str, Trial],
    curve: Sequence[Trial],
) -> Comparison:
    from elp_core.backbones import Backbone
    from elp_core.methods import METHODS

    methods = tuple(whole[name] for name in question.methods)
    ahead, words = foresee(curve)
    about = {name: METHODS[name].about if name in METHODS else "the slot's own configuration" for name in whole}
    backbone = Backbone.from_pretrained(base.backbone)
    first = methods[0]
    return Comparison(
        slot=base.slot,
        dataset=base.tag,
        golden=golden,
        backbone=backbone.id,
        fingerprint=backbone.fingerprint,
        metric=first.metric,
        confidence=workspace.settings.for_slot(Slot.parse(base.slot)).gate.confidence,
        closed_set=base.closed_set,
        hardware=f"{first.device}, {first.threads} threads of {platform.machine()}",
        methods=methods,
        about=about,
        curve_method=question.curve_method,
        curve=tuple(curve),
        ahead=ahead,
        findings=findings(methods, words),
    )


def _log_run(client: MlflowClient, slot: Slot, found: Comparison, folder: Path) -> None:
    """The comparison as a run of the slot's experiment; the same one again is the same run."""
    tags = {"elp.slot": str(slot), "elp.dataset": found.dataset, "elp.kind": "comparison"}
    key = f"compare-{_digest(asdict(found))}"
    run = tracking.open_run(client, slot, key, f"methods compared on {found.dataset.rsplit('/', 1)[-1]}", tags)
    numbers: dict[str, float] = {}
    for trial in found.methods:
        numbers |= {
            f"{trial.method}.{found.metric}": trial.value,
            f"{trial.method}.parameters": float(trial.parameters),
            f"{trial.method}.train_seconds": trial.train_seconds,
            f"{trial.method}.peak_bytes": float(trial.peak_bytes),
        }
    tracking.log_metrics(client, run, numbers)
    tracking.log_folder(client, run, folder, "comparison")
    tracking.close_run(client, run)


def _digest(values: object) -> str:
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()
