"""Intake of 20,000 half-second clips, again with nothing new, and of a 30-minute call that is cut into 1,900 segments.

    python benchmarks/bench_intake_sources.py [--clips 20000] [--segments 1900]

Prints wall time and processor time (of this process and its workers), because other work shares the machine. To compare
two versions of the program, run it alternately with the PYTHONPATH of each.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import soundfile as sf

SPLITS = ("train", "train", "validation", "test")


def _tone(rng: np.random.Generator, seconds: float, rate: int) -> np.ndarray:
    times = np.arange(round(seconds * rate)) / rate
    pitch = rng.uniform(90, 250)
    wave = sum(np.sin(2 * np.pi * pitch * k * times) / k for k in range(1, 8)) * np.sin(np.pi * times / seconds)
    return np.asarray(0.2 * wave + 0.003 * rng.standard_normal(len(times)))


def _manifest(folder: Path, rows: list[dict[str, object]]) -> Path:
    path = folder / "manifest.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def write_clips(folder: Path, clips: int) -> Path:
    """Return a NeMo manifest of half-second clips at 16 kHz, all different, of 40 speakers."""
    folder.mkdir()
    rng, rows = np.random.default_rng(0), []
    for number in range(clips):
        sf.write(folder / f"{number:05}.wav", _tone(rng, 0.5, 16_000).astype(np.float32), 16_000)
        speaker = number % 40
        row = {"audio_filepath": f"{number:05}.wav", "text": "open the door", "speaker": f"speaker-{speaker}"}
        rows.append(row | {"split": SPLITS[speaker % 4]})
    return _manifest(folder, rows)


def write_call(folder: Path, segments: int) -> Path:
    """Return a NeMo manifest of the segments of one call at 8 kHz: a tone of 0.3 to 0.6 s every 0.95 s."""
    folder.mkdir()
    rng, rows = np.random.default_rng(1), []
    call = (1e-4 * rng.standard_normal(round(0.95 * 8_000 * segments))).astype(np.float32)
    for number in range(segments):
        start, seconds = 0.95 * number + 0.1, float(np.round(rng.uniform(0.3, 0.6), 3))
        first = round(start * 8_000)
        tone = _tone(rng, seconds, 8_000)
        call[first : first + len(tone)] += tone.astype(np.float32)
        row = {"audio_filepath": "call.wav", "offset": round(start, 3), "duration": seconds, "text": "open the door"}
        rows.append(row | {"speaker": f"speaker-{number % 4}", "split": SPLITS[number % 4]})
    sf.write(folder / "call.wav", call, 8_000)
    return _manifest(folder, rows)


def _timed(name: str, run: Callable[[], object]) -> None:
    def processor() -> float:
        used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
        return sum(one.ru_utime + one.ru_stime for one in used)

    before, started = processor(), time.perf_counter()
    run()
    wall = time.perf_counter() - started
    peak = max(resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)) / 1024
    print(f"| {name} | {wall:.1f} | {processor() - before:.1f} | {peak:,.0f} |", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--clips", type=int, default=20_000)
    parser.add_argument("--segments", type=int, default=1_900)
    given = parser.parse_args()
    from pipelines.datasets.ingest import add_delivery
    from pipelines.local.initialise import init_workspace
    from pipelines.registry.slot import Slot

    for name in ("AUTHOR", "COMMITTER"):
        os.environ.update({f"GIT_{name}_NAME": "bench", f"GIT_{name}_EMAIL": "bench@example.org"})
    with tempfile.TemporaryDirectory() as parent:
        root = Path(parent)
        workspace = init_workspace(root / "workspace")
        clips, call = write_clips(root / "clips", given.clips), write_call(root / "call", given.segments)
        warm = write_clips(root / "warm", 40)
        add_delivery(workspace, Slot.parse("warm/asr"), warm)  # uncounted: libraries are imported here
        print("| delivery | wall s | processor s | largest process MiB |\n|---|---|---|---|")
        _timed(f"{given.clips:,} clips of 0.5 s", lambda: add_delivery(workspace, Slot.parse("many/asr"), clips))
        _timed("the same again", lambda: add_delivery(workspace, Slot.parse("many/asr"), clips))
        _timed(f"{given.segments:,} segments of a call", lambda: add_delivery(workspace, Slot.parse("call/asr"), call))


if __name__ == "__main__":
    main()
