"""The lineage of an adapter: its data, backbone, code, packages and settings (``lineage.json`` of its bundle)."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

from elp_core.config import from_dict, to_dict
from elp_core.languages import NormaliserId

FORMAT = 1

T = TypeVar("T")


@dataclass(frozen=True)
class TrainingDataset:
    """The dataset version that a training read."""

    repository: str = ""
    """Address of the workspace's Git repository."""
    tag: str = ""
    version: int = 0
    revision: str = ""
    """Git commit of the tag."""
    dvc_hash: str = ""
    clips: int = 0
    seconds: float = 0.0
    speakers: int = 0
    splits: Mapping[str, int] = field(default_factory=dict)
    quarantined: int = 0
    validation: Mapping[str, Any] = field(default_factory=dict)
    """Result of the data checks."""
    closed_set: bool = False
    """Whether the splits share speakers, by declaration."""


@dataclass(frozen=True)
class PinnedGolden:
    """The golden set whose clips were kept out of training. An empty tag means that the slot had none."""

    tag: str = ""
    digest: str = ""
    clips: int = 0


@dataclass(frozen=True)
class TrainedClips:
    """The clips that a training used."""

    clips: int = 0
    seconds: float = 0.0
    ids: str = ""
    """`ids_digest` of the clips of training and validation."""
    excluded: int = 0
    """Clips of the dataset that were left out, because the golden set has them."""
    beside: tuple[str, ...] = ()
    """Other slots that were trained in the same pass."""


@dataclass(frozen=True)
class BackboneName:
    """A backbone by its id and fingerprint (``sha256:…``)."""

    id: str = ""
    fingerprint: str = ""


@dataclass(frozen=True)
class BackboneOrigin:
    """Licence, source and pre-training data of a backbone, as `elp backbone add` recorded them; else empty."""

    licence: str = ""
    """SPDX identifier, or ``LicenseRef-NAME`` for another text."""
    commercial: str = ""
    """Whether the licence lets a company use it: ``allowed``, ``forbidden`` or ``unknown``."""
    source: str = ""
    """Where the checkpoint came from, such as a hub id with its revision."""
    pretraining: str = ""
    """The data that it was pre-trained on, with hours."""


@dataclass(frozen=True)
class TrainedLanguage:
    """The language of the transcripts and the units of the head; empty for English letters, the default."""

    code: str = ""
    """As in `elp.yaml`, such as ``ja``."""
    normaliser: NormaliserId | None = None
    kind: str = ""
    """Kind of the units, such as ``characters``."""
    units: str = ""
    """``sha256:…`` of the units in their order, which the dataset version pins."""
    size: int = 0
    """Number of units."""
    parent: str = ""
    """Bundle (``sha256:…``) whose head gave the rows of the units that it had; empty if every row is new."""
    added: tuple[str, ...] = ()
    """Units that the parent did not have."""


@dataclass(frozen=True)
class LearnedFrom:
    """An adapter that a training learned from, in addition to its clips."""

    bundle: str = ""
    """``sha256:…`` of its bundle."""
    slot: str = ""
    """``SITE/TASK``; empty if it is not known, as the version is 0 then."""
    version: int = 0
    role: str = ""
    """``init`` (the tensors started from it), ``average`` (from the mean of several), ``teacher`` (it labelled clips),
    or ``units`` (a head with more units started from its rows)."""
    weight: float = 1.0
    """Share in a mean; 1 for other roles."""

    @property
    def name(self) -> str:
        """``SITE/TASK v3``, or the digest if its version is not known."""
        return f"{self.slot} v{self.version}" if self.slot and self.version else self.bundle


@dataclass(frozen=True)
class StartCandidate:
    """A champion that a training compared before it chose one to start from."""

    slot: str = ""
    version: int = 0
    bundle: str = ""
    value: float | None = None
    """Metric on the validation clips that were used for the choice; None if it could not be used."""
    why: str = ""
    """Why it was not used; empty if it was."""


@dataclass(frozen=True)
class TrainingStart:
    """Where the tensors of a training started; empty if that was fresh, as it was set."""

    init: str = ""
    """`train.init` of the settings: champion, nearest, average or a version."""
    inputs: str = ""
    """Training key of the same inputs with a fresh start."""
    generation: int = 0
    """Trainings of the slot in a row before it, each of which the next one started from; 0 for a fresh start."""
    head: str = ""
    """Why the head is new although the other tensors are not; empty if it is not new."""
    why: str = ""
    """Why the start was fresh although the settings asked for another one."""
    candidates: tuple[StartCandidate, ...] = field(default=(), metadata={"of": StartCandidate})


@dataclass(frozen=True)
class TrainerCode:
    """The code that trained."""

    version: str = ""
    digest: str = ""
    """``sha256:…`` of the files of `elp_core`."""
    revision: str = ""
    """Git commit; empty outside a checkout."""
    dirty: bool | None = None
    """Whether files differed from that commit; None outside a checkout."""
    recipe: int = 0
    """Recipe version, which is part of the training key; 0 in lineages of release 0.1.0, which had none."""


@dataclass(frozen=True)
class TrainerHardware:
    """The machine that trained."""

    system: str = ""
    machine: str = ""
    cores: int = 0
    memory_gib: float = 0.0
    gpu: str = ""
    threads: int = 0
    processes: int = 1
    """Processes that trained together, each with a GPU of its own or a part of the cores."""


@dataclass(frozen=True)
class Lineage:
    """Everything that a bundle was made from. The law: ``Lineage.from_json(lineage.to_json()) == lineage``."""

    slot: str = ""
    key: str = ""
    """Training key."""
    created: str = ""
    """UTC, ISO 8601."""
    dataset: TrainingDataset = field(default_factory=TrainingDataset)
    golden: PinnedGolden = field(default_factory=PinnedGolden)
    training: TrainedClips = field(default_factory=TrainedClips)
    backbone: BackboneName = field(default_factory=BackboneName)
    backbone_origin: BackboneOrigin = field(default_factory=BackboneOrigin)
    config: Mapping[str, Any] = field(default_factory=dict)
    """Configuration of adapter, training and task."""
    seed: int = 0
    code: TrainerCode = field(default_factory=TrainerCode)
    packages: Mapping[str, str] = field(default_factory=dict)
    """``lock``: the hash of all installed packages; then versions by name."""
    hardware: TrainerHardware = field(default_factory=TrainerHardware)
    flow_run: str = ""
    """Prefect flow run; empty outside a flow."""
    mlflow_run: str = ""
    validation: Mapping[str, Any] = field(default_factory=dict)
    """``metric`` and what was measured on the validation split."""
    language: TrainedLanguage = field(default_factory=TrainedLanguage)
    start: TrainingStart = field(default_factory=TrainingStart)
    learned: tuple[LearnedFrom, ...] = field(default=(), metadata={"of": LearnedFrom})
    """Adapters that this one learned from, teachers too; without the one that gave a head its rows (`language`)."""
    format: int = FORMAT

    @property
    def all_learned(self) -> tuple[LearnedFrom, ...]:
        """The adapters that this one learned from, with the one that gave a head its rows."""
        parent = self.language.parent
        return (*([LearnedFrom(parent, self.slot, 0, "units")] if parent else []), *self.learned)

    @classmethod
    def from_json(cls, values: Mapping[str, Any], where: str = "lineage") -> Lineage:
        """Read a ``lineage.json`` of any release: missing keys become empty, and unknown keys are ignored."""
        return read_known(cls, values, where)

    def to_json(self) -> dict[str, Any]:
        """Return the values of ``lineage.json``."""
        values = to_dict(self)
        if not self.training.beside:
            # a training of one slot never had this key, and bundles are named by the digest of their files
            del values["training"]["beside"]
        if not self.code.recipe:
            del values["code"]["recipe"]
        if self.hardware.processes == 1:
            del values["hardware"]["processes"]
        if self.language == TrainedLanguage():
            del values["language"]
        if self.start == TrainingStart():
            del values["start"]
        if not self.learned:
            del values["learned"]
        if self.backbone_origin == BackboneOrigin():
            del values["backbone_origin"]
        return values


def normaliser_text(normaliser: NormaliserId) -> str:
    """Return a normaliser for people: its name and the first digits of its digest."""
    return f"{normaliser.name} ({normaliser.digest.removeprefix('sha256:')[:12]})"


def read_known(kind: type[T], values: Mapping[str, Any], where: str) -> T:
    """Build a record from the keys that it knows, here and in the records inside it."""
    return from_dict(kind, _known(kind, values), where)


def _known(kind: Any, values: Any) -> Any:
    """Return `values` without the keys that a record has no field for; what is no record is returned as it is."""
    if not (dataclasses.is_dataclass(kind) and isinstance(values, Mapping)):
        return values
    # the records inside `Lineage` are its fields' default factories
    kinds = {f.name: f.default_factory for f in dataclasses.fields(kind)}
    lists = {f.name: f.metadata["of"] for f in dataclasses.fields(kind) if "of" in f.metadata}
    return {
        name: [_known(lists[name], one) for one in value]
        if name in lists and isinstance(value, list | tuple)
        else _known(kinds[name], value)
        for name, value in values.items()
        if name in kinds
    }


def ids_digest(ids: Iterable[str]) -> str:
    """Return ``sha256:…`` of a set of clip ids, in whatever order they come."""
    return "sha256:" + hashlib.sha256("\n".join(sorted(ids)).encode()).hexdigest()
