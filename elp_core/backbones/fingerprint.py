"""Fingerprint of a backbone: one hash for its weights and architecture, one digest for each tensor.

Canonical form: tensors sorted by name, each as a line ``name dtype shape sha256`` with the SHA-256 of its
little-endian bytes as stored (a float16 checkpoint keeps its fingerprint although it runs in float32), then the
architecture as JSON with sorted keys. Names are those of the bare model: without the prefix of a checkpoint with a task
head, and with one spelling for weight normalisation. So the same weights have the same fingerprint as one safetensors
file, as shards and as a PyTorch ``.bin``.
"""

import hashlib
import json
import sys
from collections.abc import Mapping
from typing import Any

import torch


def fingerprint_of(digests: Mapping[str, str], architecture: Mapping[str, Any]) -> str:
    """Return ``sha256:<hex>`` of the result of `tensor_digests` and the architecture, in any order of the mappings."""
    form = "".join(f"{name} {line}\n" for name, line in sorted(digests.items()))
    form += json.dumps(architecture, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return f"sha256:{hashlib.sha256(form.encode()).hexdigest()}"


def tensor_digests(tensors: Mapping[str, torch.Tensor]) -> dict[str, str]:
    """Return ``dtype shape sha256`` by tensor name; they show in which tensors two backbones differ."""
    return {name: _digest(tensor) for name, tensor in sorted(tensors.items())}


def _digest(tensor: torch.Tensor) -> str:
    values = tensor.detach().to("cpu").contiguous()
    # as bytes, because NumPy has no bfloat16; flat, because a scalar cannot be viewed as bytes
    raw = values.reshape(-1).view(torch.uint8).numpy()
    if sys.byteorder == "big":
        raw = raw.reshape(-1, values.element_size())[:, ::-1]
    shape = "x".join(map(str, values.shape)) or "scalar"
    return f"{str(values.dtype).removeprefix('torch.')} {shape} {hashlib.sha256(raw.tobytes()).hexdigest()}"
