"""What a delivery records of the alignment of its recordings with their transcripts."""

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Alignment:
    """The adapter that cut the recordings of a delivery into clips, and which recordings these were."""

    adapter: str
    """Slot of the adapter."""
    version: int
    bundle: str
    """Digest of its bundle."""
    recordings: tuple[str, ...]
    """Hashes of the recordings with their transcripts: they are not cut again by another adapter."""
    sounds: Mapping[str, str] = field(default_factory=dict)
    """Hash of each recording without its transcript, and its path, if clips of it were taken in: it is not cut again by
    another transcript."""

    def __str__(self) -> str:
        return f"{self.adapter} version {self.version}"
