"""Where the enrolled voices of a workspace are."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class VoicePlace:
    """The two halves: without the folder's key, what the registry has does not open."""

    folder: Path
    """Of the key and the kept recordings, on this machine."""
    mlflow_uri: str
    """Of the registry, which has the sealed templates."""
