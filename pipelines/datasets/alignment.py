"""What a delivery records of the alignment of its recordings with their transcripts."""

from dataclasses import dataclass


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

    def __str__(self) -> str:
        return f"{self.adapter} version {self.version}"
