"""What the gate measures beside the scores: numbers and digests, no judgement. Limits on them are policy."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Speed:
    """Best times of several rounds over the same clips, taken turn about in one process."""

    seconds: float
    """Of audio in a round."""
    backbone: float
    """Seconds of work of the backbone alone."""
    adapter: float
    """Seconds of work with adapters, head and decoding."""
    device: str

    @property
    def slowdown(self) -> float:
        """How many times as long as the backbone alone."""
        return self.adapter / self.backbone

    @property
    def real_time_factor(self) -> float:
        """Seconds of work for a second of audio."""
        return self.adapter / self.seconds


@dataclass(frozen=True)
class Neighbour:
    """One other slot's champion: digests (SHA-256) of its outputs on `clips` clips, before, beside and after.

    An output is the answer and every frame that its head sees, bit for bit.
    """

    slot: str
    version: int
    bundle: str
    clips: int
    before: str
    """In a batch of the neighbours alone, before the challenger came."""
    after: str
    """The same batch, once the challenger had answered and gone."""
    beside_stand_in: str
    """In a batch with an untrained adapter of the challenger's shape: same sizes, same kernels, other weights."""
    beside_challenger: str
    """In that batch with the challenger in its place."""

    @property
    def unchanged(self) -> bool:
        """Whether the challenger made no difference to any bit."""
        return (self.before, self.beside_stand_in) == (self.after, self.beside_challenger)


@dataclass(frozen=True)
class Neighbourhood:
    """The champions of other slots that shared a host with the challenger."""

    compared: tuple[Neighbour, ...]
    slots: int
    """Other slots in the registry."""
    skipped: tuple[str, ...]
    """Slots that were to be compared and could not, each with the reason."""
    repeatable: bool
    """Whether this machine gives the same bits twice, without the challenger; elsewhere nothing can be compared."""


@dataclass(frozen=True)
class Measured:
    """One run's measurements of the challenger (and the champion's threshold)."""

    subject: str
    """Slot and version as `elp audit` takes them."""
    bundle_bytes: int
    """Of all files of the bundle."""
    parameters: int
    """Learnable values of adapters and head."""
    speed: Speed
    backbone_before: str
    """SHA-256 of the backbone's tensors in memory, before anything ran on it."""
    backbone_after: str
    """The same after all of it."""
    neighbourhood: Neighbourhood
    challenger_threshold: float | None = None
    """At which the bundle decides trials; None for tasks without one, or where none was chosen."""
    champion_threshold: float | None = None
