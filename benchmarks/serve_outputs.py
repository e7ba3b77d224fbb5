"""What the compared servers share: the outputs of one `AdapterHost`, and the body of an answer."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from serve_plant import ServedPlant

MOST = 16
"""Requests in a batch of a server that gathers them by number."""
WAIT = 0.002
"""Seconds that the first request of a batch waits for others."""


def open_outputs(plant: ServedPlant, threads: int) -> Callable[[list[tuple[str, Any]]], list[Any]]:
    """Return a function that computes what the answers to pairs of a slot and a waveform are made of."""
    import torch

    from elp_core.backbones import Backbone
    from elp_core.inference import AdapterHost, Request

    torch.set_num_threads(threads)
    host = AdapterHost(Backbone.from_pretrained(plant.backbone))
    for slot in plant.slots:
        host.load(slot, plant.bundle(slot, 1))
    return lambda pairs: host.outputs([Request(*pair) for pair in pairs])


def answer_body(probabilities: Any) -> dict[str, Any]:
    """Return the body of an answer."""
    values = [float(value) for value in probabilities]
    return {"label": values.index(max(values)), "probability": max(values), "probabilities": values}
