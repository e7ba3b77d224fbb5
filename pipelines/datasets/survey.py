"""A first look at a delivery, nothing decoded: how much it is, and a key by which the same delivery is known again."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass

from pipelines.datasets.delivery_options import DeliveryOptions
from pipelines.datasets.source_clip import SourceClip
from pipelines.errors import IntakeError
from pipelines.registry.policies import DataPolicy


@dataclass(frozen=True)
class Survey:
    """What a delivery holds."""

    key: str
    """SHA-256 (hex) of every clip's bytes and words, the options, the policy: the same key, the same version."""
    clips: int
    size: int
    """Bytes of audio."""
    digests: tuple[str, ...]
    """SHA-256 (hex) of each clip's file."""

    @property
    def delivery(self) -> str:
        """Short name of the delivery, written beside each of its clips."""
        return self.key[:12]


def survey(clips: Iterable[SourceClip], options: DeliveryOptions, policy: DataPolicy) -> Survey:
    """Read every clip's bytes once.

    Raises:
        IntakeError: where a file cannot be read.
    """
    whole = hashlib.sha256(
        json.dumps([dataclasses.asdict(options), dataclasses.asdict(policy)], sort_keys=True).encode()
    )
    digests, size = [], 0
    for clip in clips:
        digest, length = _digest(clip)
        digests.append(digest)
        size += length
        words = [clip.path, clip.text, clip.speaker, clip.label, clip.split, clip.condition, clip.start, clip.seconds]
        whole.update(json.dumps([digest, *words]).encode())
    return Survey(whole.hexdigest(), len(digests), size, tuple(digests))


def _digest(clip: SourceClip) -> tuple[str, int]:
    if isinstance(clip.audio, bytes):
        return hashlib.sha256(clip.audio).hexdigest(), len(clip.audio)
    try:
        with clip.audio.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest(), clip.audio.stat().st_size
    except OSError as error:
        raise IntakeError(f"{clip.audio} cannot be read: {error.strerror}; nothing was taken in") from error
