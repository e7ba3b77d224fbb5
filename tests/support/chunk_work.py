"""Work on chunks for processes of their own, which import it by name. As a program with a folder, it works for ever."""

from __future__ import annotations

import functools
import os
import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from elp_core.errors import AudioError
from pipelines.local.chunk_processes import processes_map


def with_process(folder: Path, chunk: Sequence[int]) -> list[tuple[int, int]]:
    """Double numbers, each with the process that did it. 7 ends one process, 13 every one, 17 is an error.

    It begins when two processes have a chunk.
    """
    (folder / str(os.getpid())).touch()
    while len(list(folder.glob("[0-9]*"))) < 2:
        time.sleep(0.01)
    if (7 in chunk and not (folder / "died").exists()) or 13 in chunk:
        (folder / "died").touch()
        print("about to end", file=sys.stderr, flush=True)
        os.kill(os.getpid(), signal.SIGKILL)
    if 17 in chunk:
        raise AudioError("corrupt", "17 cannot be decoded")
    return [(2 * number, os.getpid()) for number in chunk]


def forever(folder: Path, chunk: Sequence[int]) -> list[int]:
    """Work until the end of the process, whose id is the name of a file."""
    del chunk
    (folder / str(os.getpid())).touch()
    while True:
        time.sleep(0.05)


if __name__ == "__main__":
    from tests.support import chunk_work

    list(processes_map([{}, {}])(functools.partial(chunk_work.forever, Path(sys.argv[1])), iter([[1], [2]])))
