"""Registered versions with their scores on a golden set, all from one run."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mlflow import MlflowClient

from elp_core.backbones import Backbone
from elp_core.bundle import deployed_threshold, load_bundle
from elp_core.model import ElpModel
from elp_core.tasks import decide_by
from pipelines.chunk_map import ChunkMap
from pipelines.datasets.dataset_version import GoldenSet
from pipelines.gating.divided_evaluation import EvaluatedSystem, answer_systems, judge_answers, own_processes
from pipelines.gating.normalisers import Normalisers, present_normaliser, recorded_normaliser
from pipelines.local.settings import SlotSettings
from pipelines.progress_text import Report
from pipelines.registry.adapter_version import AdapterVersion
from pipelines.registry.client.bundle_models import download_bundle
from pipelines.registry.evidence_scores import Scores
from pipelines.registry.policies import GatePolicy


@dataclass(frozen=True)
class ScoredVersion:
    """A version evaluated on the golden set: answers, scores, metrics, threshold, and the normalisers behind them."""

    model: ElpModel
    bundle: Path
    answers: Mapping[str, Any]
    """By clip id, such as an embedding [dim]."""
    scores: Scores
    also: Mapping[str, float]
    threshold: float | None
    normalisers: Normalisers


def open_versions(
    client: MlflowClient, versions: Sequence[AdapterVersion], backbone: Backbone, policy: GatePolicy, cache: Path
) -> list[EvaluatedSystem]:
    """Return the versions' models on the backbone, deciding by the metric of the policy."""
    systems = list[EvaluatedSystem]()
    for version in versions:
        bundle = download_bundle(client, version, cache)
        model = load_bundle(bundle, backbone)
        model.task = decide_by(model.task, policy.metric or None)
        systems.append(EvaluatedSystem(version.name, version.bundle_digest, bundle, model))
    return systems


def score_versions(
    systems: Sequence[EvaluatedSystem],
    golden: GoldenSet,
    settings: SlotSettings,
    chunk_map: ChunkMap | None,
    progress: Report | None,
) -> list[ScoredVersion]:
    """Evaluate systems on the golden set, by `chunk_map` or by the processes that `settings.compute` allows."""
    clips, names = len(golden.clips), [system.name for system in systems]

    def report(name: str, done: int) -> None:
        if progress:
            progress(names.index(name) * clips + done, len(names) * clips, name)

    engine = chunk_map or own_processes(settings.compute, settings.train.device)
    answers = answer_systems(systems, golden.clips, settings.train, engine, report)
    evaluations = judge_answers(systems, answers, golden.clips, golden.trials, settings.train)
    return [
        ScoredVersion(
            model=system.model,
            bundle=system.bundle,
            answers=given,
            scores=found.scores,
            also={name: round(value, 6) for name, value in found.extra.items()},
            threshold=deployed_threshold(system.model.task, system.bundle),
            normalisers=(recorded_normaliser(system.model.task), present_normaliser(system.model.task)),
        )
        for system, given, found in zip(systems, answers, evaluations, strict=True)
    ]
