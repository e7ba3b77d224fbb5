"""Answer a slot's golden set under each condition of the sweep by its champion, and by another version."""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from elp_core.conditions import SEVERITIES, SWEEP_FAMILIES
from pipelines.errors import RegistryError, UsageError
from pipelines.local.workspace import Workspace
from pipelines.number_text import count
from pipelines.progress_text import Report
from pipelines.registry.adapter_version import AdapterVersion
from pipelines.registry.client import model_registry, runs
from pipelines.registry.client.connection import connect
from pipelines.registry.plain_json import plain
from pipelines.registry.slot import Slot
from pipelines.robustness.sweep_cells import CLEAN, SimulatedCondition, SweepData, cell_code, run_cells
from pipelines.robustness.sweep_report import write_sweep
from pipelines.robustness.sweep_result import RobustnessSweep, SweepSubject, sweep_result

if TYPE_CHECKING:
    from mlflow import MlflowClient

    from pipelines.datasets.dataset_version import GoldenRef, GoldenSet
    from pipelines.gating.divided_evaluation import EvaluatedSystem

CLIPS = 300
"""Clips that are answered unless another number is asked for: 300 take some minutes on two cores."""


@dataclass(frozen=True)
class SweepRequest:
    """What to sweep."""

    version: int | None = None
    """A version to compare with the champion."""
    clips: int = CLIPS
    """Most golden clips that are answered, chosen by hash; 0 answers all."""
    families: tuple[str, ...] = ()
    """Names of families; empty for all."""


def sweep_slot(
    workspace: Workspace,
    slot: Slot,
    request: SweepRequest,
    *,
    mlflow_uri: str,
    log: Callable[[str], None] = print,
    progress: Report | None = None,
) -> tuple[RobustnessSweep, Path]:
    """Return the result and the folder with its report, which is also in a run of the slot's experiment.

    Results under each family and severity are kept by their inputs, so a sweep that was stopped continues. Raises
    UsageError for an unknown family, ConfigError for one that this machine cannot compute, RegistryError if there is
    nothing to sweep, GateRefused as `golden_part` or if versions and golden set are under different normalisers.
    """
    from elp_core.conditions import require_families
    from pipelines.datasets.golden_trials import judges_pairs
    from pipelines.datasets.versions import golden_ref, load_golden
    from pipelines.gating.golden_part import golden_part

    cells = _cells(request.families)
    require_families([cell.family for cell in cells])
    client, settings = connect(mlflow_uri), workspace.settings.for_slot(slot)
    versions = _versions(client, slot, request.version)
    repository = str(workspace.root)
    pinned = golden_ref(repository, "latest", slot)
    golden = load_golden(repository, pinned.tag, slot, workspace.cache)
    part = golden_part(golden, request.clips, judges_pairs(slot))
    systems = [_opened(workspace, slot, client, one) for one in versions]
    _require_same_normaliser(slot, pinned, systems)
    inputs = {
        "metric": settings.gate.metric,
        "batch_seconds": settings.train.batch_seconds,
        "normaliser": pinned.language.normaliser.digest if pinned.language.normaliser else "",
        "golden": pinned.digest + pinned.words,
    }
    data = _data(golden, part, inputs, settings.train.device, workspace.cache)
    names = " and ".join(system.name for system in systems)
    log(f"sweeping {names} over {count(len(cells), 'condition')} of {count(len(data.clips), 'clip')} of {golden.tag}")
    found = run_cells(systems, data, [CLEAN, *cells], settings, log, progress)
    subject = SweepSubject(
        slot=str(slot),
        golden=golden.tag,
        golden_digest=golden.digest,
        golden_clips=len(golden.clips),
        backbone=" and ".join(dict.fromkeys(system.model.backbone.id for system in systems)),
        closed_set=pinned.closed_set,
        versions=tuple((f"v{one.version}", one.version, one.bundle_digest) for one in versions),
    )
    result = sweep_result(subject, found, settings.gate)
    folder = workspace.state / "sweeps" / _digest(result)[:16]
    write_sweep(result, folder)
    _log_run(client, slot, result, folder)
    return result, folder


def _cells(names: Sequence[str]) -> list[SimulatedCondition]:
    known = [family.name for family in SWEEP_FAMILIES]
    unknown = [name for name in names if name not in known]
    if unknown:
        raise UsageError(f"{unknown[0]!r} is not a family of the sweep; expected some of {', '.join(known)}")
    return [SimulatedCondition(name, severity) for name in known if name in (names or known) for severity in SEVERITIES]


def _versions(client: MlflowClient, slot: Slot, number: int | None) -> list[AdapterVersion]:
    """Return the champion, if there is one, and the version that is compared with it."""
    champion = model_registry.find_champion(client, slot)
    other = model_registry.get(client, slot, number) if number is not None else None
    found = [one for one in (champion, other) if one is not None]
    if not found:
        raise RegistryError(
            f"{slot} has no champion to sweep; name a version: elp sweep {slot} --version N (elp versions list {slot})"
        )
    return found[:1] if len(found) == 2 and found[0].version == found[1].version else found


def _opened(workspace: Workspace, slot: Slot, client: MlflowClient, version: AdapterVersion) -> EvaluatedSystem:
    """Return a version on its own backbone: while a site changes to another one, its versions are on two."""
    from pipelines.gating.scored_versions import open_versions
    from pipelines.local.slot_backbone import backbone_of_bundle
    from pipelines.registry.client.bundle_models import download_bundle

    settings, cache = workspace.settings, workspace.cache
    backbone = backbone_of_bundle(settings, slot, download_bundle(client, version, cache))
    return open_versions(client, [version], backbone, settings.for_slot(slot).gate, cache)[0]


def _require_same_normaliser(slot: Slot, golden: GoldenRef, systems: Sequence[EvaluatedSystem]) -> None:
    from pipelines.gating.normalisers import common_normaliser, present_normaliser, recorded_normaliser

    first, *others = [(recorded_normaliser(one.model.task), present_normaliser(one.model.task)) for one in systems]
    common_normaliser(slot, golden.language.normaliser, others[0] if others else first, first)


def _data(golden: GoldenSet, part: GoldenSet, inputs: Mapping[str, Any], device: str, cache: Path) -> SweepData:
    from elp_core.assemble import pick_device
    from pipelines.gating.batch_answers import this_arithmetic
    from pipelines.training.provenance import code_digest

    arithmetic = this_arithmetic(pick_device(device).type)
    whole = {
        **inputs,
        "trials": part.trials.digest if part.trials else "",
        "clips": hashlib.sha256("\n".join(clip.id for clip in part.clips).encode()).hexdigest(),
        "code": [code_digest(), cell_code()],
        "device": [arithmetic.device, arithmetic.processor],
        # codecs are soundfile's
        "packages": {name: importlib.metadata.version(name) for name in ("soundfile", "torch")},
    }
    everything = sorted(golden.clips, key=lambda clip: clip.id)
    return SweepData(part.clips, everything, part.trials, whole, cache / "sweeps")


def _digest(result: RobustnessSweep) -> str:
    return hashlib.sha256(json.dumps(plain(result), sort_keys=True).encode()).hexdigest()


def _log_run(client: MlflowClient, slot: Slot, result: RobustnessSweep, folder: Path) -> None:
    """Log the sweep as a run of the slot's experiment; the same result is the same run."""
    names = ", ".join(system.name for system in result.systems)
    tags = {"elp.slot": str(slot), "elp.golden": result.golden, "elp.kind": "sweep", "elp.swept": names}
    run = runs.open_run(client, slot, f"sweep-{_digest(result)}", f"robustness of {names}", tags)
    numbers: dict[str, float] = {}
    for place, system in enumerate(result.systems):
        numbers[f"{system.name}.clean.{result.metric}"] = system.clean.value
        numbers[f"{system.name}.mean_degradation"] = result.overall.degradations[place].value
        numbers[f"{system.name}.normalised_degradation"] = result.overall.normalised[place]
        for cell in result.cells:
            numbers[f"{system.name}.{cell.family}.{cell.severity}.{result.metric}"] = cell.values[place]
    runs.log_metrics(client, run, numbers)
    runs.log_folder(client, run, folder, "sweep")
    runs.close_run(client, run)
