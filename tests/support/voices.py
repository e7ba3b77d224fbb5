"""Templates of voices that nobody spoke."""

from __future__ import annotations

from pipelines.registry.adapter_version import AdapterVersion
from pipelines.registry.signing.canonical_json import utc_now
from pipelines.registry.voice_template import (
    OpenedTemplate,
    TemplateQuality,
    VoiceTemplate,
    new_voice,
    person_digest,
    seal,
)

KEY = bytes(32)


def sealed_template(version: AdapterVersion, name: str = "anna") -> VoiceTemplate:
    """Return a template under the bundle of a version."""
    template = VoiceTemplate(
        voice=new_voice(),
        slot=str(version.slot),
        person=person_digest(KEY, version.slot, name),
        version=version.version,
        bundle=version.bundle_digest,
        fingerprint=version.fingerprint,
        quality=TemplateQuality(1, 3.0, 1.0, False),
        consent="form 1",
        at=utc_now(),
    )
    return seal(KEY, template, OpenedTemplate(name, (1.0, 0.0)))
