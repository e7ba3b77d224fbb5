"""`elp.yaml`: everything a workspace can be told, with defaults that need nothing else."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from elp_core.config import ElpConfig, TrainConfig, from_dict, to_dict
from elp_core.errors import ConfigError
from elp_core.kinds import TaskKind, kind_of, names
from pipelines.errors import UsageError, WorkspaceError
from pipelines.policies import SafetyPolicy

_NAME = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,38}[a-z0-9])?")
_MODEL = re.compile(rf"elp\.(?P<site>{_NAME.pattern})\.(?P<task>[a-z]+)")


@dataclass(frozen=True)
class Slot:
    """One (site, task) pair; written ``SITE/TASK``."""

    site: str
    task: str

    @classmethod
    def parse(cls, text: str) -> Slot:
        """Read ``SITE/TASK``.

        Raises:
            UsageError: where the site is not lower-case letters, digits and inner hyphens (40 at most), or the task is
                unknown.
        """
        site, slash, task = text.partition("/")
        if not slash or not _NAME.fullmatch(site):
            raise UsageError(
                f"{text!r} is not a slot; expected SITE/TASK with the site in lower-case letters, digits and inner "
                "hyphens, 40 at most (such as plant-a/asr)"
            )
        try:
            kind_of(task)
        except ConfigError:
            raise UsageError(f"{text!r}: unknown task {task!r}; expected one of {', '.join(names())}") from None
        return cls(site, task)

    @classmethod
    def of_model(cls, name: str) -> Slot | None:
        """The slot whose registered model has this name, or None where it is no slot's."""
        match = _MODEL.fullmatch(name)
        return cls(match["site"], match["task"]) if match else None

    def __str__(self) -> str:
        return f"{self.site}/{self.task}"

    @property
    def kind(self) -> TaskKind:
        """What is known of the slot's task."""
        return kind_of(self.task)

    @property
    def model_name(self) -> str:
        """Name of the slot's registered model in MLflow."""
        return f"elp.{self.site}.{self.task}"

    @property
    def folder(self) -> Path:
        """The slot's data folder, relative to the workspace."""
        return Path("data") / self.site / self.task

    def tag(self, version: int, kind: str = "data") -> str:
        """Git tag of a dataset version (`kind` ``data``) or of a golden set (``golden``)."""
        return f"{kind}/{self.site}/{self.task}/v{version}"


@dataclass(frozen=True)
class Servers:
    """Where the services are. 127.0.0.1 unless told otherwise; port 0 lets `elp up` choose a free one."""

    host: str = "127.0.0.1"
    mlflow_port: int = 5000
    prefect_port: int = 4200
    mlflow_uri: str = ""
    """Address of an MLflow server run elsewhere; empty means the workspace's own."""
    database: str = ""
    """Database of the workspace's own MLflow server, such as ``postgresql://elp@db/mlflow``; empty means SQLite."""
    prefect_api: str = ""
    """Address of a Prefect API run elsewhere; empty means the workspace's own."""
    workers: int = 1
    """Flow runs at once on the local training pool."""


@dataclass(frozen=True)
class DataPolicy:
    """What makes a clip bad (quarantine) and a delivery bad (refused)."""

    min_seconds: float = 0.1
    max_seconds: float = 60.0
    min_snr_db: float = -5.0
    max_clipping: float = 0.05
    """Share of samples at full scale."""
    max_silence: float = 0.95
    """Share of 20 ms frames that are silent."""
    min_speakers: int = 1
    max_quarantined: float = 0.2
    """Share of a delivery that may go to quarantine before the whole delivery is refused."""
    closed_set: bool = False
    """The source's own splits share speakers; every table made from them says so."""
    validation_share: float = 0.1
    test_share: float = 0.1


@dataclass(frozen=True)
class GatePolicy:
    """Declared limits of the regression check."""

    limit: float = 0.5
    """Absolute limit on the task's metric (WER, EER, error rate): lower is better."""
    margin: float = 0.02
    """Non-inferiority margin on challenger − champion."""
    confidence: float = 0.95
    resamples: int = 10_000
    min_slice: int = 30
    """Clips, or target trials (ASV), under which a condition slice is reported as undecided."""
    seed: int = 0
    safety: SafetyPolicy = field(default_factory=SafetyPolicy)
    """Limits beside the metric's."""


@dataclass(frozen=True)
class SlotSettings:
    """Settings of one slot (or of all, under `defaults`)."""

    adapter: ElpConfig = field(default_factory=ElpConfig)
    train: TrainConfig = field(default_factory=TrainConfig)
    data: DataPolicy = field(default_factory=DataPolicy)
    gate: GatePolicy = field(default_factory=GatePolicy)
    task: Any = None
    """Options of the task (`elp_core.kinds`): a value of its `TaskKind.options`."""


@dataclass(frozen=True)
class Settings:
    """The whole of `elp.yaml`, defaults filled in."""

    backbone: str = "elp:tiny"
    remote: str = ".elp/remote"
    """DVC remote: a folder (relative to the workspace) or any URL that DVC understands."""
    auto_promote: bool = False
    """Promote a challenger that passed without waiting for a person."""
    servers: Servers = field(default_factory=Servers)
    defaults: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """Per task, overriding the built-in defaults."""
    slots: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """Per slot, overriding `defaults`."""

    def for_slot(self, slot: Slot) -> SlotSettings:
        """Built-in defaults of the task, then `defaults.<task>`, then `slots.<site>/<task>`.

        Raises:
            ConfigError: with every fault of the slot's settings.
        """
        kind, where = slot.kind, f"settings of {slot}"
        train, gate = replace(TrainConfig(), **dict(kind.train)), GatePolicy(kind.limit, kind.margin)
        merged = to_dict(SlotSettings(train=train, gate=gate, task=kind.options()))
        for layer in (self.defaults.get(slot.task, {}), self.slots.get(str(slot), {})):
            merged = _merge(merged, layer)
        options, settings = merged.pop("task"), SlotSettings()
        faults: list[str] = []
        try:
            settings = from_dict(SlotSettings, merged, where)
        except ConfigError as error:
            faults += error.faults
        try:
            settings = replace(settings, task=from_dict(kind.options, options, where))
        except ConfigError as error:
            faults += [f"task.{fault}" for fault in error.faults]
        if faults:
            raise ConfigError(where, faults)
        return settings


def read_settings(text: str, where: str = "elp.yaml") -> Settings:
    """Parse `elp.yaml` and check every slot's settings in it.

    Raises:
        ConfigError: with all faults of the file at once.
        WorkspaceError: where the text is not YAML.
    """
    import yaml

    try:
        raw = yaml.safe_load(text) or {}
    except yaml.YAMLError as error:
        raise WorkspaceError(f"{where} is not valid YAML: {error}") from error
    settings = from_dict(Settings, raw, where)
    faults = []
    for name in settings.slots:
        try:
            settings.for_slot(Slot.parse(name))
        except (ConfigError, UsageError) as error:
            faults.append(f"slots.{name}: {error}")
    for task in settings.defaults:
        try:
            settings.for_slot(Slot("any", task))
        except ConfigError as error:
            faults.append(f"defaults.{task}: {error}")
    if faults:
        raise ConfigError(where, faults)
    return settings


def _merge(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """`over` laid on `base`, mapping by mapping."""
    result = dict(base)
    for key, value in over.items():
        both = isinstance(value, Mapping) and isinstance(result.get(key), Mapping)
        result[key] = _merge(result[key], value) if both else value
    return result
