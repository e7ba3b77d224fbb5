"""One training of `elp tune` in its own process: ``python -m pipelines.tuning.tune_trial SPEC RESULT``.

It trains on the training split, stops on one half of the validation split and is scored on the other half.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from elp_core.errors import ElpError
from elp_core.files import write_whole
from pipelines.local.settings import Settings, SlotSettings
from pipelines.progress_text import Report
from pipelines.registry.evidence_scores import Scores, pack_scores
from pipelines.registry.slot import Slot
from pipelines.tuning.clip_errors import block_errors, errors_by_clip
from pipelines.tuning.validation_halves import divide_validation

if TYPE_CHECKING:
    from elp_core.metrics.scores import Evaluation
    from elp_core.model import ElpModel

ROUNDS = 5
"""Rounds in which the speed is measured."""


@dataclass(frozen=True)
class TuneSpec:
    """The inputs of one training."""

    slot: str
    repository: str
    tag: str
    """Dataset version."""
    cache: str
    backbone: str
    closed_set: bool
    settings: Mapping[str, Any]
    """`SlotSettings` as plain values, those of the candidate, with its epochs and its seed."""
    adapter: Mapping[str, Any] = field(default_factory=dict)
    """A method instead of the settings' adapter, as `elp_core.methods.method_to_dict` gives it; empty for none."""
    rung: int = 0
    """Epoch after which the training reports its errors by group of clips; 0 for none."""
    layers_only: bool = False
    """Train on unchanged clips, so that the whole backbone runs once for each of them, and do not measure the speed."""


@dataclass(frozen=True)
class TuneResult:
    """What one training reached."""

    metric: str
    value: float
    """Metric on the half of the validation clips that scores."""
    blocks: Mapping[str, float]
    """Mean error by number of the group of clips."""
    parameters: int
    """Trainable parameters, including the task's head."""
    head_parameters: int
    slowdown: float
    """Time for some clips, divided by that of the backbone alone; 0 if it was not measured."""
    real_time_factor: float
    """Seconds of computing for a second of audio; 0 if it was not measured."""
    seconds: float
    """Seconds of training."""
    epochs: int
    best_epoch: int
    clips: int
    """Clips that scored."""
    note: str
    """How the validation split was divided."""
    shares: tuple[float, ...] = ()
    """Learned share of each layer of an L-adapter, after the softmax; empty without one."""


def scores_file(result: Path) -> Path:
    """Return the file with the scores of the training whose result is in the file `result`."""
    return result.with_suffix(".scores.json")


def rung_file(result: Path) -> Path:
    """Return the file with the errors that a training reported before its end."""
    return result.with_suffix(".rung.json")


def run_tune_trial(spec: TuneSpec, rung: Path, report: Report) -> tuple[TuneResult, Scores]:
    """Train and score; `report` is called after each step, and the file `rung` is written at the epoch of the rung."""
    from elp_core.assemble import build
    from elp_core.backbones import Backbone
    from elp_core.methods.config import method_from_dict
    from elp_core.tasks import decide_by, make_task
    from elp_core.training import train
    from pipelines.datasets.versions import load_training_data
    from pipelines.training.pass_progress import PassProgress
    from pipelines.training.spoken import task_options

    slot, cache = Slot.parse(spec.slot), Path(spec.cache)
    settings = Settings(slots={spec.slot: spec.settings}).for_slot(slot)
    data = load_training_data(spec.repository, spec.tag, slot, cache)
    voices = "speaker" in slot.task_spec.needs
    halves = divide_validation(data.validation, closed_set=spec.closed_set, voices=voices)
    config = settings.train
    if spec.layers_only:
        # masks and joints would leave only the CNN's values to be kept; copies would each run through the backbone
        still: dict[str, Any] = {
            "time_mask": 0.0,
            "feature_mask": 0.0,
            "join": 0.0,
            "margin": 0.0,
            "conditions": 0.0,
            "variants": 1,
        }
        config = replace(config, augment=replace(config.augment, **still))
    backbone = Backbone.from_pretrained(spec.backbone)
    adapter = method_from_dict(spec.adapter) if spec.adapter else settings.adapter
    options = task_options(settings, data.dataset)
    task = decide_by(make_task(slot.task, data.train, options), settings.gate.metric or None)
    model = build(backbone, adapter, task, config.seed)

    def measured() -> Evaluation:
        from elp_core.assemble import evaluate

        return evaluate(model, halves.score, config.batch_seconds, config.device)

    def at_rung(epoch: int) -> None:
        if epoch == spec.rung:
            found = measured()
            values = {"value": found.value, "blocks": _blocks(found.scores)}
            write_whole(rung, json.dumps(values))

    observer = _AtEpoch(at_rung)
    watched = PassProgress(report).watch(spec.slot, task.metric, config.epochs, observer)
    trained = train(model, data.train, halves.stop, config, watched, cache=cache / "features")
    found = measured()
    slowdown, factor = (0.0, 0.0) if spec.layers_only else _speed(model, halves.score)
    result = TuneResult(
        metric=found.metric,
        value=found.value,
        blocks=_blocks(found.scores),
        parameters=model.parameter_count(),
        head_parameters=sum(parameter.numel() for parameter in model.head.parameters()),
        slowdown=slowdown,
        real_time_factor=factor,
        seconds=trained.seconds,
        epochs=trained.epochs,
        best_epoch=trained.best_epoch,
        clips=len(halves.score),
        note=halves.note,
        shares=_layer_shares(model),
    )
    return result, found.scores


@dataclass(frozen=True)
class _AtEpoch:
    """An observer that calls a function after each epoch."""

    call: Callable[[int], None]

    def on_step(self, step: int, total: int, loss: float, rates: Mapping[str, float]) -> None:
        """Do nothing."""

    def on_epoch(self, epoch: int, loss: float, value: float) -> None:
        """Call the function with the epoch."""
        self.call(epoch)


def _blocks(scores: Scores) -> dict[str, float]:
    found = block_errors(scores.ids, errors_by_clip(scores))
    return {str(number): round(error, 6) for number, error in found.items()}


def _speed(model: ElpModel, clips: Any) -> tuple[float, float]:
    from pipelines.gating.measure import measure_speed

    model.eval()
    speed = measure_speed(model, clips, ROUNDS)
    return speed.slowdown, speed.real_time_factor


def _layer_shares(model: ElpModel) -> tuple[float, ...]:
    """Return the shares of the layers in the sum of an L-adapter over all of them, or nothing."""
    from elp_core.adapters import ElpAdapters

    if not isinstance(model.adapters, ElpAdapters) or model.adapters.l is None or model.adapters.apart:
        return ()
    return tuple(float(share) for share in model.adapters.l.weights.detach().softmax(0).cpu())


def settings_of(spec: TuneSpec) -> SlotSettings:
    """Return the settings of a training as they are read in its process; raise ConfigError if they are refused."""
    return Settings(slots={spec.slot: spec.settings}).for_slot(Slot.parse(spec.slot))


def _print_step(done: int, total: int, note: str) -> None:
    """Print the progress for the process that started this training; without that process, this one ends."""
    print(json.dumps([done, total, note]), flush=True)


def keep_tune_trial(spec: Path, result: Path, report: Report) -> None:
    """Run the training of a specification's file; write its result, and the scores next to it."""
    given = TuneSpec(**json.loads(spec.read_text(encoding="utf-8")))
    found, scores = run_tune_trial(given, rung_file(result), report)
    # the result is written last, so that its presence shows that both files are complete
    write_whole(scores_file(result), json.dumps(pack_scores(scores)))
    write_whole(result, json.dumps(asdict(found), indent=1))


def _main() -> None:
    """Run the specification in the first argument; its result goes to the second."""
    try:
        keep_tune_trial(Path(sys.argv[1]), Path(sys.argv[2]), _print_step)
    except ElpError as error:
        sys.exit(str(error))


if __name__ == "__main__":
    _main()
