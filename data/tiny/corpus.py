"""Stage 1: recorded and synthetic speech into one int16 array with a Parquet index.

`audio.npy` holds int16 `[samples]`, 16 kHz mono, each clip a whole number of 320-sample frames, so that frame
`i` of a clip at `offset` is frame `offset // 320 + i` of every array of labels. `index.parquet` has a row per clip
and speed: `offset`, `length` (samples), `source`, `speaker`, `speed`, `held_out`. `corpus.json` counts minutes.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray
from soundfile import LibsndfileError

from pipelines.demo.espeak import utterances
from tiny.files import write_array, write_json, write_table
from tiny.settings import SAMPLE_RATE, CorpusSettings, Recipe, read_recipe
from tiny.sound import change_speed, read_clip, tidy, to_int16
from tiny.sources import Clip, Source, recorded

_SYNTHETIC = "espeak-ng"


@dataclass(frozen=True)
class Prepared:
    """A clip at every speed, int16 `[samples]` each; none if the file was broken or too short."""

    source: str
    speaker: str
    key: str
    copies: tuple[NDArray[np.int16], ...]


def prepare(wave: NDArray[np.float32], settings: CorpusSettings) -> tuple[NDArray[np.int16], ...]:
    """Tidy a clip and make its copies; empty if less than `min_seconds` of sound is left."""
    clean = tidy(wave)
    if clean.size < settings.min_seconds * SAMPLE_RATE:
        return ()
    return tuple(to_int16(change_speed(clean, s)) for s in settings.speeds)


def _prepare_clip(clip: Clip, settings: CorpusSettings) -> Prepared:
    try:
        copies = prepare(read_clip(clip.path), settings)
    except LibsndfileError:
        copies = ()
    return Prepared(clip.source, clip.speaker, f"{clip.source}/{clip.speaker}/{clip.path.name}", copies)


def _all_clips(sources: list[Source], settings: CorpusSettings, seed: int) -> Iterator[Prepared]:
    clips = [clip for source in sources for clip in source.clips]
    with ProcessPoolExecutor(2) as pool:
        yield from pool.map(partial(_prepare_clip, settings=settings), clips, chunksize=32)
    for number, said in enumerate(utterances(settings.synthetic_minutes, settings.reserved_variants, seed)):
        copies = prepare(said.wave, settings)
        yield Prepared(_SYNTHETIC, said.speaker, f"{said.speaker}/{number}", copies)


def is_held_out(key: str, share: float) -> bool:
    """Decide by the clip's name alone, so that new clips do not move old ones."""
    return int.from_bytes(hashlib.sha256(key.encode()).digest()[:4], "big") < share * 2**32


def assemble(clips: Iterator[Prepared], settings: CorpusSettings) -> tuple[NDArray[np.int16], pa.Table, int]:
    """Join prepared clips and return the audio, the index and the number of clips left out."""
    waves: list[NDArray[np.int16]] = []
    rows: list[dict[str, Any]] = []
    offset = dropped = 0
    for clip in clips:
        dropped += not clip.copies
        held_out = is_held_out(clip.key, settings.held_out)
        for speed, wave in zip(settings.speeds, clip.copies, strict=False):
            row = {"offset": offset, "length": wave.size, "source": clip.source, "speaker": clip.speaker}
            rows.append(row | {"speed": speed, "held_out": held_out})
            waves.append(wave)
            offset += wave.size
    return np.concatenate(waves), pa.Table.from_pylist(rows), dropped


def summarise(index: pa.Table, sources: list[Source], dropped: int, settings: CorpusSettings) -> dict[str, Any]:
    """Count distinct minutes (speed 1), clips and speakers of each source, with licence and version."""
    from importlib.metadata import version

    frame = index.to_pandas()
    frame = frame[frame.speed == 1.0]
    known = {s.name: (s.version, s.licence) for s in sources}
    known[_SYNTHETIC] = (f"espeakng-loader {version('espeakng-loader')}", "GPL-3.0-or-later (synthesiser)")
    listed = [
        {
            "name": name,
            "version": known[name][0],
            "licence": known[name][1],
            "minutes": round(float(part.length.sum()) / SAMPLE_RATE / 60, 1),
            "clips": len(part),
            "speakers": int(part.speaker.nunique()),
        }
        for name, part in frame.groupby("source", sort=False)
    ]
    return {
        "sources": listed,
        "minutes": round(float(frame.length.sum()) / SAMPLE_RATE / 60, 1),
        "held_out_minutes": round(float(frame[frame.held_out].length.sum()) / SAMPLE_RATE / 60, 1),
        "clips_left_out": dropped,
        "speeds": list(settings.speeds),
        "reserved_variants": list(settings.reserved_variants),
        "fsdd_first_take": settings.fsdd_first_take,
    }


def build(recipe: Recipe) -> dict[str, Any]:
    """Run the stage and return the summary."""
    settings = recipe.corpus
    sources = recorded(recipe.data / "sources", settings.fsdd_first_take)
    audio, index, dropped = assemble(_all_clips(sources, settings, recipe.seed), settings)
    folder = recipe.data / "corpus"
    write_array(folder / "audio.npy", audio)
    write_table(folder / "index.parquet", index)
    summary = summarise(index, sources, dropped, settings)
    write_json(folder / "corpus.json", summary)
    return summary


@dataclass(frozen=True)
class Corpus:
    """A built corpus: memory-mapped int16 audio and the index's columns."""

    audio: NDArray[np.int16]
    offset: NDArray[np.int64]
    length: NDArray[np.int64]
    speaker: NDArray[np.int64]
    """Number of the speaker at one speed: at another speed, a voice counts as another voice."""
    speed: NDArray[np.float64]
    held_out: NDArray[np.bool_]


def open_corpus(folder: Path) -> Corpus:
    """Open what `build` wrote."""
    frame = pq.read_table(folder / "index.parquet").to_pandas()
    return Corpus(
        audio=np.load(folder / "audio.npy", mmap_mode="r"),
        offset=frame.offset.to_numpy(),
        length=frame.length.to_numpy(),
        speaker=frame.groupby(["speaker", "speed"]).ngroup().to_numpy(),
        speed=frame.speed.to_numpy(),
        held_out=frame.held_out.to_numpy(),
    )


if __name__ == "__main__":
    print(json.dumps(build(read_recipe()), indent=2))
