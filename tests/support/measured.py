"""Measurements for tests of the gate's safety checks: an adapter without any fault."""

from __future__ import annotations

from pipelines.registry.verdict import Interference, Measured, SlotOutputs, Speed


def slot_outputs(slot: str = "plant-b/asr", **changed: str) -> SlotOutputs:
    """Return a champion whose answers do not change, except for the given digests."""
    digests = {"before": "a", "after": "a", "with_stand_in": "b", "with_challenger": "b", **changed}
    return SlotOutputs(slot, 3, "sha256:n", 2, **digests)


def interference(*compared: SlotOutputs, slots: int = 5, repeatable: bool = True) -> Interference:
    """Return the result of comparing these champions of `slots` other slots."""
    return Interference(compared, slots, (), repeatable)


MEASURED = Measured(
    subject="plant-a/asr 2",
    bundle_bytes=4_200_000,
    parameters=1_050_000,
    speed=Speed(10.0, 0.5, 0.75, "cpu"),
    backbone_before="sha256:b",
    backbone_after="sha256:b",
    interference=interference(slot_outputs()),
    challenger_threshold=0.4,
    champion_threshold=0.4,
)
