"""Training steps per second against what one would use instead, on a WavLM with random weights.

    python benchmarks/bench_training.py [--size base] [--steps 5] [--rows plain,lora-dropout] [--seconds 4] [--batch 8]

Each side runs in a process of its own, one after another, with 2 threads (on a GPU in bf16, if there is one); the
median of the steps after the warm-up counts. Ours is `ElpModel` as the trainer runs it: the CNN's output is kept, and
dropout is off if the row has it off. Every side reads waveforms of one length, has CTC over letters, clips gradients
and steps AdamW. Peak memory is the highest of the process, on a GPU what was allocated there.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from dataclasses import dataclass

# no torch here: on Linux the peak memory of a child process starts at that of its parent


@dataclass(frozen=True)
class Row:
    """One line of the table."""

    about: str
    theirs: str
    ours: str
    least: float
    """Ratio of step times (theirs / ours) at least; for the floor: ours / floor at most."""


ROWS = {
    "plain": Row("plain ELP, CNN in the graph, usual dropout", "plain", "elp-dropout", 2.4),
    "plain-frozen": Row("plain ELP, CNN frozen, dropout off", "plain-frozen", "elp", 1.5),
    "lora-dropout": Row("peft LoRA r 8 on the FFN, CNN frozen, usual dropout", "lora-dropout", "elp-dropout", 1.8),
    "lora": Row("peft LoRA r 8 on the FFN, CNN frozen, dropout off", "lora", "elp", 1.35),
    "full": Row("full fine-tuning, CNN frozen, usual dropout", "full", "elp-dropout", 2.1),
    "floor": Row("the floor: the same matrix products alone", "floor", "elp", 1.35),
    "l-plain": Row("plain L-only, nothing kept, for an L-only adapter on kept layers", "l-plain", "l", 15.0),
    "plain-l": Row("plain ELP as above, for an L-only adapter on kept layers", "plain", "l", 15.0),
}
MEMORY_SHARE = 0.6
HEAD = ("against", "its s", "our s", "its GiB", "our GiB", "ratio")


def cells(name: str, their: dict[str, float], our: dict[str, float]) -> list[str]:
    """Return the cells of a row under `HEAD`."""
    ratio, places = their["seconds"] / our["seconds"], 4 if our["seconds"] < 0.1 else 3
    shown = f"{1 / ratio:.2f} of it" if name == "floor" else f"{ratio:.2f} x"
    if name == "full":
        shown += f", {our['peak'] / their['peak']:.2f} of its memory"
    times = [f"{side['seconds']:.{places}f}" for side in (their, our)]
    return [ROWS[name].about, *times, *(f"{side['peak'] / 2**30:.1f}" for side in (their, our)), shown]


def aim(name: str, their: dict[str, float], our: dict[str, float]) -> tuple[str, bool]:
    """Return what a row aims at on two CPU cores, and whether it holds."""
    ratio, least = their["seconds"] / our["seconds"], ROWS[name].least
    if name == "floor":
        return f"at most {least:g}", 1 / ratio <= least
    if name == "full":
        share = our["peak"] / their["peak"]
        return f"{least:g} x, at most {MEMORY_SHARE:g}", ratio >= least and share <= MEMORY_SHARE
    return f"{least:g} x", ratio >= least


def in_own_process(name: str, options: argparse.Namespace) -> dict[str, float]:
    """Return what `training_sides.measure` returns in a new process."""
    command = [sys.executable, __file__, "--side", name, "--size", options.size, "--steps", str(options.steps)]
    command += ["--batch", str(options.batch), "--seconds", str(options.seconds)]
    folder = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    environment = {**os.environ, "OMP_NUM_THREADS": "2", "PYTHONPATH": folder}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    if done.returncode:
        raise SystemExit(f"{name} ended with {done.returncode}\n{done.stderr[-2000:]}")
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--rows", default=",".join(ROWS), help=f"of {', '.join(ROWS)}")
    parser.add_argument("--size", default="base", choices=["base", "large", "toy"])
    parser.add_argument("--steps", type=int, default=5)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--seconds", type=float, default=4.0)
    parser.add_argument("--side", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.side:
        from training_sides import measure

        print(json.dumps(measure(options.side, options.size, options.steps, options.batch, options.seconds)))
        return
    print(f"| {' | '.join(HEAD)} | target | held |\n|{'---|' * (len(HEAD) + 2)}")
    measured: dict[str, dict[str, float]] = {}
    for name in options.rows.split(","):
        row = ROWS[name]
        for side in (row.theirs, row.ours):
            if side not in measured:
                measured[side] = in_own_process(side, options)
        target, held = aim(name, measured[row.theirs], measured[row.ours])
        shown = [*cells(name, measured[row.theirs], measured[row.ours]), target, "yes" if held else "no"]
        print(f"| {' | '.join(shown)} |", flush=True)


if __name__ == "__main__":
    main()
