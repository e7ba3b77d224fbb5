"""The log-probabilities that an alignment needs, in a temporary file: memory does not depend on the recording."""

from __future__ import annotations

import math
import tempfile
from collections.abc import Sequence
from types import TracebackType
from typing import Self

import numpy as np
import numpy.typing as npt

from elp_core.inference.word_times import LogProbabilities
from elp_core.languages import BLANK

QUIET, BEST, FREE, UNITS = 1, 2, 3, 4
"""Columns of a row, after that of the blank (0): the better of blank and space; the best class; any class but blank
and space, for units that the inventory does not have; and the first of the units."""
_DOUBT = math.log(2)
"""How much less probable than the best class a unit is taken to be that the inventory does not have."""
_FLOOR = -60.0
"""Less than this is not stored: half precision has no room for it, and no path can use it."""


class EmissionFile:
    """Rows of log-probabilities, appended in order and read again in any: float16 [frames, `UNITS` + units].

    Only the classes that a transcript uses are kept. Half precision rounds a log-probability of -8 by 0.004, and an
    hour of letters takes 12 MB, of 2,000 characters 720 MB of disk.
    """

    def __init__(self, classes: Sequence[int], space: int | None = None) -> None:
        """Keep `classes`; `space` is the class of the blank between words, if the inventory has one."""
        self.frames = 0
        self._classes = np.asarray(classes, np.int64)
        self._quiet = [BLANK] if space is None else [BLANK, space]
        self._width = UNITS + len(self._classes)
        self._file = tempfile.TemporaryFile(prefix="elp-emissions-")  # noqa: SIM115

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._file.close()

    def append(self, rows: LogProbabilities) -> None:
        """Append float32 [frames, classes]."""
        kept = np.empty((len(rows), self._width), np.float32)
        kept[:, BLANK] = rows[:, BLANK]
        kept[:, QUIET] = rows[:, self._quiet].max(axis=1)
        kept[:, BEST] = rows.max(axis=1)
        spoken = np.delete(rows, self._quiet, axis=1)
        kept[:, FREE] = (spoken.max(axis=1) if spoken.shape[1] else _FLOOR) - _DOUBT
        kept[:, UNITS:] = rows[:, self._classes]
        self._file.seek(0, 2)
        self._file.write(np.maximum(kept, _FLOOR).astype(np.float16).tobytes())
        self.frames += len(rows)

    def rows(self, first: int, after: int) -> npt.NDArray[np.float32]:
        """Return the rows `first` … `after` - 1 as float32 [frames, columns]."""
        size = self._width * 2
        self._file.seek(first * size)
        found = np.frombuffer(self._file.read((after - first) * size), np.float16)
        return found.reshape(-1, self._width).astype(np.float32)
