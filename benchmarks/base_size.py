"""What the benchmarks share: a random backbone of WavLM's base size, and times of turns taken side by side."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

from elp_core.backbones import Backbone
from elp_core.testing import tiny_backbone
from elp_core.types import Seconds

SIZES: dict[str, Any] = {
    "hidden_size": 768,
    "num_hidden_layers": 12,
    "num_attention_heads": 12,
    "intermediate_size": 3072,
    "conv_dim": [512] * 7,
    "num_conv_pos_embeddings": 128,
    "num_conv_pos_embedding_groups": 16,
}
"""WavLM base, Chen et al. 2022 (arXiv 2110.13900), section IV."""


def base_backbone() -> Backbone:
    """94 M random weights."""
    return tiny_backbone("wavlm", **SIZES)


def take_turns(ways: Mapping[str, Callable[[], object]], turns: int, warm_up: int = 1) -> dict[str, list[Seconds]]:
    """Times of each way, one call of each in turn, so that what else the machine does falls on all of them alike."""
    times: dict[str, list[Seconds]] = {name: [] for name in ways}
    for turn in range(turns + warm_up):
        for name, run in ways.items():
            started = time.perf_counter()
            run()
            if turn >= warm_up:
                times[name].append(time.perf_counter() - started)
    return times
