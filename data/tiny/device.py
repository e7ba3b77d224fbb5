"""Choose the device and the precision of the recipe."""

from __future__ import annotations

from pathlib import Path

import torch


def pick_device() -> torch.device:
    """Return a GPU if there is one."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def pick_precision(name: str, device: torch.device) -> torch.dtype:
    """Turn the recipe's `precision` into a type.

    `auto` is bfloat16 on a GPU and on a CPU with AMX (2 times as fast), else float32: without AMX, bfloat16 matrix
    products are slower.
    """
    if name != "auto":
        return {"float32": torch.float32, "bfloat16": torch.bfloat16}[name]
    information = Path("/proc/cpuinfo")
    native = device.type == "cuda" or (information.exists() and " amx_bf16" in information.read_text(encoding="utf-8"))
    return torch.bfloat16 if native else torch.float32


def describe(device: torch.device) -> str:
    """Name the hardware for the record."""
    if device.type == "cuda":
        return str(torch.cuda.get_device_name(device))
    information = Path("/proc/cpuinfo")
    lines = information.read_text(encoding="utf-8").splitlines() if information.exists() else []
    model = next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), "CPU")
    return f"{torch.get_num_threads()} threads of {model}"
