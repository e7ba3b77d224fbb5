"""The enrolled voices of a slot, by name."""

from __future__ import annotations

from dataclasses import dataclass

from pipelines.registry.slot import Slot
from pipelines.registry.voice_template import VoiceTemplate, by_voice, open_template
from pipelines.serving.voices.voice_place import VoicePlace


@dataclass(frozen=True)
class EnrolledVoice:
    """A voice, and the versions that it can be compared with."""

    name: str
    voice: str
    versions: tuple[int, ...]
    at: str
    """When it was enrolled: UTC, ISO 8601."""
    consent: str
    audio_kept: bool


def enrolled_voices(slot: Slot, place: VoicePlace) -> list[EnrolledVoice]:
    """Return the enrolled voices of a slot by name; raises TemplateError if a template does not open."""
    templates = place.store.templates(slot)
    if not templates:
        return []
    key = place.folder.key()
    found = (_enrolled(key, several) for several in by_voice(templates).values())
    return sorted(found, key=lambda one: one.name)


def _enrolled(key: bytes, templates: list[VoiceTemplate]) -> EnrolledVoice:
    """Return the voice of templates that are in their order."""
    first = templates[0]
    return EnrolledVoice(
        open_template(key, first).name,
        first.voice,
        tuple(sorted(one.version for one in templates)),
        first.at,
        first.consent,
        first.quality.audio_kept,
    )
