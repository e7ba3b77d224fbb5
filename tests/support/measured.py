"""Measurements for tests of the gate's safety checks: an adapter that nobody could object to."""

from __future__ import annotations

from pipelines.registry.verdict import Measured, Neighbour, Neighbourhood, Speed


def neighbour(slot: str = "plant-b/asr", **over: str) -> Neighbour:
    """A champion whose answers do not change, but for what is given."""
    digests = {"before": "a", "after": "a", "beside_stand_in": "b", "beside_challenger": "b", **over}
    return Neighbour(slot, 3, "sha256:n", 2, **digests)


def neighbourhood(*compared: Neighbour, slots: int = 5, repeatable: bool = True) -> Neighbourhood:
    """These neighbours of `slots` in all."""
    return Neighbourhood(compared, slots, (), repeatable)


MEASURED = Measured(
    subject="plant-a/asr 2",
    bundle_bytes=4_200_000,
    parameters=1_050_000,
    speed=Speed(10.0, 0.5, 0.75, "cpu"),
    backbone_before="sha256:b",
    backbone_after="sha256:b",
    neighbourhood=neighbourhood(neighbour()),
    challenger_threshold=0.4,
    champion_threshold=0.4,
)
