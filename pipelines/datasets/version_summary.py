"""The figures of a dataset version for its page: splits, histograms, and clips by speaker, label and condition."""

import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from elp_core.groups import GROUP, group_values
from elp_core.types import SPLITS, Seconds

_COUNTED = ("speaker", "label")
_BARS = 24
"""Bars of a histogram, at most one more."""


@dataclass(frozen=True)
class SplitLine:
    """What one split holds."""

    name: str
    clips: int
    seconds: Seconds
    speakers: int
    """Named ones."""
    labels: int
    """Classes."""
    words: int
    """Of the transcripts, by their spaces."""
    characters: int
    """Of the transcripts, spaces included."""


@dataclass(frozen=True)
class Histogram:
    """How many clips have which value: `counts` of steps of equal width, from `first` up."""

    title: str
    unit: str
    first: float
    step: float
    counts: tuple[int, ...]
    smallest: float
    median: float
    largest: float


@dataclass(frozen=True)
class NameLine:
    """The clips of one speaker, label, condition or group."""

    name: str
    clips: int
    seconds: Seconds
    splits: dict[str, int] = field(default_factory=dict)
    """Clips by split."""


@dataclass(frozen=True)
class VersionFigures:
    """The figures of a version."""

    splits: tuple[SplitLine, ...]
    """In the order of `SPLITS`; those without clips are left out."""
    histograms: tuple[Histogram, ...]
    speakers: tuple[NameLine, ...]
    """The most frequent first; clips without a name are not counted."""
    labels: tuple[NameLine, ...]
    conditions: tuple[NameLine, ...]
    groups: tuple[NameLine, ...] = ()
    """Such as ``dialect=kansai``; a clip counts for each of its keys."""


def count_clips(table: pa.Table) -> VersionFigures:
    """Return the figures of a table with the columns of a `ShownClip`."""
    length = pc.utf8_length(table["text"])
    lists = pc.list_value_length(pc.utf8_split_whitespace(table["text"]))
    # an empty text is split into one empty word
    words = pc.if_else(pc.equal(length, 0), 0, lists)
    counted = table.append_column("characters", length).append_column("words", words)
    lines = [_split_line(name, counted.filter(pc.equal(counted["split"], name))) for name in SPLITS]
    drawn = (
        histogram("Duration", "s", table["duration"].to_numpy(), 0.05),
        histogram("Level", "dBFS", table["rms_db"].to_numpy(), 0.5),
        histogram("Signal-to-noise ratio", "dB", table["snr_db"].to_numpy(), 0.5),
        histogram("Length of the transcript", "characters", length.filter(pc.greater(length, 0)).to_numpy(), 1.0),
    )
    return VersionFigures(
        splits=tuple(line for line in lines if line.clips),
        histograms=tuple(one for one in drawn if one),
        speakers=_names(table, "speaker"),
        labels=_names(table, "label"),
        conditions=_names(table, "condition"),
        groups=_groups(table),
    )


def _groups(table: pa.Table) -> tuple[NameLine, ...]:
    found: dict[str, NameLine] = {}
    for line in _names(table, GROUP):
        for key, value in group_values(line.name).items():
            old = found.get(name := f"{key}={value}") or NameLine(name, 0, 0.0)
            splits = {one: old.splits.get(one, 0) + line.splits.get(one, 0) for one in {*old.splits, *line.splits}}
            found[name] = NameLine(name, old.clips + line.clips, old.seconds + line.seconds, splits)
    return tuple(sorted(found.values(), key=lambda line: (-line.clips, line.name)))


def histogram(title: str, unit: str, values: npt.NDArray[Any], least: float) -> Histogram | None:
    """Return the histogram of values; None without a finite value.

    A step is 1, 2 or 5 times a power of ten, and `least` or more: smaller differences mean nothing.
    """
    known = values[np.isfinite(values)].astype(np.float64)
    if not known.size:
        return None
    low, high = float(known.min()), float(known.max())
    step = _step(max((high - low) / _BARS, least))
    first = math.floor(low / step)
    places = np.floor(known / step).astype(np.int64) - first
    counts = tuple(int(number) for number in np.bincount(places))
    return Histogram(title, unit, first * step, step, counts, low, float(np.median(known)), high)


def _step(least: float) -> float:
    power = 10.0 ** math.floor(math.log10(least))
    return next(power * factor for factor in (1.0, 2.0, 5.0, 10.0) if power * factor >= least * (1 - 1e-9))


def _split_line(name: str, rows: pa.Table) -> SplitLine:
    named = {kind: pc.count_distinct(rows[kind].filter(pc.not_equal(rows[kind], ""))).as_py() for kind in _COUNTED}
    sums = {kind: pc.sum(rows[kind]).as_py() or 0 for kind in ("duration", "words", "characters")}
    return SplitLine(
        name,
        rows.num_rows,
        float(sums["duration"]),
        named["speaker"],
        named["label"],
        int(sums["words"]),
        int(sums["characters"]),
    )


def _names(table: pa.Table, kind: str) -> tuple[NameLine, ...]:
    groups = table.filter(pc.not_equal(table[kind], "")).group_by([kind, "split"])
    found: dict[str, NameLine] = {}
    for row in groups.aggregate([("duration", "sum"), ("id", "count")]).to_pylist():
        name, number = row[kind], row["id_count"]
        old = found.get(name) or NameLine(name, 0, 0.0)
        splits = old.splits | {row["split"]: number}
        found[name] = NameLine(name, old.clips + number, old.seconds + row["duration_sum"], splits)
    return tuple(sorted(found.values(), key=lambda line: (-line.clips, line.name)))
