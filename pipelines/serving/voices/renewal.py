"""Renew enrolled voices for another version: each gets a second template, made from its kept recordings.

Both templates stay side by side. The champion's is used, so a promotion and a rollback change nothing for a voice that
has both.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from pipelines.errors import TemplateError
from pipelines.registry.voice_template import VoiceTemplate, by_voice, open_template
from pipelines.serving.voices.enrolment import judge_recordings, make_template
from pipelines.serving.voices.verifier import Verifier
from pipelines.serving.voices.voice_folder import VoiceFolder
from pipelines.serving.voices.voice_place import VoicePlace


@dataclass(frozen=True)
class NotRenewed:
    """A voice that has to be enrolled again."""

    name: str
    voice: str
    reason: str


@dataclass(frozen=True)
class Renewal:
    """What became of the voices of a slot."""

    version: int
    renewed: tuple[str, ...]
    """Names that got a template."""
    present: int
    """Voices that had one already."""
    left: tuple[NotRenewed, ...]


def renew_voices(
    verifier: Verifier,
    place: VoicePlace,
    *,
    by: str = "",
    report: Callable[[int, int], None] | None = None,
) -> Renewal:
    """Give every enrolled voice of the slot a template under the bundle of `verifier`.

    A voice whose recordings are not kept here, or do not sound like one speaker to this version, is left and named. A
    renewal that was interrupted is continued by the next one. `report` takes the voices that are done, and all.
    """
    key, voices = place.folder.key(), by_voice(place.store.templates(verifier.slot))
    renewed, left, present = list[str](), list[NotRenewed](), 0
    for done, (voice, templates) in enumerate(sorted(voices.items()), 1):
        newest = templates[-1]
        if any(one.bundle == verifier.bundle for one in templates):
            present += 1
        else:
            name = open_template(key, newest).name
            try:
                place.store.add(_renewed(key, verifier, place.folder, newest, name), by)
                renewed.append(name)
            except TemplateError as error:
                left.append(NotRenewed(name, voice, str(error)))
        if report:
            report(done, len(voices))
    return Renewal(verifier.version, tuple(renewed), present, tuple(left))


def _renewed(key: bytes, verifier: Verifier, folder: VoiceFolder, template: VoiceTemplate, name: str) -> VoiceTemplate:
    """Return the template of a voice under the bundle of `verifier`; raise TemplateError if it cannot be made."""
    waveforms = folder.recordings(template.voice)
    if len(waveforms) != template.quality.recordings:
        kept = "were not kept" if not template.quality.audio_kept else "are not all on this machine"
        raise TemplateError(f"its recordings {kept}: enrol the speaker again")
    embeddings = verifier.embed(waveforms)
    # the length was judged at the enrolment
    quality = judge_recordings(verifier, waveforms, embeddings, keep_audio=True, least_seconds=0.0)
    return make_template(key, verifier, name, embeddings, quality, template.consent, template.voice)
