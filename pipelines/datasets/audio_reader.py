"""The audio of a delivery and its hashes: what is hashed is what is decoded and kept, if it fits in memory."""

import hashlib
from dataclasses import dataclass, field
from pathlib import Path

from pipelines.errors import IntakeError

HELD_BYTES = 256 * 2**20
"""Audio of a delivery that is kept in memory between hashing and decoding. The rest stays in files."""


@dataclass
class AudioReader:
    """Reads each file of a delivery once."""

    spool: Path
    size: int = 0
    held: int = 0
    files: dict[Path, tuple[Path | bytes, str]] = field(default_factory=dict)
    """Clips that are cut out of one long recording share its entry: it is read and held once."""

    def read(self, audio: Path | bytes) -> tuple[Path | bytes, str]:
        """Return the audio's bytes, or a file with them, and their SHA-256."""
        if isinstance(audio, bytes):
            digest = hashlib.sha256(audio).hexdigest()
            if self._holds(len(audio)):
                return audio, digest
            self.spool.mkdir(parents=True, exist_ok=True)
            (self.spool / digest).write_bytes(audio)
            return self.spool / digest, digest
        if audio not in self.files:
            try:
                self.files[audio] = self._file(audio)
            except OSError as error:
                raise IntakeError(f"{audio} cannot be read: {error.strerror}; nothing was taken in") from error
        return self.files[audio]

    def _file(self, path: Path) -> tuple[Path | bytes, str]:
        with path.open("rb") as file:
            if self._holds(path.stat().st_size):
                content = file.read()
                return content, hashlib.sha256(content).hexdigest()
            return path, hashlib.file_digest(file, "sha256").hexdigest()

    def _holds(self, size: int) -> bool:
        self.size += size
        if self.held + size > HELD_BYTES:
            return False
        self.held += size
        return True
