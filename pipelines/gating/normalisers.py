"""The normalisers behind scores: transcripts and answers in two normal forms are not compared."""

from __future__ import annotations

from typing import TYPE_CHECKING

from elp_core.languages import LanguageConfig, NormaliserId
from pipelines.errors import GateRefused
from pipelines.registry.lineage import normaliser_text
from pipelines.registry.slot import Slot

if TYPE_CHECKING:
    from elp_core.tasks import Task


def recorded_normaliser(task: Task) -> NormaliserId | None:
    """Return the normaliser that a bundle's task names; None for English, and for a task without transcripts."""
    values = task.to_json().get("normaliser")
    return _without_english(NormaliserId(**values)) if values else None


def present_normaliser(task: Task) -> NormaliserId | None:
    """Return the normaliser that scores the task's answers on this machine; None as in `recorded_normaliser`."""
    language = getattr(task, "language", None)
    return None if language is None else _without_english(language.normaliser_id())


Normalisers = tuple[NormaliserId | None, NormaliserId | None]
"""Of one bundle: the normaliser that it records, and the one that scores it here."""


def common_normaliser(
    slot: Slot,
    golden: NormaliserId | None,
    challenger: Normalisers,
    champion: Normalisers | None,
) -> NormaliserId | None:
    """Return the one normaliser of the golden set and of both bundles; None for English.

    Of each bundle, the recorded and the present normaliser are given. Raise GateRefused if two of them differ.
    """
    for whose, (recorded, present) in {"challenger": challenger, "champion": champion or challenger}.items():
        if recorded != present:
            raise GateRefused(
                f"the {whose} of {slot} was trained under the normaliser {_shown(recorded)}, and this machine scores "
                f"under {_shown(present)}: install the language packages of that release"
            )
    if challenger[0] != golden:
        raise GateRefused(
            f"the challenger of {slot} was trained under the normaliser {_shown(challenger[0])}, its golden set has "
            f"transcripts under {_shown(golden)}: they are not compared; train on the present data: elp train {slot}, "
            f"or pin a golden set of the present data: elp data golden {slot} --from latest"
        )
    if champion and champion[0] != golden:
        raise GateRefused(
            f"the champion of {slot} was trained under the normaliser {_shown(champion[0])}, the challenger and the "
            f"golden set are under {_shown(golden)}: they are not compared; retire the champion with elp retire {slot} "
            "--reason TEXT, and the challenger is judged as a first version"
        )
    return golden


def _without_english(found: NormaliserId) -> NormaliserId | None:
    # records of English name no normaliser
    return None if found == LanguageConfig().resolve().normaliser_id() else found


def _shown(normaliser: NormaliserId | None) -> str:
    return normaliser_text(normaliser) if normaliser else "of English"
