"""The sound of single clips as WAV, from shards and from quarantine, without reading the rest of a file."""

import functools
import io
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import soundfile

from elp_core.audio import load, to_int16
from elp_core.errors import AudioError, CorpusError
from elp_core.types import SAMPLE_RATE
from pipelines.datasets.shard_columns import shard_ids
from pipelines.datasets.worker_processes import WorkerProcess

_ROWS = 64
"""Rows that are read at once: a few MB of sound, however large the file is."""
_DECODE_SECONDS = 20
"""Time to decode a file in quarantine."""
_decoding = threading.Lock()
"""One file in quarantine is decoded at a time: each may take much memory."""


class ClipPlace(NamedTuple):
    """Where a clip is stored."""

    path: Path
    row: int


def find_clip(shards: Sequence[Path], clip: str) -> ClipPlace | None:
    """Return the first place of a clip in shards; None if none of them holds it."""
    for path in shards:
        row = pc.index(shard_ids(path), clip).as_py()
        if row >= 0:
            return ClipPlace(path, row)
    return None


# a player asks for the parts of one sound in several requests
@functools.lru_cache(maxsize=4)
def clip_wav(place: ClipPlace) -> bytes:
    """Return a clip as a WAV file, 16-bit mono at 16 kHz: the samples that a training reads."""
    return _wav(_cell(place.path, place.row, "audio.bytes"))


def quarantined_wav(place: ClipPlace) -> bytes | None:
    """Return a file in quarantine as `clip_wav` does, all channels mixed; None if its sound cannot be read.

    It may be damaged or made to harm, so a separate process decodes it, with a bound on time and memory.
    """
    # requests that wait longer would take all threads of a server
    if not _decoding.acquire(timeout=_DECODE_SECONDS):
        return None
    try:
        return _quarantined(place)
    finally:
        _decoding.release()


@functools.lru_cache(maxsize=4)
def _quarantined(place: ClipPlace) -> bytes | None:
    kept = _cell(place.path, place.row, "bytes")
    with WorkerProcess(_DECODE_SECONDS) as process:
        return next(iter(process.each(_decoded, [kept], _lost))) if kept else None


def sound_wav(content: bytes) -> bytes:
    """Return a sound file that this house has written as `clip_wav` does."""
    return _wav(content)


def _decoded(content: bytes) -> bytes | None:
    try:
        return _wav(content)
    except AudioError:
        return None


def _lost(_: bytes) -> None:
    return None


def _wav(content: bytes) -> bytes:
    target = io.BytesIO()
    soundfile.write(target, to_int16(load(content)), SAMPLE_RATE, format="WAV", subtype="PCM_16")
    return target.getvalue()


def _cell(path: Path, row: int, column: str) -> bytes:
    """Return the bytes in one row of a column; empty for a null."""
    try:
        return _read_cell(path, row, column)
    except (pa.ArrowException, OSError, ValueError) as error:
        raise CorpusError(f"{path} cannot be read: {error}; restore it with: dvc checkout") from error


def _read_cell(path: Path, row: int, column: str) -> bytes:
    # mapped: without it, each clip would cost the memory of all sounds around it
    with pq.ParquetFile(path, memory_map=True) as file:
        for group in range(file.num_row_groups):
            rows = file.metadata.row_group(group).num_rows
            if row < rows:
                break
            row -= rows
        for batch in file.iter_batches(_ROWS, row_groups=[group], columns=[column]):
            if row < batch.num_rows:
                value = batch.column(0)[row].as_py()
                return (value["bytes"] if isinstance(value, dict) else value) or b""
            row -= batch.num_rows
    return b""
