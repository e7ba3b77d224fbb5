"""The folder ``.elp/voices`` of a machine that enrols voices: the key of the templates, and sealed recordings.

The key is made with the first enrolment. Whoever has it can open every template of the workspace or the box: machines
that compare the voices of a workspace get a copy of the file, and the server never does.
"""

from __future__ import annotations

import contextlib
import io
import os
import shutil
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from elp_core.fail_points import durable_write
from elp_core.files import replacing_folder, write_whole
from elp_core.types import SAMPLE_RATE
from pipelines.errors import TemplateError
from pipelines.locks import file_lock
from pipelines.registry.voice_template import KEY_BYTES, open_bytes, seal_bytes

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

_KEY, _RECORDINGS = "voices.key", "recordings"


@dataclass(frozen=True)
class VoiceFolder:
    """The key and the kept recordings of the voices of a workspace or a box on this machine."""

    path: Path

    def key(self, make: bool = False) -> bytes:
        """Return the key; `make` creates a missing one. Raises TemplateError if there is none, or it is no key."""
        place = self.path / _KEY
        if make and not place.exists():
            self.path.mkdir(parents=True, exist_ok=True, mode=0o700)
            with file_lock(self.path / f"{_KEY}.lock"):
                # the key of another process stays
                if not place.exists():
                    write_whole(place, os.urandom(KEY_BYTES), mode=0o600, durable=True)
        try:
            found = place.read_bytes()
        except FileNotFoundError as error:
            raise TemplateError(
                f"this machine has no key of enrolled voices ({place}); copy the file from the machine that enrols, or "
                "from a backup"
            ) from error
        if len(found) != KEY_BYTES:
            raise TemplateError(f"{place} has {len(found)} bytes, expected {KEY_BYTES}; copy it again")
        return found

    def keep(self, voice: str, waveforms: Sequence[npt.NDArray[np.float32]]) -> None:
        """Seal the recordings of a voice, mono 16 kHz, [samples] each."""
        import soundfile

        key = self.key()
        with replacing_folder(self._recordings(voice)) as folder:
            for number, waveform in enumerate(waveforms):
                content = io.BytesIO()
                # louder than full scale after resampling is possible, and FLAC would clip it
                soundfile.write(content, waveform, SAMPLE_RATE, format="WAV", subtype="FLOAT")
                sealed = seal_bytes(key, content.getvalue(), _bound(voice, number))
                write_whole(folder / f"{number}.sealed", sealed, mode=0o600, durable=True)

    def recordings(self, voice: str) -> list[npt.NDArray[np.float32]]:
        """Return the kept recordings of a voice in their order; empty if none are kept on this machine.

        Raises TemplateError if one was altered, or sealed with another key.
        """
        import soundfile

        folder, found = self._recordings(voice), []
        for number in range(len(list(folder.glob("*.sealed")))):
            try:
                content = open_bytes(self.key(), (folder / f"{number}.sealed").read_bytes(), _bound(voice, number))
            except (ValueError, FileNotFoundError) as error:
                raise TemplateError(
                    f"recording {number} of voice {voice[:8]} in {folder} does not open: it was altered, or sealed "
                    "with another key than this machine's"
                ) from error
            found.append(soundfile.read(io.BytesIO(content), dtype="float32")[0])
        return found

    def forget(self, voice: str) -> None:
        """Delete the kept recordings of a voice."""
        with durable_write("revoked recordings"):
            shutil.rmtree(self._recordings(voice), ignore_errors=True)

    @contextlib.contextmanager
    def changing(self) -> Iterator[None]:
        """Hold the lock under which recordings are kept together with their template."""
        self.path.mkdir(parents=True, exist_ok=True, mode=0o700)
        with file_lock(self.path / "recordings.lock"):
            yield

    def remove_others(self, live: Callable[[], Collection[str]]) -> None:
        """Delete the recordings of all voices but those that `live` returns; it is asked while the lock is held."""
        if not (self.path / _RECORDINGS).is_dir():
            return
        with self.changing():
            known = live()
            for folder in (self.path / _RECORDINGS).iterdir():
                if folder.name not in known:
                    self.forget(folder.name)

    def _recordings(self, voice: str) -> Path:
        return self.path / _RECORDINGS / voice


def _bound(voice: str, number: int) -> bytes:
    """Return what a sealed recording is bound to."""
    return f"recording {voice} {number}".encode()
