"""One method trained and measured in a process of its own: ``python -m pipelines.comparison.trial SPEC RESULT``.

A process for each, so that its peak memory is its own and no method warms another's caches.
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
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from elp_core.errors import ElpError
from elp_core.types import Clip
from pipelines.local.settings import Settings, SlotSettings
from pipelines.registry.slot import Slot

if TYPE_CHECKING:
    from elp_core.metrics.scores import Evaluation
    from elp_core.model import ElpModel
    from pipelines.gating.compare import Scores


@dataclass(frozen=True)
class TrialSpec:
    """What one trial is made from."""

    method: str
    """Name in `elp_core.methods.METHODS`, or ``slot`` for the slot's own adapter configuration."""
    share: float
    """Share of the training clips that is used, more than 0 and up to 1."""
    slot: str
    repository: str
    tag: str
    """Dataset version; the golden set in force there judges."""
    cache: str
    backbone: str
    closed_set: bool
    settings: Mapping[str, Any]
    """`SlotSettings` as plain values."""


@dataclass(frozen=True)
class Trial:
    """What one trial came to."""

    method: str
    share: float
    metric: str
    value: float
    """On the golden set."""
    lower: float
    upper: float | None
    """The interval of `value`, at the confidence of the slot's gate; None where one speaker says nothing of it."""
    tokens: int
    """Words, clips or target trials behind the metric."""
    minutes: float
    """Audio trained on."""
    clips: int
    parameters: int
    """Trainable, the task's head included."""
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


def share_of(clips: Sequence[Clip], share: float) -> list[Clip]:
    """The first `share` of `clips` by id. Ids are hashes, so this is a random choice; a smaller one lies inside it."""
    ordered = sorted(clips, key=lambda clip: clip.id)
    return ordered[: max(1, round(share * len(ordered)))]


def scores_beside(result: Path) -> Path:
    """Where the scores lie of the trial whose result is kept at `result`."""
    return result.with_suffix(".scores.json")


def run_trial(spec: TrialSpec) -> tuple[Trial, Scores]:
    """Train on the share of the training split, judge on the golden set: what came of it, and the scores by clip."""
    from elp_core.assemble import build, evaluate, pick_device
    from elp_core.backbones import Backbone
    from elp_core.methods import METHODS
    from elp_core.tasks import make_task
    from elp_core.training import train
    from pipelines.datasets.versions import load_golden, load_split

    slot, cache = Slot.parse(spec.slot), Path(spec.cache)
    settings = Settings(slots={spec.slot: spec.settings}).for_slot(slot)
    heard, validation = (load_split(spec.repository, spec.tag, slot, (s,), cache) for s in ("train", "validation"))
    golden = load_golden(spec.repository, spec.tag, slot, cache).clips
    chosen = share_of(heard, spec.share)
    backbone, config = Backbone.from_pretrained(spec.backbone), settings.train
    if spec.method == "slot":
        adapter: Any = settings.adapter
    else:
        adapter, config = METHODS[spec.method].config, METHODS[spec.method].rates(config)
    model = build(backbone, adapter, make_task(slot.task, chosen, settings.task), config.seed)
    started = time.perf_counter()
    result = train(model, chosen, validation, config)
    seconds = time.perf_counter() - started
    started = time.perf_counter()
    score = evaluate(model, golden, config.batch_seconds, config.device)
    factor = (time.perf_counter() - started) / sum(clip.duration for clip in golden)
    lower, upper, tokens = _interval(score, settings, spec.closed_set)
    trial = Trial(
        method=spec.method,
        share=spec.share,
        metric=score.metric,
        value=score.value,
        lower=lower,
        upper=upper,
        tokens=tokens,
        minutes=sum(clip.duration for clip in chosen) / 60,
        clips=len(chosen),
        parameters=model.parameter_count(),
        bundle_bytes=_stored(model),
        backbone_bytes=sum(4 * parameter.numel() for parameter in backbone.parameters()),
        train_seconds=seconds,
        steps=result.steps,
        epochs=result.epochs,
        peak_bytes=_peak_bytes(config.device),
        real_time_factor=factor,
        device=str(pick_device(config.device)),
        threads=_threads(),
    )
    return trial, score.scores


def _interval(score: Evaluation, settings: SlotSettings, closed_set: bool) -> tuple[float, float | None, int]:
    from pipelines.gating.compare import compare, tokens

    found = compare(score.scores, None, settings.gate, closed_set).challenger
    upper = found.upper if math.isfinite(found.upper) else None
    return max(0.0, found.lower), upper, round(tokens(score.scores))


def _stored(model: ElpModel) -> int:
    """Bytes of the bundle's folder."""
    from elp_core.bundle import write_bundle

    with tempfile.TemporaryDirectory() as parent:
        folder = Path(parent) / "bundle"
        write_bundle(folder, model, {}, {})
        return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def _peak_bytes(device: str) -> int:
    import torch

    from elp_core.assemble import pick_device

    if pick_device(device).type == "cuda":
        return int(torch.cuda.max_memory_allocated())
    status = Path("/proc/self/status")
    # the kernel's own mark of this process; a child's ru_maxrss begins with its parent's
    mark = re.search(r"VmHWM:\s+(\d+) kB", status.read_text(encoding="utf-8")) if status.is_file() else None
    return 1024 * (int(mark[1]) if mark else resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)


def _threads() -> int:
    import torch

    return int(torch.get_num_threads())


def main() -> None:
    """Read the specification named first, write the result to the place named second and the scores beside it."""
    from pipelines.gating.pack import pack

    spec, result = (Path(argument) for argument in sys.argv[1:3])
    try:
        trial, scores = run_trial(TrialSpec(**json.loads(spec.read_text(encoding="utf-8"))))
    except ElpError as error:
        sys.exit(str(error))
    # the result comes last: where it is, both are
    for path, values in ((scores_beside(result), pack(scores)), (result, asdict(trial))):
        partial = path.with_suffix(".partial")
        partial.write_text(json.dumps(values, indent=1), encoding="utf-8")
        partial.replace(path)


if __name__ == "__main__":
    main()
