"""Lists of verification trials as they are published, and the file of a golden set's trials."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from elp_core.data.trials import TrialList
from elp_core.files import write_whole
from pipelines.errors import IntakeError

SUFFIX = ".trials"
"""Of the file in a golden set's folder: a Parquet file with the columns a, b (clip ids) and target."""
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


def find_clips(trials: TrialNames, paths: Mapping[str, str]) -> tuple[TrialList, list[str]]:
    """Return the trials between the clips of a set (id by path), and the files of the list that the set does not hold.

    A list names the ends of paths: ``id10270/x/00001.wav`` is the clip ``wav/id10270/x/00001.wav``. Raise IntakeError
    if a name is the end of several paths.
    """
    depths = {file.count("/") for _, *pair in trials.pairs for file in pair}
    ends: dict[str, set[str]] = {}
    for path, clip in paths.items():
        parts = path.split("/")
        for depth in depths:
            ends.setdefault("/".join(parts[-depth - 1 :]), set()).add(clip)
    used = {file: ends.get(file, set()) for _, *pair in trials.pairs for file in pair}
    if several := sorted(file for file, clips in used.items() if len(clips) > 1):
        raise IntakeError(f"{trials.name}: {several[0]} is the end of several clips' paths; name more of the path")
    found = {file: next(iter(clips)) for file, clips in used.items() if clips}
    kept = [(target, found[a], found[b]) for target, a, b in trials.pairs if a in found and b in found]
    listed = TrialList(
        trials.name,
        tuple(a for _, a, _ in kept),
        tuple(b for _, _, b in kept),
        tuple(target for target, *_ in kept),
    )
    return listed, sorted(used.keys() - found.keys())


def write_trials(trials: TrialList, folder: Path) -> Path:
    """Write trials as a file in `folder`, named by their digest."""
    columns = {"a": pa.array(trials.first), "b": pa.array(trials.second), "target": pa.array(trials.targets)}
    sink = pa.BufferOutputStream()
    pq.write_table(pa.table(columns, metadata={"name": trials.name}), sink, compression="zstd")
    target = folder / f"{trials.digest.removeprefix('sha256:')[:16]}{SUFFIX}"
    write_whole(target, sink.getvalue().to_pybytes())
    return target


def read_trials(path: Path) -> TrialList:
    """Return the trials in a file of `write_trials`."""
    table = pq.read_table(path)
    name = (table.schema.metadata or {}).get(b"name", b"").decode()
    columns = (tuple(table[column].to_pylist()) for column in ("a", "b", "target"))
    return TrialList(name, *columns)
