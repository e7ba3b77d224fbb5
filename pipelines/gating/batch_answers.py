"""Answer batches of clips in another process or on another machine, which reads no file of the run's machine.

It gets the sound of the clips, the files of the bundles and the name of the backbone. It loads the weights once, and
refuses to answer on another kind of processor than the run's.
"""

from __future__ import annotations

import os
import platform
import re
import socket
import tempfile
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipelines.errors import UsageError

if TYPE_CHECKING:
    from elp_core.backbones import Backbone
    from elp_core.model import ElpModel


@dataclass(frozen=True)
class SentSystem:
    """A system in the form in which it is sent to another process."""

    backbone: str
    """Id, by which the worker loads it."""
    fingerprint: str
    digest: str
    files: Mapping[str, bytes]
    """Of the bundle, by name."""


@dataclass(frozen=True)
class SentBatch:
    """One batch of one system."""

    system: int
    """Place among the systems."""
    audio: tuple[bytes, ...]


@dataclass(frozen=True)
class Arithmetic:
    """What decides the last bits of a result, in addition to the packages."""

    device: str
    """``cpu`` or ``cuda``."""
    processor: str
    """Maker and instructions of the CPU, or the name of the GPU."""
    threads: int


def this_arithmetic(device: str) -> Arithmetic:
    """Return the arithmetic of this process on a device."""
    import torch

    if device == "cuda":
        return Arithmetic(device, torch.cuda.get_device_name(), torch.get_num_threads())
    return Arithmetic(device, f"{_maker()} {torch.backends.cpu.get_cpu_capability()}", torch.get_num_threads())


def _maker() -> str:
    """Return the maker of this machine's CPU; PyTorch's libraries choose their code by it."""
    try:
        found = re.search(r"^vendor_id\s*:\s*(\S+)", Path("/proc/cpuinfo").read_text(encoding="utf-8"), re.MULTILINE)
    except OSError:
        found = None
    return f"{platform.machine()} {found[1]}" if found else platform.machine()


_loaded: dict[tuple[str, str, str], ElpModel] = {}
"""Models of this process, by the bundle's digest, the backbone's fingerprint and the device."""
_backbones: dict[str, Backbone] = {}
_MOST_MODELS, _MOST_BACKBONES = 4, 2
_one_at_a_time = threading.Lock()
"""Workers of a cluster may have several threads, and models on one backbone are not used by two of them at once."""


def answer_batches(
    systems: Sequence[SentSystem], arithmetic: Arithmetic, batches: Sequence[SentBatch]
) -> list[list[Any]]:
    """Return the answers of each batch's clips; it runs in a worker, which keeps the weights for its next call.

    Raises UsageError if the worker has another processor, or another backbone under the same name.
    """
    import torch

    from elp_core.assemble import answer_batch

    with _one_at_a_time:
        mine = this_arithmetic(arithmetic.device if torch.cuda.is_available() else "cpu")
        if (mine.device, mine.processor) != (arithmetic.device, arithmetic.processor):
            raise UsageError(
                f"worker {socket.gethostname()} of the engine computes on {mine.processor}, and the run on "
                f"{arithmetic.processor}: its results may have other last bits; give the engine workers of one kind"
            )
        before = torch.get_num_threads()
        torch.set_num_threads(arithmetic.threads)
        try:
            return [answer_batch(_model(systems[batch.system], arithmetic.device), batch.audio) for batch in batches]
        finally:
            torch.set_num_threads(before)


def _model(system: SentSystem, device: str) -> ElpModel:
    from elp_core.bundle import bundle_digest, load_bundle

    key = (system.digest, system.fingerprint, device)
    if key not in _loaded:
        backbone = _backbone(system, device)
        with tempfile.TemporaryDirectory(prefix="elp-bundle-") as folder:
            for name, content in system.files.items():
                (Path(folder) / os.path.basename(name)).write_bytes(content)
            got = bundle_digest(Path(folder))
            if got != system.digest:
                raise UsageError(f"a bundle arrived as {got}, and {system.digest} was sent; start the run again")
            model = load_bundle(Path(folder), backbone)
        while len(_loaded) >= _MOST_MODELS:
            del _loaded[next(iter(_loaded))]
        _loaded[key] = model
    return _loaded[key]


def _backbone(system: SentSystem, device: str) -> Backbone:
    """Return the backbone of a system, read once; a process keeps the last two: a migration compares across two."""
    from elp_core.backbones import Backbone
    from elp_core.errors import BackboneError

    kept = _backbones.get(system.fingerprint)
    if kept is None:
        try:
            kept = Backbone.from_pretrained(system.backbone)
        except BackboneError as error:
            raise UsageError(
                f"worker {socket.gethostname()} of the engine cannot load the backbone {system.backbone} ({error}); "
                "each worker needs it under the same name"
            ) from error
        if kept.fingerprint != system.fingerprint:
            raise UsageError(
                f"the backbone {system.backbone} of worker {socket.gethostname()} has the fingerprint "
                f"{kept.fingerprint}, and that of the run {system.fingerprint}; install the same weights on both"
            )
        if len(_backbones) >= _MOST_BACKBONES:
            oldest = next(iter(_backbones))
            del _backbones[oldest]
            for key in [key for key in _loaded if key[1] == oldest]:
                del _loaded[key]
        _backbones[system.fingerprint] = kept
    kept.to(device)
    return kept
