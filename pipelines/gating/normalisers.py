"""The normalisers behind scores: transcripts and answers in two normal forms are not compared."""

from __future__ import annotations

from typing import TYPE_CHECKING

from elp_core.languages import LanguageConfig
from pipelines.errors import GateRefused
from pipelines.registry.lineage import NormaliserName
from pipelines.registry.slot import Slot

if TYPE_CHECKING:
    from elp_core.tasks import Task

ENGLISH = NormaliserName()
"""What stands for the normaliser of English: records of English name none."""


def recorded_normaliser(task: Task) -> NormaliserName:
    """Return the normaliser that a bundle's task names."""
    values = task.to_json().get("normaliser")
    return _without_english(NormaliserName(**values)) if values else ENGLISH


def present_normaliser(task: Task) -> NormaliserName:
    """Return the normaliser that scores the task's answers on this machine; that of English if it has no language."""
    language = getattr(task, "language", None)
    if language is None:
        return ENGLISH
    return _without_english(NormaliserName(language.normaliser, language.digest))


def common_normaliser(
    slot: Slot,
    golden: NormaliserName,
    challenger: tuple[NormaliserName, NormaliserName],
    champion: tuple[NormaliserName, NormaliserName] | None,
) -> NormaliserName | None:
    """Return the one normaliser of the golden set and of both bundles; None for English.

    Of each bundle, the recorded and the present normaliser are given. Raise GateRefused if two of them differ.
    """
    for whose, (recorded, present) in {"challenger": challenger, "champion": champion or challenger}.items():
        if recorded != present:
            raise GateRefused(
                f"the {whose} of {slot} was trained under the normaliser {_shown(recorded)}, and this machine scores "
                f"under {_shown(present)}: install the packages of that release, or convert the slot with elp data "
                f"renormalise {slot} and train again"
            )
    if challenger[0] != golden:
        raise GateRefused(
            f"the challenger of {slot} was trained under the normaliser {_shown(challenger[0])}, its golden set has "
            f"transcripts under {_shown(golden)}: they are not compared; train on the present data: elp train {slot}"
        )
    if champion and champion[0] != golden:
        raise GateRefused(
            f"the champion of {slot} was trained under the normaliser {_shown(champion[0])}, the challenger and the "
            f"golden set are under {_shown(golden)}: they are not compared; retire the champion with elp retire {slot} "
            "--reason TEXT, and the challenger is judged as a first version"
        )
    return None if golden == ENGLISH else golden


def _without_english(found: NormaliserName) -> NormaliserName:
    english = LanguageConfig().resolve()
    return ENGLISH if found == NormaliserName(english.normaliser, english.digest) else found


def _shown(normaliser: NormaliserName) -> str:
    return "of English" if normaliser == ENGLISH else str(normaliser)
