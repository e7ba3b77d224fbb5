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
    sounds: tuple[str, ...] = ()
    """Hashes of the recordings without their transcripts, if clips of them were taken in: they are not cut again by
    another transcript. No paths, which may name people: the record is in Git, whose history cannot be erased."""

    def __str__(self) -> str:
        return f"{self.adapter} version {self.version}"
