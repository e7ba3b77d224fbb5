"""An adapter of the registry that aligns recordings with their transcripts, as `elp data add --align` asks for."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from elp_core.channels import Channel
from elp_core.languages import LanguageConfig
from elp_core.types import Seconds
from pipelines.errors import RegistryError, UsageError
from pipelines.local.settings import Settings
from pipelines.registry.adapter_version import CHAMPION
from pipelines.registry.client import model_registry
from pipelines.registry.client.bundle_models import download_bundle
from pipelines.registry.client.connection import connect
from pipelines.registry.lineage import normaliser_text
from pipelines.registry.slot import Slot

if TYPE_CHECKING:
    from elp_core.inference import AlignedSegment, Recogniser


@dataclass(frozen=True)
class ChampionAligner:
    """A verified bundle that aligns; its tensors are loaded for the first recording."""

    adapter: str
    """Slot of the adapter."""
    version: int
    bundle: str
    """Digest of its bundle."""
    language: LanguageConfig
    """Of the transcripts."""
    min_score: float
    """Segments with a lower score are bad."""
    max_seconds: Seconds
    """Segments are not longer, if they have a pause."""
    folder: Path = field(repr=False)
    backbone: str = field(repr=False)
    report: Callable[[Seconds], None] | None = field(default=None, repr=False)

    def align(
        self, audio: Path | bytes, transcript: str, channel: Channel, start: Seconds, seconds: Seconds | None
    ) -> list[AlignedSegment]:
        """Return the segments of a part of a recording; errors are those of `align_recording`.

        FingerprintMismatch: the bundle belongs to another backbone than that of the settings.
        """
        from elp_core.inference import CutConfig, VoiceActivityConfig, align_recording

        return align_recording(
            audio,
            transcript,
            self._recogniser,
            language=self.language,
            voice_activity=VoiceActivityConfig(),
            cut=CutConfig(min_score=self.min_score, max_seconds=self.max_seconds),
            channel=channel,
            start=start,
            seconds=seconds,
            progress=self.report,
        )

    @cached_property
    def _recogniser(self) -> Recogniser:
        from elp_core.backbones import Backbone
        from elp_core.bundle import load_bundle
        from elp_core.inference import Recogniser

        return Recogniser.of(load_bundle(self.folder, Backbone.from_pretrained(self.backbone)))


def find_aligner(
    which: str,
    slot: Slot,
    settings: Settings,
    *,
    mlflow_uri: str,
    cache: Path,
    max_seconds: Seconds,
    report: Callable[[Seconds], None] | None = None,
) -> ChampionAligner:
    """Return the adapter that aligns the transcripts of `slot`: ``champion``, or ``SITE/asr`` or ``SITE/asr@vN``.

    Raises UsageError for another task than asr, for a name that is none of these, and for an adapter of another
    language or normaliser than the slot's; RegistryError if there is no such version.
    """
    name, _, number = which.partition("@")
    own = Slot.parse(name) if name != CHAMPION else slot
    for one in (slot, own):
        if one.task != "asr":
            raise UsageError(f"{one} has no transcripts to align; --align is for SITE/asr")
    if number and not number.removeprefix("v").isdecimal():
        raise UsageError(f"--align {which!r} names no version; expected such as {own}@v3")
    # before torch is loaded, as in `predict_files`
    os.environ.setdefault("ONEDNN_PRIMITIVE_CACHE_CAPACITY", "16")
    from elp_core.bundle import verify_bundle
    from elp_core.tasks.asr import SpeechRecognition

    client = connect(mlflow_uri)
    version = int(number.removeprefix("v")) if number else CHAMPION
    found = model_registry.find(client, own, version)
    if found is None and not number:
        raise RegistryError(
            f"{own} has no champion to align with; name the slot of another site with one (--align SITE/asr), or train "
            f"and promote one: elp retrain {own}, elp promote {own}"
        )
    found = found or model_registry.get(client, own, version)
    folder = download_bundle(client, found, cache)
    task, wanted = SpeechRecognition.from_json(verify_bundle(folder).task), settings.for_slot(slot)
    has, needs = task.normaliser or task.language.normaliser_id(), wanted.language.resolve().normaliser_id()
    if has != needs:
        raise UsageError(
            f"{own} version {found.version} writes {task.language.name}, normaliser {normaliser_text(has)}; the "
            f"transcripts of {slot} are {wanted.language.resolve().name}, {normaliser_text(needs)}: align with a "
            "champion of the same language and normaliser"
        )
    return ChampionAligner(
        adapter=str(own),
        version=found.version,
        bundle=found.bundle_digest,
        language=wanted.language,
        min_score=wanted.data.min_alignment,
        max_seconds=min(max_seconds, wanted.data.max_seconds),
        folder=folder,
        backbone=settings.backbone_of(own),
        report=report,
    )
