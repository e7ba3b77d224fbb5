"""One method trained and measured in its own process: ``python -m pipelines.comparison.method_trial SPEC RESULT``.

A process for each trial measures its own peak memory, and no method benefits from another one's caches.
"""

from __future__ import annotations

import json
import math
import re
import resource
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from elp_core.errors import ElpError
from elp_core.files import write_whole
from elp_core.types import Clip
from pipelines.local.settings import Settings, SlotSettings
from pipelines.number_text import reported_rates
from pipelines.progress_text import Report
from pipelines.registry.slot import Slot

if TYPE_CHECKING:
    from elp_core.config import TrainConfig
    from elp_core.metrics.scores import Evaluation
    from elp_core.model import ElpModel
    from pipelines.datasets.dataset_version import GoldenSet
    from pipelines.registry.evidence_scores import Scores


SAMPLE_CLIPS = 64
"""Clips that are timed if the evaluation was divided among processes."""


class WantedTrial(NamedTuple):
    """One training of a comparison: a method, and how it differs from the slot's settings."""

    method: str
    """Name in `elp_core.methods.METHODS`, or ``slot`` for the slot's own adapter configuration."""
    share: float = 1.0
    """Share of the training clips."""
    seed: int = 0
    """Added to the seed of the slot's settings."""
    factor: float = 1.0
    """Of all learning rates."""
    head: str = ""
    """Head of the task; empty: that of the slot's settings."""

    @property
    def text(self) -> str:
        """Describe the trial."""
        parts = [f"{self.method} on {100 * self.share:g} % of the training audio"]
        parts += [f"head {self.head}"] if self.head else []
        parts += [f"seed {self.seed}"] if self.seed else []
        parts += [f"rates × {self.factor:.2g}"] if self.factor != 1.0 else []
        return ", ".join(parts)


@dataclass(frozen=True)
class TrialSpec:
    """The inputs of one trial."""

    method: str
    """Name in `elp_core.methods.METHODS`, or ``slot`` for the slot's own adapter configuration."""
    share: float
    """Share of the training clips that is used, more than 0 and up to 1."""
    slot: str
    repository: str
    tag: str
    """Dataset version; its golden set is used for evaluation."""
    cache: str
    backbone: str
    closed_set: bool
    settings: Mapping[str, Any]
    """`SlotSettings` as plain values."""
    seed: int = 0
    factor: float = 1.0
    head: str = ""
    """These three as in `WantedTrial`."""


@dataclass(frozen=True)
class MethodTrial:
    """The result of one trial."""

    method: str
    share: float
    metric: str
    value: float
    """Metric on the golden set."""
    lower: float
    upper: float | None
    """The interval of `value`, at the confidence of the slot's gate; None if one speaker gives no interval."""
    tokens: int
    """Words, characters, clips or target trials behind the metric."""
    minutes: float
    """Training audio."""
    clips: int
    parameters: int
    """Trainable parameters, including the task's head."""
    bundle_bytes: int
    backbone_bytes: int
    """The frozen backbone in float32, stored once for all adapters."""
    train_seconds: float
    steps: int
    epochs: int
    peak_bytes: int
    """Highest memory of the whole process (on a GPU: of its tensors there)."""
    real_time_factor: float
    """Seconds of computing for a second of audio: decoding, backbone, adapter and answer, in batches."""
    device: str
    threads: int
    also: Mapping[str, float] = field(default_factory=dict)
    """Error rates of transcripts that are reported and decide nothing, by name."""
    seed: int = 0
    factor: float = 1.0
    head: str = ""
    """These three as in `WantedTrial`."""
    validation: float | None = None
    """Metric on the validation split at the best epoch, by which learning rates are chosen."""


def select_share(clips: Sequence[Clip], share: float) -> list[Clip]:
    """Return the first `share` of `clips` by id."""
    # ids are hashes: this is a random choice, and a smaller share is a subset of a larger one
    ordered = sorted(clips, key=lambda clip: clip.id)
    return ordered[: max(1, round(share * len(ordered)))]


def scores_path(result: Path) -> Path:
    """Return the file with the scores of the trial whose result is in the file `result`."""
    return result.with_suffix(".scores.json")


def run_trial(spec: TrialSpec, report: Report) -> tuple[MethodTrial, Scores]:
    """Train on the share of the training split and evaluate on the golden set; `report` is called after each step."""
    import torch

    from elp_core.assemble import build, pick_device
    from elp_core.backbones import Backbone
    from elp_core.methods import METHODS
    from elp_core.tasks import decide_by, make_task
    from elp_core.training import Silent, train
    from pipelines.datasets.versions import load_golden, load_split, version_at
    from pipelines.gating.compare import compare_scores, token_count
    from pipelines.training.pass_progress import PassProgress
    from pipelines.training.spoken import task_options

    slot, cache = Slot.parse(spec.slot), Path(spec.cache)
    settings = Settings(slots={spec.slot: spec.settings}).for_slot(slot)
    training, validation = (load_split(spec.repository, spec.tag, slot, (s,), cache) for s in ("train", "validation"))
    pinned = load_golden(spec.repository, spec.tag, slot, cache)
    chosen = select_share(training, spec.share)
    backbone, config = Backbone.from_pretrained(spec.backbone), settings.train
    adapter: Any = settings.adapter
    if spec.method != "slot":
        adapter, config = METHODS[spec.method].config, METHODS[spec.method].rates(config)
    config = _changed(config, spec)
    options = task_options(settings, version_at(spec.repository, spec.tag, slot))
    options = replace(options, head=spec.head) if spec.head else options
    task = decide_by(make_task(slot.task, chosen, options), settings.gate.metric or None)
    model = build(backbone, adapter, task, config.seed)
    started = time.perf_counter()
    observer = PassProgress(report).watch(spec.slot, task.metric, config.epochs, Silent())
    trained = train(model, chosen, validation, config, observer)
    train_seconds = time.perf_counter() - started
    evaluation, bundle_bytes, real_time_factor = _evaluated(model, pinned, settings)
    interval = compare_scores(evaluation.scores, None, settings.gate, spec.closed_set).challenger
    device = pick_device(config.device)
    trial = MethodTrial(
        method=spec.method,
        share=spec.share,
        metric=evaluation.metric,
        value=evaluation.value,
        lower=max(0.0, interval.lower),
        upper=interval.upper if math.isfinite(interval.upper) else None,
        tokens=round(token_count(evaluation.scores)),
        minutes=sum(clip.duration for clip in chosen) / 60,
        clips=len(chosen),
        parameters=model.parameter_count(),
        bundle_bytes=bundle_bytes,
        backbone_bytes=sum(4 * parameter.numel() for parameter in backbone.parameters()),
        train_seconds=train_seconds,
        steps=trained.steps,
        epochs=trained.epochs,
        peak_bytes=int(torch.cuda.max_memory_allocated()) if device.type == "cuda" else _peak_bytes(),
        real_time_factor=real_time_factor,
        device=str(device),
        threads=torch.get_num_threads(),
        also=reported_rates(evaluation.extra),
        seed=spec.seed,
        factor=spec.factor,
        head=spec.head,
        validation=trained.best_value if math.isfinite(trained.best_value) else None,
    )
    return trial, evaluation.scores


def _changed(config: TrainConfig, spec: TrialSpec) -> TrainConfig:
    """Return the configuration with the seed and the rates of a trial."""
    rates = {name: spec.factor * getattr(config, name) for name in ("lr_head", "lr_layer", "lr_encoder")}
    return replace(config, seed=config.seed + spec.seed, **rates)


def _evaluated(model: ElpModel, golden: GoldenSet, settings: SlotSettings) -> tuple[Evaluation, int, float]:
    """Return a model's evaluation, the bytes of its bundle, and its real-time factor."""
    from elp_core.assemble import answer_clips
    from elp_core.bundle import write_bundle
    from pipelines.gating.divided_evaluation import EvaluatedSystem, answer_systems, judge_answers, own_processes

    train, timed = settings.train, golden.clips
    engine = own_processes(settings.compute, train.device)
    with tempfile.TemporaryDirectory() as parent:
        digest = write_bundle(folder := Path(parent) / "bundle", model, {}, {})
        bundle_bytes = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
        started = time.perf_counter()
        systems = [EvaluatedSystem("trial", digest, folder, model)]
        answers = answer_systems(systems, golden.clips, train, engine, lambda name, done: None)
        (found,) = judge_answers(systems, answers, golden.clips, golden.trials, train)
        seconds = time.perf_counter() - started
    if engine is not None:
        # the time of several processes, with their start, is no property of the method
        started, timed = time.perf_counter(), golden.clips[:SAMPLE_CLIPS]
        answer_clips(model, timed, train.batch_seconds, train.device)
        seconds = time.perf_counter() - started
    return found, bundle_bytes, seconds / sum(clip.duration for clip in timed)


def _print_progress(done: int, total: int, note: str) -> None:
    """Print the progress for the process that started this trial; without that process, this one ends."""
    print(json.dumps([done, total, note]), flush=True)


def _peak_bytes() -> int:
    """Return the highest memory of this process."""
    status = Path("/proc/self/status")
    # ru_maxrss of a child process starts at its parent's value; the kernel's own high-water mark does not
    mark = re.search(r"VmHWM:\s+(\d+) kB", status.read_text(encoding="utf-8")) if status.is_file() else None
    return 1024 * (int(mark[1]) if mark else resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)


def _main() -> None:
    """Read the specification in the first argument; write the result to the second, and the scores next to it.

    Each step is a line on stdout: the steps done, those in all, and a remark, as a JSON list.
    """
    spec, result = (Path(argument) for argument in sys.argv[1:3])
    try:
        keep_trial(spec, result, _print_progress)
    except ElpError as error:
        sys.exit(str(error))


def keep_trial(spec: Path, result: Path, report: Report) -> None:
    """Run the trial of the file `spec`; write its result to the file `result`, and its scores next to it."""
    from pipelines.registry.evidence_scores import pack_scores

    trial, scores = run_trial(TrialSpec(**json.loads(spec.read_text(encoding="utf-8"))), report)
    # the result is written last, so that its presence shows that both files are complete
    write_whole(scores_path(result), json.dumps(pack_scores(scores), indent=1))
    write_whole(result, json.dumps(asdict(trial), indent=1))


if __name__ == "__main__":
    _main()
