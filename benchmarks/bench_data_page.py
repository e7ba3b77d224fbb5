"""The console's data pages of a slot of 20,000 clips, over HTTP from a real guarded server.

The shards are written directly: 100 different sounds of two seconds, each under many ids. Medians of nine turns, after
one that is reported as the first; then the memory of the server before the first data page and at the end.
"""

from __future__ import annotations

import argparse
import hashlib
import statistics
import sys
import tempfile
import urllib.request
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

from turns import take_turns

# the server and the workspace of the tests are in no package
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from elp_core.data.corpus import ShardRow
from pipelines.registry.slot import Slot
from tests.support.guarded_server import guarded_server
from tests.support.slot_by_hand import SlotByHand, row

TURNS, SOUNDS, SHARD = 9, 100, 2000
SLOT = Slot("plant-a", "asr")


def rows(clips: int) -> Iterator[ShardRow]:
    sounds = [row(seed, seconds=2.0) for seed in range(SOUNDS)]
    for number in range(clips):
        sound = sounds[number % SOUNDS]
        split = ("train", "train", "train", "validation", "test")[number % 5]
        about = {"speaker": f"speaker {number % 200}", "path": f"{number:06d}.wav", "condition": f"line {number % 4}"}
        yield replace(sound, id=hashlib.sha256(f"{number}".encode()).hexdigest(), split=split, **about)


def fetch(address: str, part: str = "") -> int:
    """Wait for the whole answer and return its bytes."""
    asked = urllib.request.Request(address, headers={"Range": part} if part else {})
    with urllib.request.urlopen(asked, timeout=60) as answer:
        return len(answer.read())


def resident(pid: int) -> float:
    """MB in memory of a process and of those that it started."""
    status = Path(f"/proc/{pid}/status").read_text()
    own = next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmRSS"))
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return own / 1024 + sum(resident(int(child)) for child in children)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--clips", type=int, default=20_000)
    clips = parser.parse_args().clips
    with tempfile.TemporaryDirectory(prefix="elp-bench-") as scratch:
        made = SlotByHand.make(Path(scratch) / "workspace", SLOT)
        every = list(rows(clips))
        made.add(1, every, shard_clips=SHARD, golden=[one for one in every if one.split == "test"][:500])
        clip = every[clips // 2].id
        base = f"/elp/data/{SLOT}"
        pages = {
            "slot's data": base,
            "place 10,000, by SNR": f"{base}?first={clips // 2}&order=lowest+SNR+first",
            "filtered by split and text": f"{base}?split=test&text=valve",
            "quarantine": f"{base}/quarantine",
            "one clip": f"{base}/clips/{clip}",
        }
        with guarded_server(Path(scratch) / "server", environment={"ELP_DATA_ROOT": str(made.root)}) as server:
            fetch(f"{server.uri}/elp/")
            before = resident(server.pid)
            ways = {name: partial(fetch, server.uri + path) for name, path in pages.items()}
            sounds = iter(every)
            ways |= {
                "another sound": lambda: fetch(f"{server.uri}{base}/clips/{next(sounds).id}/sound"),
                "a part of one sound": partial(fetch, f"{server.uri}{base}/clips/{clip}/sound", "bytes=0-999"),
            }
            first = take_turns(ways, 1, warm_up=0)
            times = take_turns(ways, TURNS, warm_up=0)
            sizes = {name: run() for name, run in ways.items()}
            after = resident(server.pid)
    print(f"{clips:,} clips\n\n| page | first ms | median ms | worst ms | KB |\n|---|---|---|---|---|")
    for name, values in times.items():
        shown = (1e3 * seconds for seconds in (first[name][0], statistics.median(values), max(values)))
        print(f"| {name} | {' | '.join(f'{one:.0f}' for one in shown)} | {sizes[name] / 1e3:.0f} |")
    print(f"\nmemory of the server: {before:.0f} MB before the first data page, {after:.0f} MB after all of these")


if __name__ == "__main__":
    main()
