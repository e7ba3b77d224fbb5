"""Label recordings of a site by the slot's champion, where two of its decodings agree, and take them in.

They become a delivery of their own. Each clip carries the digest of the bundle (`Clip.teacher`), is a training clip,
and has no speaker: who speaks is as unknown as at an intake without names. No shard can hold such a clip in another
split, so no golden set has one. A person who labels the recording later replaces the pseudo-label.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from elp_core.types import Seconds
from pipelines.datasets.delivery import DeliveryOptions, Importer, SourceClip
from pipelines.datasets.ingest import add_from_importer
from pipelines.datasets.versions import find_latest
from pipelines.errors import UsageError
from pipelines.local.workspace import Workspace
from pipelines.registry.slot import Slot
from pipelines.selection.agreement import (
    AgreedLabel,
    AgreementLimits,
    balanced_share,
    disagreement,
    disturbed,
    length_strata,
)
from pipelines.selection.draft_answers import Assessor, champion_assessor, chunks, covered_features
from pipelines.selection.site_recordings import (
    HeldClips,
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
    from pipelines.datasets.dataset_version import DatasetVersion

FORMAT = "pseudo-labels"
"""In place of a format in the record of the delivery."""
_MOST_ORDERED = 5000
"""Agreed recordings that are ordered by coverage; the others come after them, by id."""


@dataclass(frozen=True)
class PseudoLabelling:
    """What a champion labelled."""

    slot: Slot
    champion: int
    teacher: str
    """Digest of its bundle."""
    limits: AgreementLimits
    considered: int
    agreed: int
    taken: int
    seconds: Seconds
    """Audio of the taken recordings."""
    budget: Seconds
    """What the share allowed, less the pseudo-labels that the slot had."""
    strata: dict[str, int]
    """Chosen recordings by class, or by quarter of the lengths."""
    refused: dict[str, int]
    """Considered recordings without a pseudo-label, by reason."""
    left_out: tuple[LeftOut, ...]
    dataset: DatasetVersion | None = None
    """The new version; None if nothing was taken, or nothing was stored."""


@dataclass(frozen=True, eq=False)
class _Decoded:
    """A recording that was decoded twice; its sound is not kept."""

    id: str
    name: str
    file: Path
    seconds: Seconds
    features: npt.NDArray[np.float32]
    answer: DraftAnswer
    refused: str


def pseudo_label(
    workspace: Workspace,
    slot: Slot,
    folder: Path,
    limits: AgreementLimits | None = None,
    *,
    dry_run: bool = False,
    report: ReadReport | None = None,
) -> PseudoLabelling:
    """Make a new version of the slot's data with pseudo-labels for recordings of a folder; a dry run makes none.

    Raises UsageError if the task compares recordings, or if the slot has no champion or no labelled training clip;
    other errors are those of `add_delivery`.
    """
    limits, classes = limits or AgreementLimits(), "label" in slot.task_spec.needs
    if not classes and "text" not in slot.task_spec.needs:
        raise UsageError(f"{slot} compares recordings, so its champion gives none a label; use asr, ser or sic")
    champion, held = champion_assessor(workspace, slot), held_clips(workspace, slot)
    if champion is None:
        raise UsageError(f"{slot} has no champion to label with; train and promote one: elp retrain, elp promote")
    budget = max(0.0, limits.share * held.labelled_seconds - held.taught_seconds)
    if not held.labelled:
        raise UsageError(f"{slot} has no training clip that a person labelled; add some first: elp data add")
    left_out: list[LeftOut] = []
    found = usable_recordings(read_site(workspace, slot, folder, held, report, for_training=True), left_out)
    decoded = [one for chunk in chunks(found) for one in _decoded_twice(champion, chunk, limits, left_out, classes)]
    decoded.sort(key=lambda one: one.id)
    agreed = [one for one in decoded if not one.refused]
    strata = {one.id: one.answer.text for one in agreed} if classes else _quarters(decoded)
    order = _by_coverage(agreed, held, champion)
    preferred = [AgreedLabel(one.id, strata[one.id], one.seconds) for one in order]
    taken = {*balanced_share(preferred, budget)}
    chosen = [one for one in order if one.id in taken]
    reasons = Counter(one.refused for one in decoded if one.refused) + Counter(over_share=len(agreed) - len(chosen))
    done = PseudoLabelling(
        slot=slot,
        champion=champion.version or 0,
        teacher=champion.bundle,
        limits=limits,
        considered=len(decoded),
        agreed=len(agreed),
        taken=len(chosen),
        seconds=round(sum(one.seconds for one in chosen), 3),
        budget=round(budget, 3),
        strata=dict(sorted(Counter(strata[one.id] for one in chosen).items())),
        refused=dict(sorted(reasons.items())),
        left_out=tuple(left_out),
    )
    if dry_run or not chosen:
        return done
    clips = [_clip(one, champion, classes) for one in sorted(chosen, key=lambda one: one.name)]
    before = find_latest(workspace, slot)
    stored = add_from_importer(workspace, slot, folder, _importer(clips), DeliveryOptions(), report)
    return as_stored(done, before, stored)


def as_stored(done: PseudoLabelling, before: DatasetVersion | None, stored: DatasetVersion) -> PseudoLabelling:
    """Return the outcome with what intake took in: it may send clips to quarantine, or find nothing new."""
    last, new = stored.deliveries[-1], stored.version > (before.version if before else 0)
    taken = last.clips if new else 0
    audio = stored.taught_seconds - (before.taught_seconds if before else 0.0) if new else 0.0
    refused = {**done.refused, "not_stored": done.taken - taken} if taken < done.taken else done.refused
    return replace(done, taken=taken, seconds=round(audio, 3), refused=refused, dataset=stored if taken else None)


def _decoded_twice(
    champion: Assessor, chunk: Sequence[SiteRecording], limits: AgreementLimits, left_out: list[LeftOut], classes: bool
) -> Iterator[_Decoded]:
    from elp_core.inference.assess_clips import assess_waveforms

    least = champion.min_samples
    usable = [one for one in chunk if len(one.samples) >= least]
    left_out += [
        LeftOut(one.name, "too_short", f"it has {len(one.samples)} samples, expected {least}")
        for one in chunk
        if len(one.samples) < least
    ]
    clean = assess_waveforms(champion.model, [one.samples for one in usable])
    other = assess_waveforms(champion.model, [disturbed(one.samples, one.id, least) for one in usable])
    for one, first, second in zip(usable, clean, other, strict=True):
        assert first.answer is not None
        assert second.answer is not None
        refused = disagreement(first.answer, second.answer, limits, classes=classes)
        yield _Decoded(one.id, one.name, one.file, one.seconds, first.features, first.answer, refused)


def _quarters(decoded: Sequence[_Decoded]) -> dict[str, str]:
    # the quarters are those of all recordings: agreement favours the short ones
    return length_strata({one.id: one.seconds for one in decoded})


def _by_coverage(agreed: Sequence[_Decoded], held: HeldClips, champion: Assessor) -> list[_Decoded]:
    """Return the recordings in an order in which any beginning covers them well; near copies are left out."""
    import numpy as np

    from pipelines.selection.coverage_pick import pick_clips, principal_points

    if not agreed:
        return []
    first, rest = agreed[:_MOST_ORDERED], agreed[_MOST_ORDERED:]
    features, covered = np.stack([one.features for one in first]), covered_features(held, champion)
    points, known = principal_points(features, np.stack(covered) if covered else features[:0])
    picked = pick_clips(points, known, [1.0] * len(first), len(first))
    return [*(first[pick.place] for pick in picked.picks), *rest]


def _clip(one: _Decoded, champion: Assessor, classes: bool) -> SourceClip:
    text, label = ("", one.answer.text) if classes else (one.answer.text, "")
    return SourceClip(one.name, one.file, text=text, label=label, split="train", teacher=champion.bundle)


def _importer(clips: Sequence[SourceClip]) -> Importer:
    return Importer(FORMAT, "recordings that a champion labelled", lambda _: False, lambda _: iter(clips))
