"""Answer the golden set under the simulated conditions of the policy, by challenger and champion in the same run."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from pipelines.chunk_map import ChunkMap
from pipelines.datasets.dataset_version import GoldenSet
from pipelines.gating.divided_evaluation import EvaluatedSystem
from pipelines.gating.golden_part import golden_part
from pipelines.gating.scored_versions import score_versions
from pipelines.gating.simulated_scores import SimulatedScores
from pipelines.local.settings import SlotSettings
from pipelines.number_text import count
from pipelines.registry.policies import GatePolicy


def simulated_part(golden: GoldenSet, policy: GatePolicy, pairs: bool) -> GoldenSet | None:
    """Return the clips that are answered under the policy's simulated conditions; None if it has none.

    It is called before anything is answered. Raises ConfigError if this machine cannot compute a family, GateRefused as
    `golden_part`.
    """
    from elp_core.conditions import require_families

    if policy.robustness is None:
        return None
    require_families(policy.robustness.families)
    return golden_part(golden, policy.robustness.clips, pairs)


def simulate_conditions(
    systems: Sequence[EvaluatedSystem],
    golden: GoldenSet,
    part: GoldenSet | None,
    settings: SlotSettings,
    log: Callable[[str], None],
    chunk_map: ChunkMap | None,
) -> tuple[SimulatedScores, ...]:
    """Return the scores of the challenger, and of the champion if there is one, under each family of the policy.

    `part` is the `simulated_part` of the golden set.
    """
    from elp_core.conditions import changed_clip, sweep_family

    policy = settings.gate.robustness
    if policy is None or part is None:
        return ()
    everything = sorted(golden.clips, key=lambda clip: clip.id)
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
