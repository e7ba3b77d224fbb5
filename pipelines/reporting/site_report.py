"""The report on a site, read from its workspace and the MLflow server."""

from __future__ import annotations

import contextlib
import hashlib
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from elp_core.config import ElpConfig
from elp_core.errors import ElpError
from pipelines.datasets.data_slots import slots_with_data
from pipelines.datasets.dataset_version import SHARDS
from pipelines.datasets.dvc import metafile, tracked_bytes
from pipelines.datasets.versions import find_latest, golden_ref
from pipelines.errors import AttestationError, UsageError
from pipelines.gating.evidence import read_evidence
from pipelines.local import git
from pipelines.local.report_settings import ReportSettings, stated_names
from pipelines.local.schedule_settings import entry_of
from pipelines.local.workspace import SETTINGS_FILE, Workspace
from pipelines.monitoring.look_list import monitor_folder
from pipelines.monitoring.slot_state import load_state
from pipelines.registry.adapter_version import AdapterVersion, Tags
from pipelines.registry.backbone_licence import LicenceFault, find_licence_fault
from pipelines.registry.client import runs, server_api
from pipelines.registry.client.connection import connect
from pipelines.registry.client.model_registry import candidate, find_champion, list_slots, list_versions
from pipelines.registry.lineage import BackboneName, BackboneOrigin
from pipelines.registry.signing.envelope import read_envelope
from pipelines.registry.slot import Slot
from pipelines.registry.statements import LineageStatement, parse_statement
from pipelines.registry.verdict_statement import VerdictStatement, stored_verdict
from pipelines.reporting.comparison_records import (
    MeasuredOn,
    RecordedComparison,
    comparisons_of,
    workspace_comparisons,
)
from pipelines.reporting.full_copies import FullCopies, full_copies
from pipelines.reporting.measured_gain import (
    DEFAULT_ADAPTER,
    OWN_ADAPTER,
    MeasuredGain,
    OtherComparison,
    frozen_gain,
    gain_of_training,
    gain_over_former,
)
from pipelines.reporting.recorded_audio import RecordedAudio, recorded_audio
from pipelines.reporting.yearly_cost import CostLine, SlotAmounts, starts_in_a_year, yearly_costs

if TYPE_CHECKING:
    from mlflow import MlflowClient


@dataclass(frozen=True)
class MissingAudio:
    """What an undecided verdict lacks, as the gate planned it."""

    clips: int
    """Further golden clips that would decide what was observed."""
    speakers: int | None
    """Of so many further speakers; None if the gate resampled clips."""


@dataclass(frozen=True)
class JudgedAdapter:
    """A version with its newest signed verdict and the measurements of its training."""

    version: AdapterVersion
    verdict: VerdictStatement | None
    digest: str
    """Of the verdict; empty without one."""
    metrics: Mapping[str, float]
    missing: MissingAudio | None
    """Of an undecided verdict, if more audio would decide it."""

    @property
    def on(self) -> MeasuredOn:
        """Return what it was trained on, and the golden set of its verdict, or else of its training."""
        version, verdict = self.version, self.verdict
        golden = verdict.golden.tag if verdict else version.tags.get(Tags.GOLDEN, "")
        return MeasuredOn(version.dataset, golden, BackboneName(version.backbone, version.fingerprint))


@dataclass(frozen=True)
class SlotReport:
    """Everything that the report says of one slot."""

    slot: Slot
    recorded: RecordedAudio | None
    """None before the first dataset version."""
    champion: JudgedAdapter | None
    contender: JudgedAdapter | None
    """The newest version after the champion; None if there is none."""
    gains: tuple[MeasuredGain, ...]
    """Of the champion, or else of the contender."""
    amounts: SlotAmounts
    backbone_parameters: float | None
    licence: str
    """Of its backbone, as lineage or `elp backbone add` recorded it; empty if neither did."""
    licence_fault: LicenceFault | None
    """Why the licence keeps the adapter from being champion; None if it does not."""
    looks: int
    """Of the monitor at the site's audio."""
    alarm_since: str
    """When the monitor raised its alarm; empty without one."""
    other_comparison: OtherComparison | None = None
    """With the frozen backbone, if there is none that is about the shown adapter."""
    methods: tuple[str, ...] = DEFAULT_ADAPTER
    """Methods of a comparison that stand for its adapter, the closest first."""

    @property
    def shown(self) -> JudgedAdapter | None:
        """Return the adapter that the report describes: the champion, or else the contender."""
        return self.champion or self.contender


@dataclass(frozen=True)
class SiteReport:
    """The report on a site."""

    site: str
    made: str
    """UTC, ISO 8601."""
    slots: tuple[SlotReport, ...]
    assumed: ReportSettings
    costs: tuple[CostLine, ...]
    copies: FullCopies | None
    """None before the first training that measured its size."""
    stated: tuple[str, ...] = ()
    """Keys of `report:` that `elp.yaml` has; the others of `assumed` are defaults."""

    @property
    def yearly(self) -> float:
        """Return the cost of all lines in a year."""
        return sum(line.cost for line in self.costs)


def make_site_report(workspace: Workspace, site: str, mlflow_uri: str) -> SiteReport:
    """Return the report on a site; raise UsageError for a site without data and adapters."""
    client = connect(mlflow_uri)
    slots = site_slots(workspace, client, site)
    if not slots:
        raise UsageError(
            f"{site} has no dataset version and no adapter; take recordings in with: elp data add {site}/asr SOURCE, "
            f"or plan them with: elp poc {site}"
        )
    comparisons, assumed = workspace_comparisons(workspace.state), workspace.settings.report
    found = tuple(_slot_report(workspace, client, slot, comparisons_of(comparisons, slot)) for slot in slots)
    sizes = [one.amounts.bundle_bytes for one in found if one.amounts.bundle_bytes]
    parameters = [one.backbone_parameters for one in found if one.backbone_parameters]
    return SiteReport(
        site=site,
        made=datetime.now(UTC).isoformat(timespec="seconds"),
        slots=found,
        assumed=assumed,
        costs=yearly_costs([one.amounts for one in found], assumed),
        copies=full_copies(assumed.sites, max(parameters, default=None), sizes),
        stated=stated_names(workspace.root / SETTINGS_FILE),
    )


def site_slots(workspace: Workspace, client: MlflowClient, site: str) -> list[Slot]:
    """Return the slots of a site that have data or adapters, by name."""
    known = {*slots_with_data(workspace.root), *list_slots(client)}
    return sorted((slot for slot in known if slot.site == site), key=str)


def _slot_report(
    workspace: Workspace, client: MlflowClient, slot: Slot, comparisons: list[RecordedComparison]
) -> SlotReport:
    versions, champion, contender = list_versions(client, slot), find_champion(client, slot), candidate(client, slot)
    judged_champion = _judged(client, champion) if champion else None
    judged_contender = _judged(client, contender) if contender else None
    shown, recorded = judged_champion or judged_contender, _recorded(workspace, slot)
    metrics = shown.metrics if shown else {}
    state = load_state(monitor_folder(workspace.state, slot))
    entry = entry_of(workspace.settings.schedule_entries(), slot)
    signed, passed = _signed_lineage(client, shown.version) if shown else (BackboneOrigin(), 1)
    policy, backbone = workspace.settings.backbones, shown.on.backbone if shown else BackboneName()
    methods = DEFAULT_ADAPTER if workspace.settings.for_slot(slot).adapter == ElpConfig() else OWN_ADAPTER
    gains, other = slot_gains(shown, comparisons, methods) if shown else ((), None)
    amounts = SlotAmounts(
        slot=str(slot),
        train_seconds=metrics.get("train_seconds"),
        train_source=shown.version.run_id if shown else "",
        trainings=starts_in_a_year(entry) if entry else workspace.settings.report.trainings,
        scheduled=entry is not None,
        bundle_bytes=metrics.get("bundle_bytes"),
        versions=len(versions),
        data_bytes=(recorded and recorded.stored_bytes) or 0,
        trained_together=passed,
    )
    return SlotReport(
        slot=slot,
        recorded=recorded,
        champion=judged_champion,
        contender=judged_contender,
        gains=gains,
        amounts=amounts,
        backbone_parameters=metrics.get("backbone_parameters"),
        licence=signed.licence or policy.origin_of(backbone).licence,
        licence_fault=find_licence_fault(backbone, signed, policy) if shown else None,
        looks=state.looks if state else 0,
        alarm_since=state.alarm_since if state else "",
        other_comparison=other,
        methods=methods,
    )


def slot_gains(
    shown: JudgedAdapter, comparisons: Sequence[RecordedComparison], methods: Sequence[str] = DEFAULT_ADAPTER
) -> tuple[tuple[MeasuredGain, ...], OtherComparison | None]:
    """Return the gains of an adapter that are known: over no adapter, over the champion before, over no training.

    `methods` are those of a comparison that stand for the adapter. The second value is a comparison of the slot that is
    about another adapter, if none is about this one.
    """
    frozen, other = frozen_gain(comparisons, shown.on, shown.verdict, methods)
    found = (
        frozen,
        gain_over_former(shown.verdict, shown.digest) if shown.verdict else None,
        gain_of_training(shown.metrics, shown.version.run_id),
    )
    return tuple(one for one in found if one), other


def _signed_lineage(client: MlflowClient, version: AdapterVersion) -> tuple[BackboneOrigin, int]:
    """Return what a version's lineage says of its backbone, and how many slots were trained in its pass."""
    wanted: dict[str, str | int] = {"model": version.slot.model_name, "version": version.version, "kind": "lineage"}
    stored = next(server_api.list_statements(client.tracking_uri, **wanted), None)
    # elp audit --verify names one that cannot be read
    with contextlib.suppress(AttestationError):
        lineage = parse_statement(read_envelope(stored.envelope).payload) if stored else None
        if isinstance(lineage, LineageStatement):
            return lineage.backbone_origin, 1 + len(lineage.training.beside)
    return BackboneOrigin(), 1


def _recorded(workspace: Workspace, slot: Slot) -> RecordedAudio | None:
    version = find_latest(workspace, slot)
    if version is None:
        return None
    golden = golden_ref(workspace, version.golden, slot) if version.golden else None
    octets = tracked_bytes(git.show(workspace.root, version.revision, metafile(slot.folder / SHARDS)))
    return recorded_audio(version, golden, octets)


def _judged(client: MlflowClient, version: AdapterVersion) -> JudgedAdapter:
    """Return a version with its newest verdict; one that cannot be read counts as none."""
    metrics = runs.run_metrics(client, version.run_id) if version.run_id else {}
    wanted: dict[str, str | int] = {"model": version.slot.model_name, "version": version.version, "kind": "verdict"}
    stored = next(server_api.list_statements(client.tracking_uri, **wanted), None)
    try:
        verdict = stored_verdict(read_envelope(stored.envelope).payload) if stored else None
    except AttestationError:
        # elp audit --verify names it
        verdict = None
    found = JudgedAdapter(version, verdict, stored.digest if stored and verdict else "", metrics, None)
    return replace(found, missing=_missing(client, found))


def _missing(client: MlflowClient, judged: JudgedAdapter) -> MissingAudio | None:
    """Return what an undecided verdict lacks, from its evidence; None if the evidence is not the one it names."""
    verdict = judged.verdict
    if verdict is None or verdict.outcome != "undecided":
        return None
    with tempfile.TemporaryDirectory(prefix="elp-report-") as folder:
        file = runs.fetch_artifact(client, judged.version.run_id, verdict.evidence.path, Path(folder))
        if file is None or hashlib.sha256(file.read_bytes()).hexdigest() != verdict.evidence.sha256:
            return None
        try:
            decided = read_evidence(file).verdict
        except ElpError:
            # of a later release: the report has no number of it
            return None
    if decided.needed is None:
        return None
    return MissingAudio(decided.needed, decided.needed_blocks if decided.unit == "speakers" else None)
