"""Answer the golden set under the simulated conditions of the policy, by challenger and champion in the same run."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from pipelines.chunk_map import ChunkMap
from pipelines.datasets.dataset_version import GoldenSet
from pipelines.gating.divided_evaluation import EvaluatedSystem
from pipelines.gating.scored_versions import score_versions
from pipelines.gating.simulated_scores import SimulatedScores
from pipelines.local.settings import SlotSettings
from pipelines.number_text import count


def simulate_conditions(
    systems: Sequence[EvaluatedSystem],
    golden: GoldenSet,
    settings: SlotSettings,
    log: Callable[[str], None],
    chunk_map: ChunkMap | None,
) -> tuple[SimulatedScores, ...]:
    """Return the scores of the challenger, and of the champion if there is one, under each family of the policy."""
    from elp_core.conditions import changed_clip, sweep_family

    policy = settings.gate.robustness
    if policy is None:
        return ()
    part, everything = first_by_hash(golden, policy.clips), first_by_hash(golden, 0).clips
    found = list[SimulatedScores]()
    log(f"evaluating {count(len(policy.families), 'simulated condition')} on {count(len(part.clips), 'clip')} each")
    for name in policy.families:
        family = sweep_family(name)
        # other voices are drawn from the whole golden set: what a clip gets does not depend on how many are answered
        clips = [changed_clip(clip, family, policy.severity, everything) for clip in part.clips]
        challenger, *others = score_versions(systems, replace(part, clips=clips), settings, chunk_map, None)
        champion = others[0].scores if others else None
        found.append(SimulatedScores(name, policy.severity, challenger.scores, champion))
    return tuple(found)


def first_by_hash(golden: GoldenSet, count: int) -> GoldenSet:
    """Return the `count` first clips by their hash (0: all, in that order), and the trials between them."""
    clips = sorted(golden.clips, key=lambda clip: clip.id)
    clips = clips[: count or None]
    trials = golden.trials.between({clip.id for clip in clips}) if golden.trials else None
    return replace(golden, clips=clips, trials=trials)
