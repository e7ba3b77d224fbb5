"""A packed dataset against the files it was made from: 500 clips of 1 s, medians of five turns, one thread.

    python benchmarks/bench_reading.py [--clips 500]

"Same statistics" means the seven figures of `elp_core.audio.measure` (duration, level, peak, clipping, DC, silence,
SNR) of every clip, compared for equality before the clock starts. What a reader of files must do for them is decode
each file and measure it. A shard carries them as columns, worked out once at intake: nothing is decoded, and that is
the point of packing. Three rows say what that buys, from the whole of it to none:

- statistics: the columns of the shards, against decoding and measuring the files (the row with the target);
- statistics and samples: the columns, and each clip's FLAC decoded, against decoding and measuring the files;
- statistics computed again: the FLAC decoded and measured, without use of the columns.

The files are WAV at 16 kHz, the cheapest that there is to decode, and WAV at 44.1 kHz, which is resampled when read.
"""

from __future__ import annotations

import argparse
import dataclasses
import statistics
import tempfile
from pathlib import Path

import numpy as np
import soundfile
import torch
from turns import take_turns

from elp_core.audio import load, measure
from elp_core.data.corpus import make_row, read_clips, read_table, write_shard
from elp_core.types import SAMPLE_RATE

SHARDS, TURNS = 4, 5
RATES = (SAMPLE_RATE, 44_100)
FIGURES = ("duration", "rms_db", "peak", "clipping", "dc", "silence", "snr_db")


def write_files(folder: Path, rate: int, clips: int) -> list[Path]:
    """Return clips of 1 s: harmonics in noise with pauses, some of them clipped."""
    folder.mkdir()
    rng, times, paths = np.random.default_rng(0), np.arange(rate) / rate, []
    for number in range(clips):
        wave = sum(np.sin(2 * np.pi * rng.uniform(90, 250) * k * times) / k for k in range(1, 6))
        wave = 0.5 * wave * (np.sin(9 * times + number) > -0.4) + 0.005 * rng.standard_normal(rate)
        paths.append(folder / f"{number:05}.wav")
        soundfile.write(paths[-1], np.clip(wave, -1, 1).astype(np.float32), rate, subtype="PCM_16")
    return paths


def from_files(paths: list[Path]) -> np.ndarray:
    """Return statistics [clips, 7] by decoding."""
    return np.array([dataclasses.astuple(measure(load(path))) for path in paths])


def from_columns(shards: list[Path]) -> np.ndarray:
    """Return statistics [clips, 7] from the shards' columns."""
    table = read_table(shards, FIGURES)
    return np.stack([table[name].to_numpy() for name in FIGURES], axis=1)


def with_samples(shards: list[Path]) -> tuple[np.ndarray, list[np.ndarray]]:
    """Return statistics and the decoded clips."""
    return from_columns(shards), [load(clip.audio) for clip in read_clips(shards)]


def computed_again(shards: list[Path]) -> np.ndarray:
    """Return statistics by decoding the shards."""
    return np.array([dataclasses.astuple(measure(load(clip.audio))) for clip in read_clips(shards)])


def compare(root: Path, rate: int, clips: int) -> None:
    paths = write_files(root / str(rate), rate, clips)
    rows = [make_row(load(path), split="train", source_rate=rate) for path in paths]
    shards = [write_shard(rows[part::SHARDS], root / f"shards-{rate}") for part in range(SHARDS)]

    def order(figures: np.ndarray) -> np.ndarray:
        return figures[np.lexsort(figures.T)]

    # a resampled sample is rounded to 16 bits in the shard, after it was measured: the columns are the files' figures
    np.testing.assert_allclose(order(from_columns(shards)), order(from_files(paths)), atol=1e-12)
    ways = {
        "files": lambda: from_files(paths),
        "statistics": lambda: from_columns(shards),
        "statistics and samples": lambda: with_samples(shards),
        "statistics computed again": lambda: computed_again(shards),
    }
    times = take_turns(ways, TURNS, warm_up=0)
    for name in list(ways)[1:]:
        ratios = [theirs / ours for theirs, ours in zip(times["files"], times[name], strict=True)]
        base, own = statistics.median(times["files"]), statistics.median(times[name])
        print(f"| {name} | {rate} Hz | {base:.3f} | {own:.3f} | {statistics.median(ratios):.1f} |")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clips", type=int, default=500)
    clips = parser.parse_args().clips
    # a second of audio is too little to share: with other jobs running, two threads wait for each other
    torch.set_num_threads(1)
    print("| what | files of | from the files, s | from the shards, s | times as fast |\n|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        for rate in RATES:
            compare(Path(folder), rate, clips)


if __name__ == "__main__":
    main()
