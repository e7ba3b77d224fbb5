"""Suggest which recordings of a folder to label next: the ones whose labels are worth most to the slot."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from elp_core.types import Decibels, Seconds
from pipelines.errors import UsageError
from pipelines.local.workspace import Workspace
from pipelines.number_text import count
from pipelines.registry.slot import Slot
from pipelines.selection.draft_answers import (
    Assessor,
    backbone_assessor,
    champion_assessor,
    chunks,
    covered_features,
)
from pipelines.selection.site_recordings import (
    LeftOut,
    ReadReport,
    SiteRecording,
    held_clips,
    read_site,
    usable_recordings,
)

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from elp_core.inference.assess_clips import DraftAnswer
    from pipelines.selection.coverage_pick import Pick

_LEAST = 0.02
"""Weight of a recording that the champion is sure of: it may still stand for many."""
_CLEAR: Decibels = 30.0
"""Signal-to-noise ratio from which a recording has full weight, if quality decides (ASV)."""


@dataclass(frozen=True)
class SuggestedClip:
    """A recording to label."""

    path: str
    """Relative to the folder, with forward slashes."""
    id: str
    score: float
    """Uncertainty times what it adds to the coverage, as a share of all recordings."""
    seconds: Seconds
    uncertainty: float | None
    """0 to 1; None if no champion answers."""
    stands_for: int
    """Recordings of the folder that are most like this one."""
    draft: str
    """The champion's words or class; empty if it has none."""
    confidence: float | None
    reasons: str
    """Why it was picked, in words."""


@dataclass(frozen=True)
class LabelSuggestion:
    """What to label next, and what was left out."""

    slot: Slot
    folder: str
    version: int | None
    """Of the champion; None if coverage alone decides."""
    basis: str
    """What decided, in words."""
    considered: int
    """Recordings that could be picked."""
    clips: tuple[SuggestedClip, ...]
    """The most valuable first."""
    left_out: tuple[LeftOut, ...]
    classes: tuple[str, ...] = ()
    """Classes to choose from, if the task has some."""


@dataclass(frozen=True, eq=False)
class _Candidate:
    """What is kept of a recording: its sound is not."""

    id: str
    name: str
    seconds: Seconds
    snr_db: Decibels
    features: npt.NDArray[np.float32]
    answer: DraftAnswer | None


def suggest_clips(
    workspace: Workspace,
    slot: Slot,
    folder: Path,
    number: int,
    *,
    use_champion: bool = True,
    report: ReadReport | None = None,
    log: Callable[[str], None] = print,
) -> LabelSuggestion:
    """Return up to `number` recordings of a folder that are worth labelling for the slot.

    Recordings that the slot has are left out; those with a pseudo-label are not. Without a champion, or without
    `use_champion`, coverage alone decides. The same folder, data and champion give the same answer.

    Raises UsageError if the folder has no recording or `number` is below 1, ServiceError if the champion is wanted and
    no registry answers.
    """
    import numpy as np

    from pipelines.selection.coverage_pick import pick_clips, principal_points

    if number < 1:
        raise UsageError(f"-n is {number}, expected 1 or more")
    champion = champion_assessor(workspace, slot) if use_champion else None
    classes = (champion and champion.classes) or _known_classes(workspace, slot)
    if "label" in slot.task_spec.needs and not classes:
        raise UsageError(
            f"{slot} has no data, so the classes that people may choose from are not known; add clips of each class "
            "first: elp data add"
        )
    assessor = champion or backbone_assessor(workspace, slot)
    held = held_clips(workspace, slot)
    left_out: list[LeftOut] = []

    found = usable_recordings(read_site(workspace, slot, folder, held, report), left_out)
    candidates = [one for chunk in chunks(found) for one in _assessed(assessor, chunk, left_out)]
    # the order of files is no part of the choice
    candidates.sort(key=lambda one: one.id)
    covered = covered_features(held, assessor)
    log(f"choosing among {count(len(candidates), 'recording')}, given {count(len(covered), 'labelled clip')}")
    clips: tuple[SuggestedClip, ...] = ()
    if candidates:
        features = np.stack([one.features for one in candidates])
        points, known = principal_points(features, np.stack(covered) if covered else features[:0])
        picked = pick_clips(points, known, [_weight(slot, one) for one in candidates], number)
        clips = tuple(_suggested(slot, candidates[pick.place], pick) for pick in picked.picks)
        names = [one.name for one in candidates]
        left_out += [
            LeftOut(names[place], "near_copy", f"almost the same as {names[of] if of >= 0 else 'a clip of the slot'}")
            for place, of in picked.copies.items()
        ]
    return LabelSuggestion(
        slot=slot,
        folder=str(folder),
        version=assessor.version,
        basis=_basis(slot, champion, wanted=use_champion),
        considered=len(candidates),
        clips=clips,
        left_out=tuple(sorted(left_out, key=lambda one: one.name)),
        classes=classes,
    )


def _assessed(assessor: Assessor, chunk: Sequence[SiteRecording], left_out: list[LeftOut]) -> list[_Candidate]:
    from elp_core.inference.assess_clips import assess_waveforms

    usable: list[SiteRecording] = []
    least = assessor.min_samples
    for one in chunk:
        if len(one.samples) < least:
            left_out.append(LeftOut(one.name, "too_short", f"it has {len(one.samples)} samples, expected {least}"))
        else:
            usable.append(one)
    answers = assess_waveforms(assessor.model, [one.samples for one in usable])
    return [
        _Candidate(one.id, one.name, one.seconds, one.snr_db, found.features, found.answer)
        for one, found in zip(usable, answers, strict=True)
    ]


def _weight(slot: Slot, one: _Candidate) -> float:
    if one.answer is not None:
        return max(_LEAST, one.answer.uncertainty)
    if "speaker" in slot.task_spec.needs:
        return max(_LEAST, min(1.0, one.snr_db / _CLEAR))
    return 1.0


def _basis(slot: Slot, champion: Assessor | None, *, wanted: bool) -> str:
    if "speaker" in slot.task_spec.needs:
        return "coverage and quality: an adapter of asv answers pairs, so one recording has no uncertainty"
    if champion is None:
        why = f"{slot} has no champion" if wanted else "without the champion, as asked"
        return f"coverage alone: {why}"
    return f"coverage times the uncertainty of the champion, v{champion.version}"


def _suggested(slot: Slot, one: _Candidate, pick: Pick) -> SuggestedClip:
    answer, reasons = one.answer, list[str]()
    if answer is not None and not answer.text:
        reasons.append("speech without a word in the draft")
    elif answer is not None:
        reasons.append(f"uncertainty {answer.uncertainty:.2f}")
    elif "speaker" in slot.task_spec.needs:
        reasons.append(f"signal-to-noise ratio {one.snr_db:.0f} dB")
    reasons.append(f"nearest to {count(pick.stands_for, 'recording')} of the folder")
    return SuggestedClip(
        path=one.name,
        id=one.id,
        score=round(pick.score, 6),
        seconds=round(one.seconds, 3),
        uncertainty=None if answer is None else round(answer.uncertainty, 4),
        stands_for=pick.stands_for,
        draft=answer.text if answer else "",
        confidence=None if answer is None else round(answer.confidence, 4),
        reasons="; ".join(reasons),
    )


def _known_classes(workspace: Workspace, slot: Slot) -> tuple[str, ...]:
    """Return the classes of the slot's data."""
    from pipelines.datasets.versions import find_latest

    current = find_latest(workspace, slot)
    return tuple(sorted({label for labels in current.classes.values() for label in labels})) if current else ()
