"""How much GPU memory a slot's training needs, and the work queue that it waits in.

The training pool has a few queues of fixed sizes. A worker with a GPU takes runs from those that its GPU, or its share
of one, can carry; a worker on the CPU takes from all.
"""

from __future__ import annotations

import functools
import json
import os
import urllib.error
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from elp_core.checkpoint_folders import local_folder
from pipelines.errors import UsageError
from pipelines.local import http_client as web
from pipelines.local.prefect_request import prefect_request
from pipelines.local.settings import Settings, SlotSettings
from pipelines.registry.slot import Slot

SMALLEST = "default"
QUEUES: dict[str, float] = {
    SMALLEST: 7.5, "gpu-16": 14.5, "gpu-24": 22.0, "gpu-48": 44.0, "gpu-80": 75.0, "gpu-141": 135.0,
}  # fmt: skip
"""Queue -> the largest need in GiB that waits in it: what a GPU of this nominal size really offers."""

_GIB = 2**30
_FLOAT = 4
_FIXED_GIB = 1.5
"""CUDA's context, cuDNN's workspace, and what the allocator keeps."""
_FRAMES = 50
"""Frames in a second of audio, in the usual backbones."""
_OVERHEAD = 1.3
_PACKAGED = Path(__file__).resolve().parents[2] / "elp_core" / "backbones" / "tiny"


@dataclass(frozen=True)
class Architecture:
    """The sizes of a backbone that decide its memory."""

    layers: int
    width: int
    inner: int
    """Width of the feed-forward blocks."""
    heads: int

    @property
    def parameters(self) -> int:
        """Return about how many parameters the encoder has; the convolutions before it have 10 M more at most."""
        return self.layers * (4 * self.width**2 + 2 * self.width * self.inner) + 10_000_000


def training_need(settings: Settings, slot: Slot, together: int = 1) -> float:
    """Return the GPU memory in GiB that a training of a slot needs; 0 if it is not known.

    It is `compute.gpu_memory` of the slot if that is set, else an estimate: the frozen weights, and the activations of
    the largest batch, in which one utterance is as long as the batch or as the data allow. An estimate is at most the
    largest queue: it must not refuse a training. `together` slots are trained in one pass.
    """
    return _need_of(settings.for_slot(slot), lambda: read_architecture(settings.backbone_of(slot)), together)


def _need_of(chosen: SlotSettings, architecture: Callable[[], Architecture | None], together: int) -> float:
    if chosen.compute.gpu_memory:
        return chosen.compute.gpu_memory * together
    found = architecture()
    if found is None:
        return 0.0
    frames = _FRAMES * chosen.train.batch_seconds
    floats = frames * found.layers * (10 * found.width + 2 * found.inner)
    # of each utterance alone
    longest = min(frames, _FRAMES * chosen.data.max_seconds)
    attention = 2 * found.layers * found.heads * frames * longest
    size = _FLOAT if chosen.train.precision == "no" else _FLOAT / 2
    activations = _OVERHEAD * size * (floats + attention) * together
    return min(_FIXED_GIB + (_FLOAT * found.parameters + activations) / _GIB, max(QUEUES.values()))


def queue_for_need(need: float) -> str:
    """Return the smallest queue for a need in GiB. Raises UsageError if no queue is large enough."""
    for name, bound in QUEUES.items():
        if need <= bound:
            return name
    raise UsageError(
        f"a training that needs {need:.0f} GiB of GPU memory fits no queue ({max(QUEUES.values()):.0f} GiB at most); "
        "set compute.gpu_memory of the slot to what it needs, or to 0 for the estimate"
    )


def slot_queue(settings: Settings, slots: Sequence[Slot]) -> str:
    """Return the queue of a run that trains some slots in one pass. Raises UsageError if no queue is large enough."""
    try:
        return queue_for_need(_need_together(settings, slots))
    except UsageError as error:
        raise UsageError(f"{', '.join(map(str, slots))}: {error}") from error


def fits_a_queue(settings: Settings, slots: Sequence[Slot]) -> bool:
    """Return whether a queue is large enough for a run that trains some slots in one pass."""
    return _need_together(settings, slots) <= max(QUEUES.values())


def _need_together(settings: Settings, slots: Sequence[Slot]) -> float:
    # a group of slots grows one by one, and each time all of it is asked for
    architecture = functools.cache(read_architecture)
    needs = (
        _need_of(settings.for_slot(slot), functools.partial(architecture, settings.backbone_of(slot)), len(slots))
        for slot in slots
    )
    return max(needs, default=0.0)


def queues_for(gib: float) -> tuple[str, ...]:
    """Return the queues from which a worker with so much GPU memory takes runs; always the smallest one."""
    return tuple(name for name, bound in QUEUES.items() if name == SMALLEST or bound <= gib)


def ensure_queues(api: str, pool: str, names: Collection[str] = tuple(QUEUES)) -> None:
    """Make the work queues that are missing: a worker that asks for one that does not exist gets nothing.

    No answer raises OSError.
    """
    present = {queue["name"] for queue in prefect_request(f"{api}/work_pools/{pool}/queues/filter", {})}
    for name in names:
        if name not in present:
            try:
                prefect_request(f"{api}/work_pools/{pool}/queues", {"name": name, "description": _about(name)})
            except urllib.error.HTTPError as error:
                # another worker has made it at the same moment
                if error.code != 409:
                    raise


def unserved_runs(api: str, pool: str) -> dict[str, int]:
    """Return how many runs wait in each queue that no worker has asked for in the last minute.

    No answer raises OSError.
    """
    queues = prefect_request(f"{api}/work_pools/{pool}/queues/filter", {})
    silent = {queue["name"] for queue in queues if queue["status"] == "NOT_READY"}
    if not silent:
        return {}
    wanted: dict[str, Any] = {
        "flow_runs": {
            "state": {"name": {"any_": ["Late", "Scheduled", "AwaitingRetry"]}},
            "expected_start_time": {"before_": web.date_of(f"{api}/health").isoformat()},
        },
        "work_pools": {"name": {"any_": [pool]}},
    }
    found = {}
    for name in sorted(silent):
        wanted["work_pool_queues"] = {"name": {"any_": [name]}}
        if runs := int(prefect_request(f"{api}/flow_runs/count", wanted)):
            found[name] = runs
    return found


def read_architecture(backbone: str) -> Architecture | None:
    """Return the sizes of a backbone from its configuration on this machine; None if it is not here."""
    for folder in _folders(backbone):
        try:
            values = json.loads((folder / "config.json").read_text(encoding="utf-8"))
            width = int(values["hidden_size"])
            return Architecture(
                int(values["num_hidden_layers"]),
                width,
                int(values.get("intermediate_size", 4 * width)),
                int(values["num_attention_heads"]),
            )
        except (OSError, ValueError, KeyError, TypeError):
            # the training names what is wrong with it
            continue
    return None


def _folders(backbone: str) -> list[Path]:
    if backbone == "elp:tiny":
        return [_PACKAGED]
    home = os.environ.get("HF_HOME") or str(Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache") / "huggingface")
    hub = Path(os.environ.get("HF_HUB_CACHE") or Path(home) / "hub").expanduser()
    cached = hub / f"models--{backbone.replace('/', '--')}" / "snapshots"
    here = local_folder(backbone)
    return [*([here] if here else []), *(sorted(cached.iterdir()) if cached.is_dir() else [])]


def _about(name: str) -> str:
    if name not in QUEUES:
        return "Runs that need the folder of a workspace."
    return f"Trainings that need at most {QUEUES[name]:g} GiB of GPU memory."
