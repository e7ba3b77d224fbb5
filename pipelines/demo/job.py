"""The main job on the embedded corpus: four adapters from audio to champion, and a bad delivery that is refused."""

from __future__ import annotations

import functools
import shutil
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from elp_core.errors import OpsError
from elp_core.types import Seconds, Split
from pipelines.demo.corpus import SITES, DeliveryPlan, Site, write_delivery
from pipelines.demo.rows import Row, add_row, read_rows
from pipelines.demo.time_left import TimeLeft, stage_share
from pipelines.local import git
from pipelines.local.addresses import mlflow_uri, prefect_api, prefect_pages
from pipelines.local.lifecycle import down, up
from pipelines.local.workspace import SETTINGS_FILE, Workspace, open_workspace
from pipelines.number_text import duration
from pipelines.orchestration.deployments import FLOWS, register_deployments
from pipelines.orchestration.follow import follow
from pipelines.orchestration.prefect_api import connect_prefect, read_outcome, start_run
from pipelines.registry.slot import Slot

if TYPE_CHECKING:
    from pipelines.orchestration.run_outcome import RunOutcome

Log = Callable[[str], None]

SETTINGS = """\
# The demo's workspace. Small data and few epochs, so that five adapters train in minutes on two cores, two at a time;
# the limits are wide, because eight test speakers leave wide intervals.
servers: {workers: 2}
defaults:
  asr:
    train: {epochs: 10, min_steps: 24}
    gate: {limit: 0.6}
  asv:
    train: {epochs: 8}
    gate: {limit: 0.45}
"""

FIRST = DeliveryPlan("first", per_speaker=8)
SWAPPED = DeliveryPlan("swapped", per_speaker=4, splits=("train", "validation"), swap=True)


@dataclass(frozen=True)
class Stage:
    """One delivery to one slot."""

    site: Site
    task: str
    plan: DeliveryPlan
    usual: Seconds
    """How long it takes on two quiet cores, while the other lane runs: the estimate of the time left begins with it."""

    @property
    def slot(self) -> Slot:
        """The slot that it is delivered to."""
        return Slot(self.site.name, self.task)


LANES = (
    (Stage(SITES[0], "asr", FIRST, 85), Stage(SITES[0], "asr", SWAPPED, 110)),
    (Stage(SITES[1], "asr", FIRST, 85), Stage(SITES[0], "asv", FIRST, 60), Stage(SITES[1], "asv", FIRST, 60)),
)
"""Deliveries in sequence; the lanes run at the same time and take about equally long."""


@dataclass(frozen=True)
class Demonstration:
    """What the demo has done, and the addresses at which to look at it."""

    rows: tuple[Row, ...]
    """One for each delivery, the first deliveries before the bad one."""
    mlflow: str
    prefect: str
    workspace: str
    minutes: float


def run_demo(root: Path, log: Log, show: Callable[[float, str], None]) -> Demonstration:
    """Run what is not done yet, in the workspace `root`, and start the servers that are down.

    `show` gets the percentage that is done, and a line with the time that is left. If a step fails, the next run
    continues at that step.
    """
    started = time.monotonic()
    workspace = _workspace(root, log)
    up(workspace, register_deployments, free_ports=True, log=log)
    _remove_unfinished(workspace)
    # one delivery at a time: espeak-ng has one voice for a process
    for stage in (stage for lane in LANES for stage in lane):
        _deliver(workspace, stage, log)
    stop, left = threading.Event(), TimeLeft([[stage.usual for stage in lane] for lane in LANES])
    with ThreadPoolExecutor(len(LANES)) as pool:
        lanes = [
            pool.submit(_run_lane, workspace, lane, log, functools.partial(_show, show, left, number), stop, started)
            for number, lane in enumerate(LANES)
        ]
        try:
            rows = [row for lane in lanes for row in lane.result()]
        except KeyboardInterrupt:
            # the lanes stop at their next line: the pool would wait for their trainings
            stop.set()
            raise
    rows.sort(key=lambda row: (row.delivery, row.slot.partition("/")[2]))
    addresses = mlflow_uri(workspace), prefect_pages(workspace, prefect_api(workspace))
    return Demonstration(tuple(rows), *addresses, str(root), (time.monotonic() - started) / 60)


def _run_lane(
    workspace: Workspace,
    stages: Sequence[Stage],
    log: Log,
    show: Callable[[int, float, str], None],
    stop: threading.Event,
    started: float,
) -> list[Row]:
    path, rows = workspace.state / "demo.json", []
    for number, stage in enumerate(stages):
        said = functools.partial(_say, log, stage, stop)
        delivery = str(stage.slot), stage.plan.name
        row = next((row for row in read_rows(path) if (row.slot, row.delivery) == delivery), None)
        if row is None:
            row = _run_stage(workspace, stage, said, functools.partial(show, number))
            add_row(path, row)
            log(f"result after {duration(time.monotonic() - started)}: {row.line()}")
        else:
            said("done before")
        show(number + 1, 0.0, "")
        rows.append(row)
    return rows


def _say(log: Log, stage: Stage, stop: threading.Event, line: str) -> None:
    if stop.is_set():
        raise OpsError("stopped; run the demo again, it continues at the step it had reached")
    log(f"{stage.slot!s:11} {stage.plan.name:7} | {line}")


def _show(show: Callable[[float, str], None], left: TimeLeft, lane: int, stage: int, percent: float, text: str) -> None:
    begun = stage_share(percent, text) if text else 0.0
    show(*left.update(lane, stage, begun, text))


def _remove_unfinished(workspace: Workspace) -> None:
    """Remove the temporary folders of deliveries that a killed run was writing."""
    for stage in (stage for lane in LANES for stage in lane):
        folder = _incoming(workspace, stage)
        for unfinished in folder.parent.glob(f".{folder.name}-*"):
            shutil.rmtree(unfinished, ignore_errors=True)


def _incoming(workspace: Workspace, stage: Stage) -> Path:
    return workspace.root / "incoming" / stage.site.name / stage.plan.name


def _deliver(workspace: Workspace, stage: Stage, log: Log) -> Path:
    """Return the delivery's manifest; it is spoken if it is missing."""
    folder = _incoming(workspace, stage)
    seed = 10 * SITES.index(stage.site) + (1 if stage.plan.swap else 0)
    return write_delivery(stage.site, stage.plan, folder, seed, log)


def _workspace(root: Path, log: Log) -> Workspace:
    from pipelines.local.initialise import init_workspace

    if (root / SETTINGS_FILE).exists():
        return open_workspace(root)
    log(f"making the workspace {root}")
    root.mkdir(parents=True, exist_ok=True)
    git.git(root, "init", "--quiet", "--initial-branch=main")
    # an identity of the demo's own: a fresh machine has none, and the demo asks no questions
    git.git(root, "config", "user.name", "ELP Foundry demo")
    git.git(root, "config", "user.email", "demo@localhost")
    init_workspace(root)
    (root / SETTINGS_FILE).write_text(SETTINGS, encoding="utf-8")
    git.commit(root, [Path(SETTINGS_FILE)], "Set what the demo needs")
    return open_workspace(root)


def _run_stage(workspace: Workspace, stage: Stage, log: Log, show: Callable[[float, str], None]) -> Row:
    outcome = _retrain(workspace, stage.slot, _deliver(workspace, stage, log), log, show)
    dataset, adapter, judged = outcome.dataset, outcome.adapter, outcome.gate
    if dataset is None or adapter is None or judged is None:
        raise OpsError(f"retrain {stage.slot} reported nothing about itself; look at: elp status")
    if judged.verdict.passed:
        from pipelines.registry.client.server_api import promote_version
        from pipelines.registry.policies import policy_digest

        uri, policy = mlflow_uri(workspace), policy_digest(workspace.settings.for_slot(stage.slot).gate)
        promote_version(stage.slot, policy=policy, mlflow_uri=uri, reason="the demo promotes what passed", log=log)
    return Row(
        slot=str(stage.slot),
        delivery=stage.plan.name,
        metric=judged.verdict.metric,
        before=_untrained(workspace, stage.slot, dataset.tag),
        candidate=judged.verdict.challenger,
        champion=judged.verdict.champion,
        verdict=judged.verdict.outcome,
        minutes=round(dataset.seconds / 60, 2),
        parameters=int(adapter.metrics["trainable_parameters"]),
        bundle_bytes=int(adapter.metrics["bundle_bytes"]),
        train_seconds=adapter.metrics["train_seconds"],
        version=judged.version,
    )


def _retrain(
    workspace: Workspace, slot: Slot, source: Path, log: Log, show: Callable[[float, str], None]
) -> RunOutcome:
    """Run the retrain flow on a worker, and follow it to its end."""
    parameters = {"slot": str(slot), "source": str(source)}
    with connect_prefect(workspace) as client:
        run = start_run(client, workspace, "retrain", parameters, f"retrain {slot}", [str(slot)])
        run = follow(client, run, FLOWS["retrain"], log, show=show)
        if run.state_type != "COMPLETED":
            raise OpsError(f"retrain {slot} ended as {run.state}: {run.message}\nits page: {run.url}")
        return read_outcome(client, run.id)


def _untrained(workspace: Workspace, slot: Slot, tag: str) -> float:
    """Return the metric of an untrained adapter on the slot's golden set."""
    from elp_core.assemble import build, evaluate
    from elp_core.backbones import Backbone
    from elp_core.tasks import make_task
    from pipelines.datasets.versions import load_golden, load_split, version_at
    from pipelines.training.spoken import task_options

    cache, settings = workspace.cache, workspace.settings.for_slot(slot)
    trained_on: tuple[Split, ...] = ("train",)
    clips = load_split(str(workspace.root), tag, slot, trained_on, cache)
    task = make_task(slot.task, clips, task_options(settings, version_at(workspace, tag, slot)))
    # built with the seed of the training: this is the adapter before its first step
    model = build(
        Backbone.from_pretrained(workspace.settings.backbone_of(slot)), settings.adapter, task, settings.train.seed
    )
    return float(evaluate(model, load_golden(str(workspace.root), tag, slot, cache).clips).value)


def stop_demo(root: Path, log: Log) -> None:
    """Stop the demo's servers; its workspace stays."""
    down(open_workspace(root), log)
