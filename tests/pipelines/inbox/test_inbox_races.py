"""Writers and workers at once, killed at any moment: each clip is taken in exactly once, and none in part."""

from __future__ import annotations

import hashlib
import os
import random
import signal
import subprocess
import sys
import textwrap
import time
from collections import Counter
from pathlib import Path

import pytest

from pipelines.inbox.folder_inbox import FolderInbox

WRITER = """
    import hashlib, os, random, sys, time
    folder, writer, count, seed = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
    chance = random.Random(seed)
    for number in range(count):
        data = f"{writer} {number} ".encode() * chance.randint(1, 400)
        name = os.path.join(folder, f"{writer}-{number:05}.wav")
        half = len(data) // 2
        # as a program that writes in place, without a temporary name, and may be killed in the middle
        with open(name, "wb", buffering=0) as file:
            file.write(data[:half])
            if chance.random() < 0.02:
                time.sleep(chance.random() * 0.05)
            file.write(data[half:])
        with open(name + ".done", "wb"):
            pass
"""
WORKER = """
    import hashlib, os, sys, time
    from pathlib import Path
    from pipelines.inbox.inbox_records import LEASE_SECONDS
    from pipelines.inbox import take_deliveries
    from tests.support.inboxes import SLOT, bare_workspace

    root, address, ledger, lease = Path(sys.argv[1]), sys.argv[2], sys.argv[3], float(sys.argv[4])
    take_deliveries.LEASE_SECONDS = lease
    workspace = bare_workspace(root, path=address, complete="marker")

    def ingest(path):
        data = path.read_bytes()
        # like the transaction of a dataset: a key that is known adds nothing; one append is one write
        key = hashlib.sha256(data).hexdigest()
        with open(ledger, "ab", buffering=0) as file:
            file.write(f"{path.name} {key}\\n".encode())
        return "data/plant-a/asr/v1"

    while True:
        done = take_deliveries.take_waiting(workspace, SLOT, ingest, lambda refusal: None)
        if not done.taken:
            time.sleep(0.05)
"""


def _start(script: str, *arguments: object) -> subprocess.Popen[bytes]:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(Path.cwd()), os.environ.get("PYTHONPATH", "")])}
    return subprocess.Popen([sys.executable, "-c", textwrap.dedent(script), *map(str, arguments)], env=environment)


def _content(writer: str, count: int, seed: int) -> dict[str, str]:
    chance, found = random.Random(seed), {}
    for number in range(count):
        data = f"{writer} {number} ".encode() * chance.randint(1, 400)
        if chance.random() < 0.02:
            chance.random()
        found[f"{writer}-{number:05}.wav"] = hashlib.sha256(data).hexdigest()
    return found


def _race(tmp_path: Path, files: int, kills: int, seconds: float) -> None:
    """Let 4 writers drop files while 2 workers take them in; kill writers and workers, and start them again."""
    base, ledger = tmp_path / "drop", tmp_path / "ledger"
    folder = base / "plant-a" / "asr"
    folder.mkdir(parents=True)
    chance, each = random.Random(4711), files // 4
    want = {name: key for n in range(4) for name, key in _content(f"w{n}", each, n).items()}
    writers = {n: _start(WRITER, folder, f"w{n}", each, n) for n in range(4)}
    workers = {n: _start(WORKER, tmp_path / f"state-{n}", base, ledger, 1.0) for n in range(2)}
    inbox, ends, left = FolderInbox(folder), time.monotonic() + seconds, kills
    size, taken = 60, 0
    try:
        while time.monotonic() < ends:
            if not left and all(one.poll() == 0 for one in writers.values()):
                if not (inbox.entries() or inbox.claims()):
                    break
                time.sleep(0.2)
                continue
            # in the middle of the work, and not while a worker still imports its modules
            lines = ledger.stat().st_size // size if ledger.exists() else 0
            if not left or (lines < taken and len(inbox.entries()) > 4):
                time.sleep(0.01)
                continue
            taken = lines + chance.randint(1, max(2, files // kills))
            kind, group = ("writer", writers) if chance.random() < 0.3 else ("worker", workers)
            n = chance.choice(list(group))
            group[n].send_signal(signal.SIGKILL)
            group[n].wait()
            left -= 1
            # a writer begins again from its start: what was taken in comes a second time
            group[n] = (
                _start(WRITER, folder, f"w{n}", each, n)
                if kind == "writer"
                else _start(WORKER, tmp_path / f"state-{n}", base, ledger, 1.0)
            )
        assert all(one.poll() == 0 for one in writers.values())
    finally:
        for one in [*writers.values(), *workers.values()]:
            one.kill()
            one.wait()
    assert inbox.entries() == []
    got = {tuple(line.split()) for line in ledger.read_text().splitlines()}
    # every file whole, and none in part: the key of a part would be another one
    assert got == set(want.items())
    kept = Counter(path.name for path in folder.glob(".taken/*/*.wav"))
    assert kept.keys() == want.keys()
    assert not [path for path in folder.glob(".claimed/*") if path.is_dir()]


def test_four_writers_and_two_workers_that_are_killed(tmp_path: Path) -> None:
    _race(tmp_path, files=200, kills=8, seconds=120)


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_ten_thousand_files_of_four_writers_and_two_workers_that_are_killed(tmp_path: Path) -> None:
    _race(tmp_path, files=10_000, kills=100, seconds=1500)
