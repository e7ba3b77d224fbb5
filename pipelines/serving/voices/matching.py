"""Compare a recording with an enrolled voice."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from pipelines.errors import TemplateError
from pipelines.registry.voice_template import person_digest
from pipelines.serving.voices.verifier import Verifier
from pipelines.serving.voices.voice_place import VoicePlace

if TYPE_CHECKING:
    from elp_core.audio import Waveform


@dataclass(frozen=True)
class VoiceMatch:
    """The comparison of a recording with the template of a name."""

    slot: str
    version: int
    bundle: str
    name: str
    score: float
    threshold: float
    accepted: bool


def match_voice(name: str, waveform: Waveform, verifier: Verifier, place: VoicePlace) -> VoiceMatch:
    """Compare a waveform (mono 16 kHz, [samples]) with the template of a name under the bundle of `verifier`.

    Raises TemplateError if the name is not enrolled, or only under other bundles: it names both.
    """
    key, slot = place.folder.key(), verifier.slot
    templates = place.store.templates(slot, person_digest(key, slot, name))
    if not templates:
        raise TemplateError(
            f"{name} is not enrolled in {slot}; enrol: elp enrol add {slot} {name} FILE … --consent TEXT",
            reason="not enrolled",
        )
    # the newest one of another bundle raises the error that names both
    template = next((one for one in templates if one.bundle == verifier.bundle), templates[-1])
    (test,) = verifier.embed([waveform])
    match = verifier.match_template(key, template, test)
    return VoiceMatch(
        str(slot), verifier.version, verifier.bundle, name, match.score, verifier.threshold, bool(match.accepted)
    )
