"""Intake: hours of audio validated per minute, and the hundred-and-first day of a slot against its first.

    python benchmarks/bench_intake.py [--days 100]

A day is 40 clips of 3 s from 4 speakers, taken in as a delivery of its own: checks, shard, DVC push, commit and tag.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import tempfile
import time
from pathlib import Path

import numpy as np
import soundfile as sf

RATE = 16_000


def write_day(folder: Path, number: int, clips: int = 40, seconds: float = 3.0) -> Path:
    """Return a NeMo manifest of harmonic tones in noise, different for each day."""
    folder.mkdir(parents=True)
    rng = np.random.default_rng(number)
    times = np.arange(int(seconds * RATE)) / RATE
    rows = []
    for clip in range(clips):
        pitch = rng.uniform(90, 250)
        wave = sum(np.sin(2 * np.pi * pitch * k * times) / k for k in range(1, 8)) * (np.sin(9 * times) > -0.5)
        wave = 0.2 * wave + 0.005 * rng.standard_normal(len(times))
        sf.write(folder / f"{clip:04}.wav", wave.astype(np.float32), RATE)
        speaker = f"speaker-{clip % 4}"
        split = ("train", "train", "validation", "test")[clip % 4]
        rows.append({"audio_filepath": f"{clip:04}.wav", "text": "open the door", "speaker": speaker, "split": split})
    manifest = folder / "manifest.jsonl"
    manifest.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return manifest


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--days", type=int, default=100)
    days = parser.parse_args().days
    from pipelines.datasets.ingest import add_delivery
    from pipelines.local.initialise import init_workspace
    from pipelines.registry.slot import Slot

    for name in ("AUTHOR", "COMMITTER"):
        os.environ.update({f"GIT_{name}_NAME": "bench", f"GIT_{name}_EMAIL": "bench@example.org"})
    with tempfile.TemporaryDirectory() as parent:
        root = Path(parent)
        workspace = init_workspace(root / "workspace")
        big = write_day(root / "big", 10_000, clips=300, seconds=10.0)
        warm = write_day(root / "warm", 10_001)
        add_delivery(workspace, Slot.parse("warm/asr"), warm)  # uncounted: Great Expectations is imported here
        started = time.perf_counter()
        add_delivery(workspace, Slot.parse("big/asr"), big)
        minutes = (time.perf_counter() - started) / 60
        print(
            f"validated {300 * 10 / 3600:.2f} h of audio in {60 * minutes:.1f} s: {300 * 10 / 3600 / minutes:.1f} h/min"
        )
        times = []
        for day in range(days + 1):
            manifest = write_day(root / f"day-{day}", day)
            started = time.perf_counter()
            add_delivery(workspace, Slot.parse("daily/asr"), manifest)
            times.append(time.perf_counter() - started)
    first, last = statistics.median(times[:3]), statistics.median(times[-3:])
    print(f"| day | seconds |\n|---|---|\n| first (median of days 1 to 3) | {first:.2f} |")
    print(f"| after {days - 2} days (median of the last 3) | {last:.2f} |\n| ratio | {last / first:.2f} |")


if __name__ == "__main__":
    main()
