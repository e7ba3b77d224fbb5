"""Lists of verification trials: as they are published, and as Git keeps those of a golden set.

A golden set's trials name its clips by their places, and no file or person: Git's history cannot be erased.
"""

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from elp_core.data.trials import TrialList
from elp_core.errors import CorpusError
from pipelines.errors import IntakeError

_MOST_BYTES = 2**30
_LABELS = {"1": True, "0": False, "target": True, "nontarget": False}


@dataclass(frozen=True)
class TrialNames:
    """A published list of trials, which names audio files."""

    name: str
    pairs: tuple[tuple[bool, str, str], ...]
    """Whether both files are of one speaker, and the two files."""


def read_trial_list(path: Path, name: str = "") -> TrialNames:
    """Read a list of lines ``1 file file`` (VoxCeleb, 1 is a target) or ``file file target`` (Kaldi, or nontarget).

    Raise IntakeError that lists the lines that are neither.
    """
    pairs: list[tuple[bool, str, str]] = []
    faults: list[str] = []
    # the same names occur in many lines: one string of each is kept
    names: dict[str, str] = {}
    if path.stat().st_size > _MOST_BYTES:
        raise IntakeError(f"{path} has more than {_MOST_BYTES // 2**20} MiB; expected lines such as: 1 file file")
    for number, line in enumerate(path.read_text(encoding="utf-8-sig", errors="replace").splitlines(), 1):
        fields = line.split()
        if not fields:
            continue
        label, *files = fields if fields[0] in _LABELS else [fields[-1], *fields[:-1]]
        if label not in _LABELS or len(files) != 2:
            faults.append(f"{path.name}, line {number}: expected 1 or 0 and two files, got {line[:80]!r}")
        else:
            one, other = (names.setdefault(file, file) for file in files)
            pairs.append((_LABELS[label], one, other))
    if faults or not pairs:
        raise IntakeError(f"{path} is not a list of trials; expected lines such as: 1 file file", faults)
    return TrialNames(name or path.name, tuple(pairs))


def write_positions(trials: TrialList, clips: Collection[str]) -> str:
    """Return trials as lines ``1 12 345``: 1 for a target, and the places of both clips among the sorted `clips`."""
    first, second = trials.positions(sorted(clips))
    rows = zip(trials.targets, first.tolist(), second.tolist(), strict=True)
    return "".join(f"{int(target)} {one} {other}\n" for target, one, other in rows)


def read_positions(text: str, name: str, clips: Collection[str]) -> TrialList:
    """Return the trials that `write_positions` wrote; raise CorpusError if they are not trials of these `clips`."""
    ordered = sorted(clips)
    try:
        values = np.array(text.split(), np.int64).reshape(-1, 3)
    except ValueError as error:
        raise CorpusError(f"the trials of {name} are damaged: {error}; restore them from Git") from error
    if len(values) and not (values[:, 1:].min() >= 0 and values[:, 1:].max() < len(ordered)):
        raise CorpusError(f"the trials of {name} name a clip beyond the {len(ordered)} of the golden set")
    first, second = (tuple(ordered[place] for place in values[:, side].tolist()) for side in (1, 2))
    return TrialList(name, first, second, tuple(map(bool, values[:, 0].tolist())))
