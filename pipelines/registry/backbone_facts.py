"""What the server reports for a change of the backbone: every champion with its backbone, data and training."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Self

from pipelines.registry.lineage import read_known


@dataclass(frozen=True)
class MeasuredTraining:
    """How long a training took, from the metrics of its run; zeros if the run does not say."""

    seconds: float = 0.0
    """Of the whole pass, which may have trained other slots, too."""
    epochs: float = 0.0
    audio: float = 0.0
    """Seconds of audio in an epoch."""
    beside: int = 0
    """Other slots in the same pass."""

    @property
    def rate(self) -> float | None:
        """Return the seconds for a second of audio and an epoch; None if that was not measured."""
        heard = self.epochs * self.audio
        return self.seconds / heard if self.seconds and heard else None


@dataclass(frozen=True)
class ChampionOnBackbone:
    """A champion, and what a training of its slot on another backbone needs to know."""

    slot: str
    version: int
    bundle: str
    backbone: str
    """As the training named it."""
    fingerprint: str
    dataset: str
    """Tag of the dataset version."""
    dvc_hash: str
    """``md5:….dir`` of its shards."""
    run: str
    bytes: int = 0
    """Of the bundle; 0 if the run does not say."""
    training: MeasuredTraining = field(default_factory=MeasuredTraining)
    teachers: tuple[str, ...] = ()
    """Adapters that labelled clips of the dataset version, such as ``plant-a/asr v3``."""
    voices: int = 0
    """Enrolled voices with a template of this bundle."""

    @property
    def site(self) -> str:
        """The site of the slot."""
        return self.slot.partition("/")[0]

    @property
    def task(self) -> str:
        """The task of the slot."""
        return self.slot.partition("/")[2]

    @property
    def name(self) -> str:
        """``SITE/TASK v3``."""
        return f"{self.slot} v{self.version}"


@dataclass(frozen=True)
class BackboneFacts:
    """The champions of some sites, and what is known of one backbone."""

    versions: int = 0
    """Adapter versions in the registry."""
    champions: tuple[ChampionOnBackbone, ...] = field(default=(), metadata={"of": ChampionOnBackbone})
    fingerprints: tuple[str, ...] = ()
    """Those of all versions that were trained on the backbone under its name."""
    rates: Mapping[str, float] = field(default_factory=dict)
    """By task: median of `MeasuredTraining.rate` of the trainings on the backbone."""
    boxes: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Enrolled boxes by site."""
    deleted: Mapping[str, int] = field(default_factory=dict)
    """Data files (MD5) that were deleted and not restored: the ledger entry."""

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Self:
        """Read what the server sent; one of another release may send other fields, too."""
        return read_known(cls, values, "backbone facts")
