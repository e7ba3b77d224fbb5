"""A smaller FSDD for benchmarks: the published test and validation takes, and the first takes of the training split."""

from __future__ import annotations

import os
import re
import tarfile
from pathlib import Path

FIRST_TRAINING_TAKE = 10
"""Takes 0 to 4 are the test split, 5 to 9 the validation split, as published."""


def some_takes(folder: Path, takes: int) -> Path:
    """Return the source of an intake: the recordings up to some takes of training, taken out of the archive once."""
    if not folder.is_dir():
        kept = Path(__file__).resolve().parents[2] / "shared" / "data" / "fsdd.tar.gz"
        with tarfile.open(Path(os.environ.get("ELP_FSDD") or kept)) as archive:
            for member in archive:
                take = re.search(r"_(\d+)\.wav$", member.name)
                if take is None or int(take[1]) < FIRST_TRAINING_TAKE + takes:
                    archive.extract(member, folder, filter="data")
    found = next(folder.rglob("*.wav")).parent
    return found.parent if (found.parent / "recordings").is_dir() else found
