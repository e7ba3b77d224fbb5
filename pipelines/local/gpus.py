"""The NVIDIA GPUs of this machine by their UUIDs; a MIG device is a GPU with a UUID of its own."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipelines.errors import ServiceError, UsageError

PRETENDED = "ELP_TEST_GPUS"
"""Environment variable, for tests only: pretended GPUs such as ``GPU-a:24,GPU-b:8`` (UUID and GiB) in place of the
machine's own. Trainings on a pretended GPU run on the CPU, under the same locks."""

_DRIVER = Path("/proc/driver/nvidia/version")
_UUID = re.compile(r"(GPU|MIG)-[A-Za-z0-9/-]+")
_GIB = 2**30


@dataclass(frozen=True)
class Gpu:
    """A GPU, or a MIG device of one."""

    uuid: str
    gib: float
    """Its whole memory in GiB."""
    name: str = ""


def find_gpus() -> tuple[Gpu, ...]:
    """Return the GPUs of this machine in the order of the driver; empty without an NVIDIA driver.

    Raises ServiceError if there is a driver, and the package that reads it is not installed or cannot read it;
    UsageError for pretended GPUs that cannot be read.
    """
    if PRETENDED in os.environ:
        return tuple(_pretended(os.environ[PRETENDED]))
    try:
        import pynvml
    except ModuleNotFoundError as error:
        if not _DRIVER.exists():
            return ()
        raise ServiceError(
            "this machine has an NVIDIA driver, and the package nvidia-ml-py that reads it is missing; install it "
            "with: pip install 'elp-foundry[gpu]'"
        ) from error
    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError as error:
        if not _DRIVER.exists():
            return ()
        raise ServiceError(
            f"the NVIDIA driver of this machine does not answer ({error}); look at: nvidia-smi"
        ) from error
    try:
        return tuple(_devices(pynvml))
    finally:
        pynvml.nvmlShutdown()


def visible_gpus() -> list[str]:
    """Return the names by which a child of this process can be given one of the GPUs that PyTorch sees here."""
    import torch

    chosen = os.environ.get("CUDA_VISIBLE_DEVICES")
    named = chosen.split(",") if chosen is not None else [str(n) for n in range(torch.cuda.device_count())]
    # CUDA ignores what comes after a device that it does not know
    return [name.strip() for name in named][: torch.cuda.device_count()]


def _devices(nvml: Any) -> Iterator[Gpu]:
    for index in range(nvml.nvmlDeviceGetCount()):
        whole = nvml.nvmlDeviceGetHandleByIndex(index)
        parts = list(_parts(nvml, whole))
        # a GPU in MIG mode runs nothing itself
        for handle in parts or ([] if _divided(nvml, whole) else [whole]):
            memory = nvml.nvmlDeviceGetMemoryInfo(handle).total / _GIB
            yield Gpu(_text(nvml.nvmlDeviceGetUUID(handle)), memory, _text(nvml.nvmlDeviceGetName(whole)))


def _divided(nvml: Any, handle: Any) -> bool:
    try:
        return bool(nvml.nvmlDeviceGetMigMode(handle)[0] == nvml.NVML_DEVICE_MIG_ENABLE)
    except nvml.NVMLError:
        # a GPU that knows no MIG
        return False


def _parts(nvml: Any, handle: Any) -> Iterator[Any]:
    """Yield the MIG devices of a GPU."""
    if not _divided(nvml, handle):
        return
    for index in range(nvml.nvmlDeviceGetMaxMigDeviceCount(handle)):
        try:
            yield nvml.nvmlDeviceGetMigDeviceHandleByIndex(handle, index)
        except nvml.NVMLError:
            # the numbers of the devices have gaps
            continue


def _text(value: str | bytes) -> str:
    # older versions of the package answer with bytes
    return value.decode() if isinstance(value, bytes) else value


def _pretended(text: str) -> Iterator[Gpu]:
    for part in filter(None, (part.strip() for part in text.split(","))):
        uuid, _, gib = part.partition(":")
        if not _UUID.fullmatch(uuid):
            raise UsageError(f"{PRETENDED}: {uuid!r} is no UUID of a GPU; expected such as GPU-a:24")
        try:
            yield Gpu(uuid, float(gib or 8), "pretended GPU")
        except ValueError as error:
            raise UsageError(f"{PRETENDED}: {gib!r} is no memory in GiB; expected such as GPU-a:24") from error
