"""A version of a speaker verification slot, loaded to embed recordings and to compare them with templates."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from elp_core.channels import Channel
from pipelines.errors import RegistryError, TemplateError, UsageError
from pipelines.local.settings import Settings
from pipelines.local.slot_backbone import backbone_of_bundle
from pipelines.registry.adapter_version import CHAMPION
from pipelines.registry.slot import Slot
from pipelines.registry.voice_template import OpenedTemplate, VoiceTemplate, open_template
from pipelines.serving.champion_source import ChampionSource
from pipelines.serving.predict_files import checked_length
from pipelines.serving.silent_recordings import require_sound

if TYPE_CHECKING:
    from elp_core.audio import Waveform
    from elp_core.metrics.verification import Match
    from elp_core.tasks.asv import Embedding


@dataclass(frozen=True, eq=False)
class Verifier:
    """A loaded bundle and its name in the registry."""

    slot: Slot
    version: int
    bundle: str
    """Digest (``sha256:…``): only templates of this bundle are compared."""
    fingerprint: str
    threshold: float
    embed: Callable[[Sequence[Waveform]], list[Embedding]]
    """Waveforms (mono 16 kHz, [samples] each) to unit embeddings, float32 [E]; raises AudioError as `predict`."""
    compare: Callable[[Sequence[Embedding], Embedding], Match]
    """Embeddings of a speaker and another one to their score; its threshold is not used."""

    @property
    def name(self) -> str:
        """``SITE/asv v3``."""
        return f"{self.slot} v{self.version}"

    def match(self, enrolled: Sequence[Embedding], test: Embedding) -> Match:
        """Compare the embeddings of a speaker with another one, at the threshold of the bundle."""
        return replace(self.compare(enrolled, test), threshold=self.threshold)

    def match_template(self, key: bytes, template: VoiceTemplate, test: Embedding) -> Match:
        """Compare a template with an embedding of this bundle; raises TemplateError if the template is of another."""
        if template.bundle != self.bundle:
            raise TemplateError(
                f"the template of {template.name} was made with bundle {template.bundle}, and {self.name} is "
                f"{self.bundle}: scores across bundles mean nothing; renew it: elp enrol migrate {self.slot} --version "
                f"{self.version}, or compare with --version {template.version}",
                reason="other bundle",
            )
        return self.match([vector(open_template(key, template))], test)


def vector(opened: OpenedTemplate) -> Embedding:
    """Return the embedding of an opened template, float32 [E]."""
    import numpy as np

    return np.array(opened.embedding, np.float32)


def load_verifier(slot: Slot, settings: Settings, source: ChampionSource, version: int | str = CHAMPION) -> Verifier:
    """Load the slot's champion or another version of a source.

    Raises UsageError for another task, RegistryError if there is no such version, TemplateError if it has no threshold,
    FingerprintMismatch if the bundle belongs to another backbone than those of `settings`.
    """
    from elp_core.bundle import deployed_threshold, open_bundle
    from elp_core.inference import predict
    from elp_core.tasks import Comparing

    if slot.task != "asv":
        raise UsageError(f"{slot} compares no voices; they are enrolled for SITE/asv")
    chosen = source.fetch(slot, version)
    backbone = backbone_of_bundle(settings, slot, chosen.folder)
    manifest, model = open_bundle(chosen.folder, backbone)
    if manifest.digest != chosen.digest:
        raise RegistryError(f"{chosen.folder} holds the bundle {manifest.digest}, expected {chosen.digest}")
    task = model.task
    assert isinstance(task, Comparing)
    return Verifier(
        slot=slot,
        version=chosen.version,
        bundle=chosen.digest,
        fingerprint=backbone.fingerprint,
        threshold=require_threshold(deployed_threshold(task, chosen.folder), f"{slot} v{chosen.version}", slot),
        embed=lambda waveforms: predict(model, waveforms),
        compare=lambda enrolled, test: task.compare(model.head, enrolled, test),
    )


def require_threshold(threshold: float | None, name: str, slot: Slot) -> float:
    """Return the threshold of a version; raise TemplateError if it has none."""
    if threshold is None:
        raise TemplateError(f"{name} has no threshold, so it accepts nobody; train another: elp train {slot}")
    return threshold


def read_recordings(files: Sequence[Path], channel: Channel = "same") -> list[Waveform]:
    """Read files as mono 16 kHz, float32 [samples] each; raises AudioError for one that is silent or cannot be used."""
    from elp_core import audio

    for path in files:
        checked_length(path, channel)
    waveforms = [audio.load(path, channel) for path in files]
    require_sound(waveforms, [str(path) for path in files])
    return waveforms
