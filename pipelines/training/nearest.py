"""The nearest of several champions: the one that answers some of the new slot's validation clips best."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from elp_core.errors import CorpusError
from elp_core.files import write_whole
from elp_core.types import Clip, Seconds
from pipelines.registry.lineage import StartCandidate, ids_digest

if TYPE_CHECKING:
    from pipelines.training.start_candidates import OpenedCandidate, StartRequest

MOST_AUDIO: Seconds = 600.0
"""Validation audio that the candidates are compared on."""
Measured = tuple[float, float]
"""The metric of a candidate, and its second number, which decides between equal metrics; lower is better."""


def answered_best(
    request: StartRequest, opened: Sequence[OpenedCandidate]
) -> tuple[list[OpenedCandidate], list[StartCandidate]]:
    """Return the candidate with the lowest metric (none if none can be measured), and the values of all.

    Between equal values the slot's own champion is preferred, then the first by name.
    """
    clips = _chosen(request.validation)
    values: list[StartCandidate] = []
    best: tuple[tuple[Measured, bool, str], OpenedCandidate] | None = None
    for one in opened:
        measured = _measured(request, one, clips)
        if isinstance(measured, str):
            values.append(one.candidate(why=measured))
            continue
        values.append(one.candidate(measured[0]))
        place = measured, one.version.slot != request.slot, str(one.version.slot)
        if best is None or place < best[0]:
            best = place, one
    return [best[1]] if best else [], values


def _chosen(clips: Sequence[Clip]) -> list[Clip]:
    """Return the first clips by id that are together no longer than `MOST_AUDIO`: a sample, as ids are hashes."""
    found, total = list[Clip](), 0.0
    for clip in sorted(clips, key=lambda clip: clip.id):
        if found and total + clip.duration > MOST_AUDIO:
            break
        found.append(clip)
        total += clip.duration
    return found


def _measured(request: StartRequest, one: OpenedCandidate, clips: Sequence[Clip]) -> Measured | str:
    """Return the values of a candidate, or why it cannot be measured; a value that was measured before is kept."""
    if one.head and request.task.name != "asv":
        # answers in other classes say nothing about the clips of this slot
        return f"its answers cannot be compared: {one.head}"
    place = _place(request, one, clips)
    try:
        metric, second = json.loads(place.read_text(encoding="utf-8"))
        return float(metric), float(second)
    except (OSError, ValueError, TypeError):
        pass
    try:
        found = _evaluated(request, one, clips)
    except CorpusError as error:
        return f"the validation clips cannot be scored: {error}"
    place.parent.mkdir(parents=True, exist_ok=True)
    write_whole(place, json.dumps(found))
    return found


def _place(request: StartRequest, one: OpenedCandidate, clips: Sequence[Clip]) -> Path:
    facts = ids_digest(f"{clip.id} {clip.text} {clip.label} {clip.speaker}" for clip in clips)
    name = f"{one.version.bundle_digest}-{facts}-{request.task.metric}"
    return request.place.cache / "nearest" / f"{name.replace(':', '-')}.json"


def _evaluated(request: StartRequest, one: OpenedCandidate, clips: Sequence[Clip]) -> Measured:
    from elp_core.assemble import evaluate
    from elp_core.bundle import load_bundle
    from elp_core.tasks import SpeechRecognition, decide_by

    model = load_bundle(one.bundle, request.backbone)
    if isinstance(request.task, SpeechRecognition):
        # the metric that chooses the best epoch of the training
        model.task = decide_by(model.task, request.task.metric)
    found = evaluate(model, clips, request.train.batch_seconds, request.train.device)
    # many recognisers give no right word at a new site: their letters still differ
    return found.value, found.extra.get("cer", found.extra.get("wer", 0.0))
