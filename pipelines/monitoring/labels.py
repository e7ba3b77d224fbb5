"""The measured error of a champion at its site, from transcripts or labels that arrive later."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from pipelines.errors import RegistryError, UsageError
from pipelines.local.settings import Settings
from pipelines.local.slot_backbone import backbone_of_bundle
from pipelines.locks import file_lock
from pipelines.monitoring.look_list import recorded_looks
from pipelines.monitoring.monitor_slot import clip_errors, finish_look, record_entry
from pipelines.monitoring.rate_bound import RateBound, bound_mean
from pipelines.monitoring.sent_audio import SentClip, read_source
from pipelines.number_text import count
from pipelines.registry.client import model_registry
from pipelines.registry.client.bundle_models import download_bundle
from pipelines.registry.client.connection import connect
from pipelines.registry.slot import Slot

if TYPE_CHECKING:
    from elp_core.model import ElpModel
    from elp_core.tasks import Task
    from elp_core.types import Clip


@dataclass(frozen=True)
class LabelResult:
    """What the references of new sessions say, together with those before."""

    slot: str
    version: int
    metric: str
    """Mean over sessions of the mean over their clips: of wrong classes, or of the WER or CER, at most 1 a clip."""
    bound: RateBound
    """Of all sessions with references since the version was first measured; it holds at every look."""
    added: int
    """New sessions."""
    known: int
    """Sessions that were measured before with this version."""


def measure_labels(
    slot: Slot,
    settings: Settings,
    source: Path,
    *,
    mlflow_uri: str,
    cache: Path,
    folder: Path,
    column: str = "",
    log: Callable[[str], None] = print,
) -> LabelResult:
    """Compare the champion with the references in a manifest, and bound its error at the site.

    A session counts once for each version. The bound is about the sessions of the site if those with references were
    chosen without regard to the answers.

    Raises:
        UsageError: A recording has no text or label, the task has neither, or the slot was not monitored yet.
        RegistryError: The slot has no champion.
    """
    from elp_core.bundle import load_bundle

    sent = read_source(source, column)
    own, client = settings.for_slot(slot), connect(mlflow_uri)
    champion = model_registry.find_champion(client, slot)
    if champion is None:
        raise RegistryError(f"{slot} has no champion to measure; promote one: elp promote {slot}")
    clips, sessions = _with_references(sent, slot, own.language.transcript)
    bundle = download_bundle(client, champion, cache)
    model: ElpModel = load_bundle(bundle, backbone_of_bundle(settings, slot, bundle))
    log(f"measuring {champion.name} on {count(len(clips), 'recording')} with references")
    if unknown := unknown_labels(model.task, clips):
        log(f"{champion.name} does not know {', '.join(unknown[:5])}: these labels count as errors; are they right?")
    errors = clip_errors(model, clips)
    if errors is None:
        raise UsageError(f"{slot} has no error of a single clip; references are for asr, ser and sic")
    by_session: dict[str, dict[str, float]] = defaultdict(dict)
    for clip, error in errors.items():
        by_session[sessions[clip]][clip] = error
    with file_lock(folder / "lock"):
        state = finish_look(folder)
        if state is None:
            raise UsageError(f"{slot} was not monitored yet; begin with: elp monitor {slot} --from FOLDER")
        before = _measured(folder, champion.version)
        # a session that grew is known by any of its clips
        new = {
            min(rates): math.fsum(rates.values()) / len(rates)
            for rates in by_session.values()
            if before.keys().isdisjoint(rates)
        }
        bound = bound_mean([*before.values(), *new.values()])
        record_entry(
            folder,
            state,
            {
                "kind": "labels",
                "slot": str(slot),
                "at": datetime.now(UTC).isoformat(timespec="seconds"),
                "version": champion.version,
                "metric": model.task.metric,
                "rates": new,
                "bound": [bound.low, bound.high],
            },
        )
    return LabelResult(str(slot), champion.version, model.task.metric, bound, len(new), len(by_session) - len(new))


def unknown_labels(task: Task, clips: Sequence[Clip]) -> list[str]:
    """Return the labels that a task with classes does not know; none for other tasks."""
    from elp_core.tasks.classification import ClipClassification

    if not isinstance(task, ClipClassification):
        return []
    return sorted({clip.label for clip, place in zip(clips, task.places(clips), strict=True) if place < 0})


def _measured(folder: Path, version: int) -> dict[str, float]:
    """Return the error of every session that was measured with a version, in the order of the measurements."""
    return {
        clip: float(rate)
        for entry in recorded_looks(folder)
        if entry["kind"] == "labels" and entry["version"] == version
        for clip, rate in entry["rates"].items()
    }


def _with_references(
    sent: Sequence[SentClip], slot: Slot, transcript: Callable[[str], str]
) -> tuple[list[Clip], Mapping[str, str]]:
    """Return the recordings as clips with their references, and the session of each clip."""
    from elp_core import audio
    from elp_core.types import SAMPLE_RATE, Clip

    name = "text" if slot.task == "asr" else "label"
    clips, sessions = [], {}
    for one in sent:
        reference = getattr(one, name)
        if not reference:
            raise UsageError(f"{one.path} has no {name}; every line of the manifest needs one for {slot}")
        samples = audio.load(one.path)
        clip = audio.clip_id(samples)
        if clip in sessions:
            continue
        sessions[clip] = one.block
        text = transcript(reference) if name == "text" else ""
        label = reference if name == "label" else ""
        seconds = len(samples) / SAMPLE_RATE
        clips.append(Clip(clip, audio.encode_flac(samples), seconds, "test", text=text, label=label))
    return clips, sessions
