"""A small file system in memory that is full soon; to mount it, the tests have to run as root."""

from __future__ import annotations

import contextlib
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

from tests.support.missing import skip_without


@contextlib.contextmanager
def full_disk(folder: Path, kibibytes: int) -> Iterator[Path]:
    """Give a folder that is a file system of this size."""
    folder.mkdir(parents=True, exist_ok=True)
    if os.geteuid() != 0:
        skip_without("no small disk: only root may mount one")
    command = ["mount", "-t", "tmpfs", "-o", f"size={kibibytes}k", "tmpfs", str(folder)]
    mounted = subprocess.run(command, capture_output=True, text=True)
    if mounted.returncode:
        skip_without(f"no small disk: {mounted.stderr.strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def resize(disk: Path, kibibytes: int) -> None:
    """Give a disk of `full_disk` another size, as if somebody had freed some space."""
    subprocess.run(["mount", "-o", f"remount,size={kibibytes}k", str(disk)], check=True, capture_output=True)
