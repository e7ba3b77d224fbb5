"""Apply a slot's champion to files: an answer for each file, or a comparison of the last file with the others."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from elp_core.channels import Channel
from elp_core.decoding import DecodeConfig
from elp_core.errors import AudioError
from elp_core.types import Seconds
from pipelines.errors import RegistryError, UsageError
from pipelines.local.settings import Settings
from pipelines.local.slot_backbone import backbone_of_bundle
from pipelines.registry.adapter_version import CHAMPION
from pipelines.registry.slot import Slot
from pipelines.serving.champion_source import ChampionSource
from pipelines.serving.hotwords import written_as_transcripts
from pipelines.serving.silent_recordings import require_sound

if TYPE_CHECKING:
    from elp_core.class_answer import ClassAnswer
    from elp_core.model import ElpModel
    from elp_core.transcript import Transcript

SecondsReport = Callable[[Seconds, Seconds], None]
"""Takes the seconds that are done, and those of all files by their headers."""


@dataclass(frozen=True)
class Answer:
    """The answer of an adapter to some files."""

    slot: Slot
    version: int
    files: tuple[str, ...]
    answers: tuple[str, ...] = ()
    """One for each file: its words (ASR) or its class (SER, SIC); empty for a task that compares files (ASV).

    An empty text is a file without words, or one that is of none of the classes.
    """
    classes: tuple[ClassAnswer, ...] = ()
    """SER, SIC: one for each file, with probabilities."""
    transcripts: tuple[Transcript, ...] = ()
    """ASR: one for each file, with the times and the confidence of its words."""
    score: float | None = None
    """ASV: similarity of the last file to the others; a cosine, or normalised by a cohort."""
    threshold: float | None = None
    """ASV: this score and higher ones are accepted; chosen on the validation split."""
    accepted: bool | None = None
    """ASV: whether the last file is accepted as the speaker of the others."""


def predict_files(
    slot: Slot,
    settings: Settings,
    files: Sequence[Path],
    source: ChampionSource,
    *,
    version: int | str = CHAMPION,
    decode: DecodeConfig | None = None,
    skip_silence: bool = True,
    channel: Channel = "same",
    progress: SecondsReport | None = None,
) -> Answer:
    """Answer each file, or compare the last one with the others (ASV), with the slot's champion or another version.

    Files are what libsndfile reads, or PyAV if it is installed, of any rate; recordings for ASR may last hours.
    `source` has the version; without `decode`, the slot's own settings decide. `skip_silence` finds the speech of long
    recordings first. `channel` (left, right or mix) is what is taken of files whose channels differ.

    Raises UsageError for too few files or for `decode` with another task than ASR, ConfigError if a language model or
    hotword is unsuitable or a package is missing, RegistryError if there is no such version, AudioError if a file
    cannot be used, FingerprintMismatch if the bundle belongs to another backbone than those of `settings`.
    """
    # before torch is loaded: oneDNN keeps compiled kernels for 1,024 lengths of input, half a gigabyte in an hour
    os.environ.setdefault("ONEDNN_PRIMITIVE_CACHE_CAPACITY", "16")
    from elp_core import audio
    from elp_core.bundle import deployed_threshold, open_bundle
    from elp_core.inference import classify, predict
    from elp_core.tasks import Comparing, compares
    from elp_core.tasks.classification import ClipClassification

    if len(files) < 2 and compares(slot.task_spec.load()):
        raise UsageError(
            f"{slot} compares recordings, got {len(files)}; try: elp predict {slot} enrolled.wav [more.wav …] other.wav"
        )
    if slot.task != "asr" and decode is not None:
        raise UsageError(f"{slot} writes no transcripts; --beam, --lm and --hotwords are for SITE/asr")
    if not files:
        raise UsageError(f"no file to answer; try: elp predict {slot} file.wav")
    chosen = source.fetch(slot, version)
    answer = Answer(slot, chosen.version, tuple(str(path) for path in files))
    # files first, so that a wrong name is reported before a model is loaded
    lengths = [checked_length(path, channel) for path in files]
    waveforms = [] if slot.task == "asr" else [audio.load(path, channel) for path in files]
    if compares(slot.task_spec.load()):
        require_sound(waveforms, answer.files)
    manifest, model = open_bundle(chosen.folder, backbone_of_bundle(settings, slot, chosen.folder))
    if manifest.digest != chosen.digest:
        raise RegistryError(f"{chosen.folder} holds the bundle {manifest.digest}, expected {chosen.digest}")
    if slot.task == "asr":
        how = decode or settings.for_slot(slot).decode
        found = _transcripts(model, files, how, channel, skip_silence, lengths, progress)
        return replace(answer, answers=tuple(one.text for one in found), transcripts=found)
    if isinstance(model.task, ClipClassification):
        classes = tuple(classify(model, waveforms))
        return replace(answer, answers=tuple(one.label or "" for one in classes), classes=classes)
    outputs: list[Any] = predict(model, waveforms)
    if not isinstance(model.task, Comparing):
        return replace(answer, answers=tuple(str(output) for output in outputs))
    match = model.task.compare(model.head, outputs[:-1], outputs[-1])
    match = replace(match, threshold=deployed_threshold(model.task, chosen.folder))
    return replace(answer, score=match.score, threshold=match.threshold, accepted=match.accepted)


def checked_length(path: Path, channel: Channel) -> Seconds:
    """Return the length by the header, 0.0 if it says nothing.

    An AudioError says that channels differ, or that the file was cut off, before hours of it are transcribed.
    """
    from elp_core import audio
    from elp_core.containers import content_of, file_length, require_one_length

    info = audio.probe(path)
    differing = audio.differing_channels(path) if info.channels > 1 and channel != "mix" else 1
    if differing > 1 and (channel == "same" or differing > 2):
        which = "left, right or mix" if differing == 2 else "mix"
        raise AudioError(
            "channels_differ",
            f"{path} has {differing} channels that differ, and they are not mixed unasked; add --channel {which}",
        )
    known = math.isfinite(info.seconds)
    with content_of(path) as content:
        # libsndfile decodes no more than the length it finds: an estimate for MP3 without a count of its frames
        require_one_length(str(path), file_length(content), info.seconds if known else None)
    return info.seconds if known else 0.0


def _transcripts(
    model: ElpModel,
    files: Sequence[Path],
    decode: DecodeConfig,
    channel: Channel,
    skip_silence: bool,
    lengths: Sequence[Seconds],
    progress: SecondsReport | None,
) -> tuple[Transcript, ...]:
    from elp_core.inference import Recogniser, VoiceActivityConfig, transcribe

    recogniser = Recogniser.of(model)
    normalise = recogniser.task.language.normalise
    decode = replace(decode, hotwords=written_as_transcripts(decode.hotwords, normalise))
    found: list[Transcript] = []
    activity = VoiceActivityConfig() if skip_silence else None
    batch_seconds = 0.0 if model.backbone.device.type == "cpu" else 32.0

    def report(done: Seconds) -> None:
        if progress:
            # a header may be wrong, or may not have a length
            total = max(sum(lengths), before + done)
            progress(before + done, total)

    for path in files:
        before = sum(one.seconds for one in found)
        found.append(
            transcribe(
                path,
                recogniser,
                voice_activity=activity,
                decode=decode,
                channel=channel,
                batch_seconds=batch_seconds,
                progress=report,
            )
        )
    return tuple(found)
