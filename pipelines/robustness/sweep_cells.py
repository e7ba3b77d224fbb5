"""The scores of systems on a golden set under each condition of a sweep; kept, so that none is computed twice."""

from __future__ import annotations

import importlib.metadata
import json
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from elp_core.errors import CorpusError
from elp_core.files import write_whole
from elp_core.types import Clip
from pipelines.gating import batch_answers, divided_evaluation
from pipelines.gating.divided_evaluation import EvaluatedSystem, answer_systems, judge_answers, own_processes
from pipelines.local.settings import SlotSettings
from pipelines.progress_text import Report
from pipelines.registry import evidence_scores
from pipelines.registry.evidence_scores import Scores, pack_scores, unpack_scores
from pipelines.registry.signing.canonical_json import canonical_json, sha256

if TYPE_CHECKING:
    from elp_core.data.trials import TrialList

CLEAN_FAMILY = ""


@dataclass(frozen=True)
class SimulatedCondition:
    """A family at a severity; the empty family at 0 is the golden set as it is."""

    family: str
    severity: int


CLEAN = SimulatedCondition(CLEAN_FAMILY, 0)


@dataclass(frozen=True)
class CellScores:
    """What the systems scored under one condition."""

    scores: tuple[Scores, ...]
    """One for each system, in their order."""
    distances: tuple[float, ...]
    """Mean log-spectral distance from the clean clips, in dB, as each system's file has it."""

    @property
    def distance(self) -> float:
        """Return the distance: the same clips were changed for each system."""
        return self.distances[0]


@dataclass(frozen=True)
class SweepData:
    """The clips of a sweep, and what its results are kept under."""

    clips: Sequence[Clip]
    everything: Sequence[Clip]
    """The whole golden set, from which other voices are drawn."""
    trials: TrialList | None
    inputs: Mapping[str, Any]
    """What determines the scores, in addition to the condition and the bundle, whose digest covers its backbone."""
    folder: Path


def run_cells(
    systems: Sequence[EvaluatedSystem],
    data: SweepData,
    cells: Sequence[SimulatedCondition],
    settings: SlotSettings,
    log: Callable[[str], None],
    progress: Report | None,
) -> dict[SimulatedCondition, CellScores]:
    """Return the scores under each cell; what an earlier sweep has computed is read from its files."""
    kept = {cell: [_find(data, cell, system.digest) for system in systems] for cell in cells}
    waiting = sum(one is None for row in kept.values() for one in row)
    log(f"{len(cells) * len(systems) - waiting} of {len(cells) * len(systems)} results are kept from earlier sweeps")
    total, done, found = waiting * len(data.clips), 0, dict[SimulatedCondition, CellScores]()
    for cell, row in kept.items():
        missing = [system for system, one in zip(systems, row, strict=True) if one is None]

        def answered(name: str, count: int, before: int = done, cell: SimulatedCondition = cell) -> None:
            if progress:
                progress(before + count, total, f"{cell.family or 'clean'} {cell.severity or ''} {name}")

        if missing:
            made = _run_cell(missing, data, cell, settings, answered)
            done += len(missing) * len(data.clips)
            row = [one or made.pop(0) for one in row]
        found[cell] = CellScores(*(tuple(column) for column in zip(*row, strict=True)))
    return found


def _run_cell(
    systems: Sequence[EvaluatedSystem],
    data: SweepData,
    cell: SimulatedCondition,
    settings: SlotSettings,
    answered: Callable[[str, int], None],
) -> list[tuple[Scores, float]]:
    """Answer the clips under one condition by each system, and keep the scores."""
    from elp_core.conditions import changed_clip, spectral_distance, sweep_family

    clips, distance = list(data.clips), 0.0
    if cell != CLEAN:
        family = sweep_family(cell.family)
        clips = [changed_clip(clip, family, cell.severity, data.everything) for clip in data.clips]
        distances = [spectral_distance(*pair) for pair in zip(data.clips, clips, strict=True)]
        distance = sum(distances) / len(distances)
    names = [system.name for system in systems]
    engine = own_processes(settings.compute, settings.train.device)

    def report(name: str, count: int) -> None:
        answered(name, names.index(name) * len(clips) + count)

    answers = answer_systems(systems, clips, settings.train, engine, report)
    judged = judge_answers(systems, answers, clips, data.trials, settings.train)
    made = [(one.scores, round(distance, 6)) for one in judged]
    for system, (scores, far) in zip(systems, made, strict=True):
        content = json.dumps({"scores": pack_scores(scores), "distance": far})
        write_whole(_path(data, cell, system.digest), content)
    return made


def _find(data: SweepData, cell: SimulatedCondition, bundle: str) -> tuple[Scores, float] | None:
    """Return the kept scores of a bundle; None if there are none, or if the file is damaged."""
    try:
        kept = json.loads(_path(data, cell, bundle).read_text(encoding="utf-8"))
        return unpack_scores(kept["scores"]), float(kept["distance"])
    except (OSError, ValueError, KeyError, TypeError, CorpusError):
        return None


def cell_code() -> str:
    """Return ``sha256:…`` of the modules outside of `elp_core` that determine the scores of a cell."""
    modules = (sys.modules[__name__], divided_evaluation, batch_answers, evidence_scores)
    return "sha256:" + sha256(b"".join(Path(str(one.__file__)).read_bytes() for one in modules))


def _path(data: SweepData, cell: SimulatedCondition, bundle: str) -> Path:
    from elp_core.conditions import sweep_family

    key = {**data.inputs, "bundle": bundle, "family": cell.family, "severity": cell.severity}
    if cell != CLEAN and sweep_family(cell.family).rooms:
        key["rooms"] = importlib.metadata.version("pyroomacoustics")
    return data.folder / f"{sha256(canonical_json(key))}.json"
