"""Work in chunks on an engine, in a process of its own: `engine_run ENGINE ADDRESS CASE [FOLDER]`."""

from __future__ import annotations

import functools
import importlib
import json
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

from pipelines.chunk_map import ChunkMap
from pipelines.local.compute_settings import Engine, FanOut
from pipelines.orchestration import engines

CHUNKS = [list(range(start, start + 3)) for start in range(0, 30, 3)]


def doubled(folder: Path, driver: int, chunk: Sequence[int]) -> list[int]:
    """Double numbers. 13 ends every process but the driver's, and 1 fails once."""
    if 13 in chunk and os.getpid() != driver:
        os._exit(1)
    failed = folder / "failed"
    if 1 in chunk and not failed.exists():
        failed.touch()
        raise OSError(28, "No space left on device")
    return [2 * number for number in chunk]


def forever(folder: Path, chunk: Sequence[int]) -> list[int]:
    """Work until the end of the process."""
    (folder / "working").touch()
    while True:
        time.sleep(0.05)


def main(engine: str, address: str, case: str, folder: str = ".") -> None:
    """Do what the case asks for; print what came back, and what was logged, as JSON."""
    said: list[str] = []
    chunk_map: ChunkMap | None = engines.chunk_map_of(FanOut(cast(Engine, engine), address), said.append)
    assert chunk_map is not None
    if case == "forever":
        list(chunk_map(functools.partial(forever, Path(folder)), iter(CHUNKS)))
    if case == "other release":
        release = engines.engine_release()
        engines.engine_release = lambda: release.replace("elp-foundry ", "elp-foundry 9.")
    try:
        work: Any = functools.partial(doubled, Path(folder), os.getpid())
        found = [number for done in chunk_map(work, iter(CHUNKS)) for number in done]
        print(json.dumps({"found": found, "said": said}))
    except Exception as error:
        print(json.dumps({"error": type(error).__name__, "text": str(error)}))


if __name__ == "__main__":
    # under the name that the workers know
    importlib.import_module("tests.support.engine_run").main(*sys.argv[1:])
