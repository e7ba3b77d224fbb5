"""Enrol a voice: recordings of a speaker become a sealed template that is bound to one bundle."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from elp_core.types import SAMPLE_RATE, Seconds
from pipelines.errors import TemplateError
from pipelines.number_text import count
from pipelines.registry.signing.canonical_json import utc_now
from pipelines.registry.slot import Slot
from pipelines.registry.voice_template import (
    OpenedTemplate,
    TemplateQuality,
    VoiceTemplate,
    consent_faults,
    new_voice,
    open_template,
    person_digest,
    seal,
)
from pipelines.serving.silent_recordings import sounding
from pipelines.serving.voices.verifier import Verifier, vector
from pipelines.serving.voices.voice_place import VoicePlace

if TYPE_CHECKING:
    from elp_core.audio import Waveform
    from elp_core.tasks.asv import Embedding

LEAST_SECONDS: Seconds = 2.0
"""Sound that an enrolment needs: the embedding of less varies much between recordings of one speaker."""


@dataclass(frozen=True)
class Enrolled:
    """A voice that was enrolled."""

    template: VoiceTemplate
    resembles: tuple[str, ...]
    """Names of other enrolled voices that this one would be accepted as."""
    repeated: int
    """Recordings that were given more than once: each counted once."""


def enrol_voice(
    name: str,
    waveforms: Sequence[Waveform],
    verifier: Verifier,
    place: VoicePlace,
    *,
    consent: str,
    keep_audio: bool = False,
    least_seconds: Seconds = LEAST_SECONDS,
    by: str = "",
) -> Enrolled:
    """Enrol the speaker of the waveforms (mono 16 kHz, [samples] each) under a name, for the version of `verifier`.

    A waveform that is given more than once counts once. With `keep_audio` the recordings are kept, sealed, on this
    machine, so that the voice can be renewed for later versions. Raises TemplateError if there is too little audio, the
    recordings do not sound like one speaker, or the consent has no reference; GateRefused if the name is enrolled.
    """
    if faults := consent_faults(consent):
        raise TemplateError(faults[0])
    stored = place.store.templates(verifier.slot)
    # with another key, the templates that are there would not open any more
    key = place.folder.key(make=not stored)
    different = distinct_recordings(waveforms)
    embeddings = verifier.embed(different)
    quality = judge_recordings(verifier, different, embeddings, keep_audio, least_seconds, given=len(waveforms))
    template = make_template(key, verifier, name, embeddings, quality, consent, new_voice())
    others = resembling(key, verifier, embeddings, stored)
    with place.folder.changing():
        if keep_audio:
            # before the record: a voice that says that its audio is kept can be renewed
            place.folder.keep(template.voice, different)
        try:
            place.store.add(template, by)
        except BaseException:
            place.folder.forget(template.voice)
            raise
    return Enrolled(template, others, len(waveforms) - len(different))


def distinct_recordings(waveforms: Sequence[Waveform]) -> list[Waveform]:
    """Return the waveforms in their order, each one once: a copy shows nothing more of a voice."""
    return list({waveform.tobytes(): waveform for waveform in waveforms}.values())


def judge_recordings(
    verifier: Verifier,
    waveforms: Sequence[Waveform],
    embeddings: Sequence[Embedding],
    keep_audio: bool,
    least_seconds: Seconds = LEAST_SECONDS,
    *,
    given: int | None = None,
) -> TemplateQuality:
    """Return the quality of a speaker's recordings; raise TemplateError if they are no basis for a template.

    `given` is the number of recordings before repeated ones were left out, for the message.
    """
    seconds = sum(len(waveform) for waveform in waveforms) / SAMPLE_RATE
    heard = sum(map(sounding, waveforms))
    repeated = (given or len(waveforms)) - len(waveforms)
    once = f" ({count(repeated, 'repeated recording')} left out)" if repeated else ""
    if heard < least_seconds:
        raise TemplateError(
            f"{heard:.1f} s of the recordings are not silent{once}, and an enrolment needs {least_seconds:g} s or more"
        )
    scores = [
        verifier.match([other for there, other in enumerate(embeddings) if there != here], embedding).score
        for here, embedding in enumerate(embeddings)
        if len(embeddings) > 1
    ]
    worst = min(range(len(scores)), key=scores.__getitem__, default=0)
    if scores and scores[worst] < verifier.threshold:
        raise TemplateError(
            f"recording {worst + 1} of {len(scores)}{once} does not sound like the others (score {scores[worst]:.3f}, "
            f"threshold {verifier.threshold:.3f}); enrol recordings of one speaker, without noise or other voices"
        )
    cohesion = round(min(scores), 4) if scores else None
    return TemplateQuality(len(waveforms), round(seconds, 2), cohesion, keep_audio)


def make_template(
    key: bytes,
    verifier: Verifier,
    name: str,
    embeddings: Sequence[Embedding],
    quality: TemplateQuality,
    consent: str,
    voice: str,
) -> VoiceTemplate:
    """Return the sealed template of a speaker under the bundle of `verifier`."""
    from elp_core.metrics.verification import enrol

    template = VoiceTemplate(
        voice=voice,
        slot=str(verifier.slot),
        person=person_digest(key, verifier.slot, name),
        version=verifier.version,
        bundle=verifier.bundle,
        fingerprint=verifier.fingerprint,
        quality=quality,
        consent=consent.strip(),
        at=utc_now(),
    )
    return seal(key, template, OpenedTemplate(name, tuple(map(float, enrol(embeddings)))))


def resembling(
    key: bytes, verifier: Verifier, embeddings: Sequence[Embedding], stored: Sequence[VoiceTemplate]
) -> tuple[str, ...]:
    """Return the names of the voices of stored templates that the speaker of the embeddings would be accepted as."""
    from elp_core.metrics.verification import enrol

    mean = enrol(embeddings).astype("float32")
    opened = [open_template(key, one) for one in stored if one.bundle == verifier.bundle]
    return tuple(other.name for other in opened if verifier.match([vector(other)], mean).accepted)


def revoke_voice(name: str, slot: Slot, place: VoicePlace, *, reason: str, by: str = "") -> int:
    """Delete all templates of a name, and its kept recordings on this machine; return the number of templates.

    Raises TemplateError if the name is not enrolled. Recordings that an interrupted revocation left are deleted, too.
    """
    person = person_digest(place.folder.key(), slot, name)
    templates = place.store.templates(slot, person, revoked=True)
    live = {one.voice for one in templates if not one.revoked_at}
    done = sum(place.store.revoke(voice, reason, by) for voice in live)
    for one in templates:
        place.folder.forget(one.voice)
    if not live:
        raise TemplateError(f"{name} is not enrolled in {slot}; list the voices: elp enrol list {slot}")
    return done
