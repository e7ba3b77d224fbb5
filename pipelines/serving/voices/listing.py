"""The enrolled voices of a slot, by name."""

from __future__ import annotations

from dataclasses import dataclass

from pipelines.registry.client.voices import list_templates
from pipelines.registry.slot import Slot
from pipelines.registry.voice_template import VoiceTemplate, open_template
from pipelines.serving.voices.voice_folder import VoiceFolder


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


def enrolled_voices(slot: Slot, folder: VoiceFolder, *, mlflow_uri: str) -> list[EnrolledVoice]:
    """Return the enrolled voices of a slot by name; raises TemplateError if a template does not open."""
    templates = list_templates(mlflow_uri, slot)
    if not templates:
        return []
    key, by_voice = folder.key(), dict[str, list[VoiceTemplate]]()
    for template in templates:
        by_voice.setdefault(template.voice, []).append(template)
    found = [
        EnrolledVoice(
            open_template(key, first).name,
            voice,
            tuple(sorted(one.version for one in several)),
            first.at,
            first.consent,
            first.quality.audio_kept,
        )
        for voice, several in by_voice.items()
        for first in several[:1]
    ]
    return sorted(found, key=lambda one: one.name)
