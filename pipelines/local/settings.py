"""`elp.yaml`: the settings of a workspace. Every setting has a default."""

import functools
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from elp_core.config import ElpConfig, TrainConfig, from_dict, not_finite, to_dict
from elp_core.decoding import DecodeConfig
from elp_core.errors import ConfigError
from elp_core.languages import LanguageConfig
from elp_core.presets import PRESETS
from pipelines.errors import UsageError, WorkspaceError
from pipelines.local.address_credentials import credential_in, host_faults
from pipelines.local.compute_settings import Compute, FanOut
from pipelines.local.git_address import address_faults, git_credential
from pipelines.local.inbox_places import inbox_conflicts
from pipelines.local.inbox_settings import InboxSettings, inbox_fault
from pipelines.local.report_settings import ReportSettings
from pipelines.local.schedule_settings import ScheduleEntry, read_entries
from pipelines.local.store_addresses import server_address_faults
from pipelines.registry.backbone_licence import BackbonePolicy
from pipelines.registry.policies import DataPolicy, GatePolicy, MonitorPolicy, current_gate_names
from pipelines.registry.retention import RetentionPolicy
from pipelines.registry.slot import Slot
from pipelines.request_log.log_policy import RequestLogPolicy

_NO_POLICY = ("inbox", "backbone")
"""Keys of a slot that `Settings` answers itself: they are no part of `SlotSettings`."""


@dataclass(frozen=True)
class Servers:
    """Addresses of the services. Port 0 lets `elp up` choose a free one."""

    host: str = "127.0.0.1"
    mlflow_port: int = 5000
    prefect_port: int = 4200
    mlflow_uri: str = ""
    """Address of an MLflow server that runs elsewhere; empty means the workspace's own."""
    database: str = ""
    """Database of the workspace's own MLflow server, such as ``postgresql://elp@db/mlflow``; empty means SQLite."""
    prefect_database: str = ""
    """Database of the workspace's own Prefect server, such as ``postgresql://elp@db/prefect``; empty means SQLite."""
    artifacts: str = ""
    """Where the workspace's own MLflow server keeps its artifacts: ``s3://bucket/prefix``; empty means a folder."""
    s3_endpoint: str = ""
    """Address of the S3 store of artifacts and inboxes, such as ``https://s3.plant.lan``; empty means AWS."""
    prefect_api: str = ""
    """Address of a Prefect API that runs elsewhere; empty means the workspace's own."""
    workers: int = 1
    """Flow runs at once on the local training pool; 0 leaves trainings to the workers of other machines."""
    together: int = 1
    """Most slots that are trained in one pass over the backbone: by `elp retrain --all`, or because they are due."""

    def __post_init__(self) -> None:
        faults = server_address_faults(self.database, self.prefect_database, self.artifacts, self.s3_endpoint)
        if self.workers < 0:
            faults.append(f"workers is {self.workers}, expected 0 or more runs at once")
        if faults:
            raise ConfigError(type(self).__name__, faults)


@dataclass(frozen=True)
class SlotSettings:
    """Settings of one slot (or of all, under `defaults`)."""

    adapter: ElpConfig = field(default_factory=ElpConfig)
    train: TrainConfig = field(default_factory=TrainConfig)
    data: DataPolicy = field(default_factory=DataPolicy)
    gate: GatePolicy = field(default_factory=GatePolicy)
    decode: DecodeConfig = field(default_factory=DecodeConfig)
    """How `elp predict` finds the words (ASR). Training and gate decode greedily: a verdict is about the adapter."""
    task: Any = None
    """Options of the task (`elp_core.task_specs`): a value of its `TaskSpec.options`."""
    language: LanguageConfig = field(default_factory=LanguageConfig)
    """Language of the transcripts: a code such as ``ja``, or a mapping."""
    compute: Compute = field(default_factory=Compute)
    monitor: MonitorPolicy = field(default_factory=MonitorPolicy)
    requests: RequestLogPolicy = field(default_factory=RequestLogPolicy)
    """What `elp serve` logs of the slot's requests: by default nothing."""


@dataclass(frozen=True)
class Settings:
    """All of `elp.yaml`, with the defaults."""

    backbone: str = "elp:tiny"
    """The frozen model of every slot; `slots.<site>/<task>.backbone` names that of one slot while a site migrates."""
    backbones: BackbonePolicy = field(default_factory=BackbonePolicy)
    """Licences that a champion's backbone may have, and the records that `elp backbone add` writes."""
    remote: str = ".elp/remote"
    """DVC remote: a folder (relative to the workspace) or any URL that DVC understands."""
    git: str = ""
    """Git address of the workspace as workers reach it, such as ``ssh://elp@control/srv/elp/foundry.git``.

    Empty: the folder itself, for workers of this machine."""
    auto_promote: bool = False
    """Promote a challenger that passed without waiting for a person."""
    language: Any = "en"
    """Language of every slot that declares none: a code, or a mapping (`LanguageConfig`)."""
    servers: Servers = field(default_factory=Servers)
    retention: RetentionPolicy = field(default_factory=RetentionPolicy)
    """What `elp gc` removes."""
    fan_out: FanOut = field(default_factory=FanOut)
    inbox: InboxSettings = field(default_factory=InboxSettings)
    """Where deliveries are dropped; `slots.<site>/<task>.inbox` is the folder or prefix of one slot."""
    report: ReportSettings = field(default_factory=ReportSettings)
    """What `elp report` and `elp poc` assume."""
    defaults: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """Per task, overriding the built-in defaults. `preset` names values of `elp_core.presets`."""
    slots: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """Per slot, overriding `defaults`."""
    schedules: Mapping[str, Any] = field(default_factory=dict)
    """When which slots are retrained or monitored; see `pipelines.local.schedule_settings`."""
    calendars: Mapping[str, Any] = field(default_factory=dict)
    """Days without starts, by a name that schedules refer to."""

    def schedule_entries(self) -> tuple[ScheduleEntry, ...]:
        """Return the entries of `schedules`; raises a ConfigError with all faults."""
        return read_entries(self.schedules, self.calendars)

    def for_slot(self, slot: Slot) -> SlotSettings:
        """Return the built-in defaults of the task, changed by `defaults.<task>`, then by `slots.<site>/<task>`.

        Raises a ConfigError with all faults.
        """
        if slot not in self._slots_read:
            self._slots_read[slot] = self._read_slot(slot)
        return self._slots_read[slot]

    @functools.cached_property
    def _slots_read(self) -> dict[Slot, SlotSettings]:
        # whoever groups or plans the slots of a workspace asks for each of them many times
        return {}

    def _read_slot(self, slot: Slot) -> SlotSettings:
        spec, source = slot.task_spec, f"settings of {slot}"
        train, gate = replace(TrainConfig(), **dict(spec.train)), GatePolicy(spec.limit, spec.margin)
        merged = to_dict(SlotSettings(train=train, gate=gate, task=spec.options())) | {"language": self.language}
        own = {name: value for name, value in self.slots.get(str(slot), {}).items() if name not in _NO_POLICY}
        layers = [part for one in (self.defaults.get(slot.task, {}), own) for part in _with_preset(one, slot, source)]
        for layer in layers:
            language = _narrowed(merged["language"], layer.get("language"))
            merged = _merge(merged, _with_current_names(layer)) | {"language": language}
        options, language, settings = merged.pop("task"), merged.pop("language"), SlotSettings()
        faults: list[str] = []
        if isinstance(options, Mapping) and (inner := sorted(options.keys() & {"language", "units"})):
            # the task gets them from the dataset version that it is trained on
            faults.append(f"task.{inner[0]} is not set there; declare language next to task, such as language: ja")
        try:
            settings = from_dict(SlotSettings, merged, source)
        except ConfigError as error:
            faults += error.faults
        try:
            settings = replace(settings, task=from_dict(spec.options, options, source))
        except ConfigError as error:
            faults += [f"task.{fault}" for fault in error.faults]
        try:
            settings = replace(settings, language=LanguageConfig.parse(language))
        except ConfigError as error:
            faults += [f"language: {fault}" for fault in error.faults]
        faults += _metric_faults(slot, settings)
        if fault := inbox_fault(self.inbox_of(slot)):
            faults.append(f"inbox is {fault}")
        if not isinstance(self.backbone_of(slot), str) or not self.backbone_of(slot):
            faults.append(f"backbone is {self.backbone_of(slot)!r}, expected the name of a checkpoint such as elp:tiny")
        if slot.task != "asr" and settings.decode != DecodeConfig():
            faults.append(f"decode is for asr; {slot.task} writes no transcripts")
        if faults:
            raise ConfigError(source, faults)
        return settings

    def inbox_of(self, slot: Slot) -> str:
        """Return the address of a slot's inbox: a folder, relative to the workspace, or ``s3://BUCKET/PREFIX``."""
        own: str = self.slots.get(str(slot), {}).get("inbox", self.inbox.of_slot(slot))
        return own

    def backbone_of(self, slot: Slot) -> str:
        """Return the name of the backbone on which a slot's next version is trained."""
        own: str = self.slots.get(str(slot), {}).get("backbone", self.backbone)
        return own

    @property
    def backbone_names(self) -> tuple[str, ...]:
        """Every backbone that the settings name, that of the workspace first."""
        return tuple(dict.fromkeys([self.backbone, *(self.backbone_of(Slot.parse(name)) for name in self.slots)]))


def read_settings(text: str, source: str = "elp.yaml") -> Settings:
    """Parse `elp.yaml` and check every slot's settings in it; a ConfigError has all faults.

    Raises WorkspaceError if the text is not YAML.
    """
    import yaml

    try:
        raw = yaml.safe_load(text) or {}
    except yaml.YAMLError as error:
        raise WorkspaceError(f"{source} is not valid YAML: {error}") from error
    settings = from_dict(Settings, raw, source)
    faults = _address_faults(settings)
    try:
        LanguageConfig.parse(settings.language)
    except ConfigError as error:
        # said once, and not again for every slot
        raise ConfigError(source, [f"language: {fault}" for fault in error.faults]) from error
    for group, name in [*(("slots", n) for n in settings.slots), *(("defaults", task) for task in settings.defaults)]:
        try:
            slot = Slot.parse(name) if group == "slots" else Slot("any", name)
            faults += not_finite(to_dict(settings.for_slot(slot)), f"{group}.{name}")
        except (ConfigError, UsageError) as error:
            faults.append(f"{group}.{name}: {error}")
    faults += [
        f"defaults.{task}.requests: audio_consent is that of one site; set it in slots.SITE/{task}.requests"
        for task, own in settings.defaults.items()
        if (own.get("requests") or {}).get("audio_consent")
    ]
    try:
        settings.schedule_entries()
    except ConfigError as error:
        faults += error.faults
    if faults:
        raise ConfigError(source, faults)
    return settings


def _address_faults(settings: Settings) -> list[str]:
    """Return what is wrong with the addresses: credentials in them, and inboxes that contain what is no delivery."""
    servers, dvc_remedy = settings.servers, "use an SSH key, or .dvc/config.local: dvc remote modify --local storage …"
    shown = {
        "remote": (credential_in(settings.remote), dvc_remedy),
        "servers.mlflow_uri": (credential_in(servers.mlflow_uri), "set MLFLOW_TRACKING_USERNAME and …_PASSWORD"),
        "servers.prefect_api": (credential_in(servers.prefect_api), "set PREFECT_API_KEY or PREFECT_API_AUTH_STRING"),
    }
    for n, one in enumerate(settings.retention.shared_with or (), 1):
        shown[f"retention.shared_with: {n}"] = (git_credential(one), "use an SSH key or Git's credential helper")
    own = {name: one["inbox"] for name, one in settings.slots.items() if "inbox" in one}
    stores = {"remote": settings.remote, "servers.artifacts": servers.artifacts}
    return [
        *(f"git: {fault}" for fault in (address_faults(settings.git) if settings.git else ())),
        *(f"{name} holds {found}; {remedy}" for name, (found, remedy) in shown.items() if found),
        *host_faults(remote=settings.remote, mlflow_uri=servers.mlflow_uri, prefect_api=servers.prefect_api),
        *(one.fault for one in inbox_conflicts(settings.inbox.path, own, stores)),
    ]


def deciding_metric(slot: Slot, settings: SlotSettings) -> str:
    """Return the metric by which the gate decides on a slot."""
    if slot.task == "asr":
        return settings.gate.metric or settings.language.resolve().metric
    return "eer" if slot.task == "asv" else "error_rate"


def _metric_faults(slot: Slot, settings: SlotSettings) -> list[str]:
    """Return why the metric that the gate is to decide by is none of the slot's."""
    if settings.gate.metric and slot.task != "asr":
        return [f"gate.metric is for asr; {slot.task} has one metric"]
    if settings.gate.metric == "wer" and not settings.language.resolve().spaced:
        return [f"gate.metric is wer, but {settings.language.code} is written without spaces; expected cer"]
    return []


def _narrowed(language: Any, over: Any) -> Any:
    """Return the language that a layer of settings declares over another one.

    A layer that names a language replaces the other whole; a mapping without ``code`` and ``letters`` changes its keys.
    """
    if over is None:
        return language
    if not isinstance(over, Mapping) or "code" in over or "letters" in over:
        return over
    return {**(language if isinstance(language, Mapping) else {"code": language}), **over}


def _with_preset(layer: Mapping[str, Any], slot: Slot, source: str) -> list[Mapping[str, Any]]:
    """Return the values of the preset that a layer of settings names, if it does, and its own, which change them."""
    if "preset" not in layer:
        return [layer]
    name = layer["preset"]
    known = [preset for preset in PRESETS if PRESETS[preset].task == slot.task]
    if name not in known:
        expected = f"one of {', '.join(known)}" if known else f"none: there is no preset for {slot.task}"
        raise ConfigError(source, [f"preset is {name!r}, expected {expected}"])
    return [PRESETS[name].settings, {key: value for key, value in layer.items() if key != "preset"}]


def _with_current_names(layer: Mapping[str, Any]) -> dict[str, Any]:
    """Return a slot's settings with the present names of gate limits that were renamed."""
    gate = layer.get("gate")
    return {**layer, "gate": current_gate_names(gate)} if isinstance(gate, Mapping) else dict(layer)


def _merge(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """Return `base` with the values of `over`, merged mapping by mapping."""
    result = dict(base)
    for key, value in over.items():
        both = isinstance(value, Mapping) and isinstance(result.get(key), Mapping)
        result[key] = _merge(result[key], value) if both else value
    return result
