"""The monitor of a slot: its reference, a look at what the site sent, and the records of both."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from pipelines.datasets.dataset_version import GoldenRef
from pipelines.errors import RegistryError, UsageError
from pipelines.local.settings import Settings
from pipelines.local.slot_backbone import backbone_of_bundle
from pipelines.locks import file_lock
from pipelines.monitoring.block_scores import ScoredClip
from pipelines.monitoring.clip_scores import NamedSound, golden_blocks, measure_sounds
from pipelines.monitoring.look import AudioLook, take_look
from pipelines.monitoring.look_list import append_entry, chained, entry_digest
from pipelines.monitoring.look_report import draw_look, look_sentence, write_report
from pipelines.monitoring.look_run import log_entries, log_look
from pipelines.monitoring.reference_record import (
    ReferenceRecord,
    ReferenceSource,
    load_reference,
    make_reference,
    save_reference,
)
from pipelines.monitoring.retrain_decision import RetrainDecision
from pipelines.monitoring.sent_audio import AudioSource
from pipelines.monitoring.slot_state import SlotState, load_state, restarted, save_state, state_for
from pipelines.number_text import count
from pipelines.registry.adapter_version import AdapterVersion
from pipelines.registry.client import model_registry
from pipelines.registry.client.bundle_models import download_bundle
from pipelines.registry.client.connection import connect
from pipelines.registry.monitor_names import report_name
from pipelines.registry.plain_json import plain
from pipelines.registry.slot import Slot

if TYPE_CHECKING:
    from elp_core.model import ElpModel
    from elp_core.types import Clip, Split

Log = Callable[[str], None]
_USUAL_CLIPS = 2000
"""Clips of the train split that the usual features are taken from: the ones with the lowest identifiers."""


@dataclass(frozen=True)
class LookResult:
    """A look, and the files of the slot's monitor."""

    look: AudioLook
    unreadable: tuple[str, ...]
    """Why recordings were left out."""
    report: Path
    """The page of the look."""
    run: str
    """Run of the looks in MLflow."""

    @property
    def sentence(self) -> str:
        """Return the outcome of the look."""
        return look_sentence(self.look)


def monitor_slot(
    repository: str,
    slot: Slot,
    settings: Settings,
    source: AudioSource,
    *,
    mlflow_uri: str,
    cache: Path,
    folder: Path,
    log: Log = print,
) -> LookResult:
    """Compare the clips of a source with the golden set, by the slot's champion, and record the look.

    The reference is measured first if the champion, the golden set or the size of the blocks is new. `folder` is the
    slot's `monitor_folder`.

    Raises:
        UsageError: The source has no sessions, or the golden set has too few blocks.
        RegistryError: The slot has no champion.
        VersioningError: The golden set or the dataset version cannot be fetched.
    """
    from elp_core.bundle import load_bundle

    client = connect(mlflow_uri)
    champion = model_registry.find_champion(client, slot)
    if champion is None:
        raise RegistryError(
            f"{slot} has no champion to monitor with; train and promote one: elp retrain {slot}, elp promote {slot}"
        )
    bundle = download_bundle(client, champion, cache)
    model = load_bundle(bundle, backbone_of_bundle(settings, slot, bundle))
    with file_lock(folder / "lock"):
        record = _reference(repository, slot, settings, champion, model, folder, cache, log)
        unreadable: list[str] = []
        clips = source.measured(model, champion, unreadable.append)
        look, state = count_scored_clips(folder, record, clips, settings.for_slot(slot).monitor.rate)
        drawn = draw_look(look, record, state.recent)
        report = write_report(folder, drawn)
        run = log_look(client, slot, champion, look, drawn.pages(report_name(look.number)))
        log_entries(client, run, folder)
    return LookResult(look, tuple(unreadable), report, run)


def count_scored_clips(
    folder: Path, record: ReferenceRecord, clips: Sequence[ScoredClip], rate: float
) -> tuple[AudioLook, SlotState]:
    """Count measured clips, and keep the look and the state in the slot's folder. The caller holds the folder's lock.

    The request log of a server is counted with it, too: its clips were measured when they were answered.
    """
    now = datetime.now(UTC)
    at, day = now.isoformat(timespec="seconds"), now.date().isoformat()
    before = finish_look(folder)
    look, state = take_look(record, state_for(record, before), clips, day=day, at=at, rate=rate)
    record_entry(folder, state, {"kind": "look", **plain(look)})
    return look, state


def restart_monitor(folder: Path, slot: Slot, reason: str) -> None:
    """End the alarm of a slot: the evidence starts again from nothing. The reason is an entry of the list of looks.

    Raises:
        UsageError: There is no reason, or the slot was never looked at.
    """
    if not reason.strip():
        raise UsageError(f"the restart of the monitor of {slot} is recorded with a reason; say it: --reason TEXT")
    with file_lock(folder / "lock"):
        before = finish_look(folder)
        if before is None:
            raise UsageError(f"{slot} was not monitored yet; begin with: elp monitor {slot} --from FOLDER")
        at = datetime.now(UTC).isoformat(timespec="seconds")
        entry = {"kind": "restart", "slot": str(slot), "at": at, "reason": reason, "alarm_since": before.alarm_since}
        record_entry(folder, restarted(before), entry)


def record_decision(folder: Path, slot: Slot, decision: RetrainDecision, run: str) -> None:
    """Record whether a look led to a retraining, and why; `run` is the address of the run that was started."""
    with file_lock(folder / "lock"):
        state = finish_look(folder)
        if state is None:
            raise UsageError(f"{slot} was not monitored yet; begin with: elp monitor {slot} --from FOLDER")
        at = datetime.now(UTC).isoformat(timespec="seconds")
        record_entry(folder, state, {"kind": "retrain", "slot": str(slot), "at": at, "run": run, **plain(decision)})


def finish_look(folder: Path) -> SlotState | None:
    """Return the state of the last look, after its entry is in the list even if that look was interrupted."""
    state = load_state(folder)
    if state and state.entry:
        append_entry(folder, dict(state.entry))
    return state


def record_entry(folder: Path, state: SlotState, entry: Mapping[str, object]) -> None:
    """Write the state with the entry in it, then the entry: see `look_list`."""
    last = dict(state.entry)
    linked = chained(dict(entry), entry_digest(last) if last else "")
    save_state(folder, replace(state, entry=linked))
    append_entry(folder, linked)


def _reference(
    repository: str,
    slot: Slot,
    settings: Settings,
    champion: AdapterVersion,
    model: ElpModel,
    folder: Path,
    cache: Path,
    log: Log,
) -> ReferenceRecord:
    """Return the reference of the champion and the present golden set; measure it if it is new."""
    from pipelines.datasets.versions import golden_ref, load_golden, load_split, version_at

    golden = golden_ref(repository, "latest", slot)
    dataset = champion.dataset or version_at(repository, "latest", slot).tag
    source = _source(slot, champion, golden, dataset, model, settings.for_slot(slot).monitor.block_clips)
    known = load_reference(folder / "references", source)
    if known is not None:
        return known
    log(f"measuring the reference of {champion.name}: {golden.tag}, {count(golden.clips, 'clip')}")
    clips = load_golden(repository, golden.tag, slot, cache).clips
    blocks = golden_blocks(clips, source.block_clips, closed_set=golden.closed_set)
    splits: tuple[Split, ...] = ("train",)
    usual = load_split(repository, dataset, slot, splits, cache)[:_USUAL_CLIPS]
    record = make_reference(
        source,
        list(measure_sounds(model, _stored(clips, blocks))),
        list(measure_sounds(model, _stored(usual, {}))),
        clip_errors(model, clips),
    )
    save_reference(folder / "references", record)
    return record


def clip_errors(model: ElpModel, clips: Sequence[Clip]) -> dict[str, float] | None:
    """Return the model's error on each clip with its reference, at most 1; None for a task that compares clips."""
    from elp_core.assemble import evaluate
    from elp_core.metrics.scores import ClipScores
    from elp_core.tasks import Comparing

    if isinstance(model.task, Comparing):
        return None
    scores = evaluate(model, clips, device=model.backbone.device.type).scores
    if not isinstance(scores, ClipScores):
        return None
    pairs = zip(scores.ids, scores.errors.tolist(), scores.tokens.tolist(), strict=True)
    return {clip: min(1.0, errors / max(tokens, 1)) for clip, errors, tokens in pairs}


def _source(
    slot: Slot, champion: AdapterVersion, golden: GoldenRef, dataset: str, model: ElpModel, size: int
) -> ReferenceSource:
    return ReferenceSource(
        slot=str(slot),
        version=champion.version,
        bundle=champion.bundle_digest,
        backbone=model.backbone.fingerprint,
        golden=golden.tag,
        golden_digest=golden.digest,
        dataset=dataset,
        block_clips=size,
    )


def _stored(clips: Sequence[Clip], blocks: dict[str, str]) -> Iterator[NamedSound]:
    from elp_core import audio

    return (NamedSound(blocks.get(clip.id, ""), audio.load(clip.audio)) for clip in clips)
