"""The cells of `paper.py`: scores of all folds together, with their interval, next to what was published."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pipelines.registry.policies import GatePolicy

PUBLISHED: dict[str, tuple[str, str, str, str, str]] = {
    "full": ("85.1 M", "7.87 ± 0.08", "4.42 ± 0.25", "79.03 ± 0.62", "99.65 ± 0.076"),
    "bottleneck": ("9.53 M", "8.92 ± 0.13", "3.95 ± 0.29", "79.19 ± 0.44", "99.61 ± 0.042"),
    "el": ("9.13 M", "7.90 ± 0.06", "2.63 ± 0.09", "80.00 ± 0.31", "99.67 ± 0.041"),
    "l": ("4.74 M", "9.50 ± 0.08", "2.74 ± 0.09", "78.93 ± 0.52", "99.68 ± 0.025"),
    "e": ("4.79 M", "9.00 ± 0.16", "4.82 ± 0.02", "76.91 ± 0.48", "99.66 ± 0.040"),
}
"""WavLM Base+ by the authors' own table (github.com/sinhat98/adapter-wavlm, README): trainable parameters, ASR WER, ASV
EER, SER, SIC accuracy in per cent, each ± the deviation over runs. Without P-adapters."""
NOTES = """\
Intervals are bootstrap intervals over the speakers of the test data (clips in a closed set). The folds of IEMOCAP are
scored together. *Published* is the authors' table for WavLM Base+ without P-adapters
(github.com/sinhat98/adapter-wavlm). By its code, its WER is probably on dev-clean, greedy; its figure for emotion is
the mean recall over classes on random folds over utterances, so speakers are in training and test. Its learning rates
were chosen for each method and task; here they are those of `--settings`."""


@dataclass(frozen=True)
class Cell:
    """One figure of the table, as shares."""

    method: str
    metric: str = ""
    value: float = math.nan
    lower: float | None = None
    upper: float | None = None
    """None if one speaker gives no interval."""
    clips: int = 0
    speakers: int = 0
    parameters: int = 0
    failed: str = ""
    """Why a fold could not be trained; empty if all could."""

    @property
    def text(self) -> str:
        """Return the figure with its interval in per cent; accuracy in place of an error rate."""
        if self.failed:
            return f"failed: {self.failed.splitlines()[-1][:60]}"
        ends = [self.value, self.lower, self.upper]
        if self.metric == "error_rate":
            ends = [None if end is None else 1 - end for end in (self.value, self.upper, self.lower)]
        value, low, high = ("?" if end is None else f"{100 * end:.2f}" for end in ends)
        return f"{value} ({low} … {high})"


def pooled(method: str, scores: Sequence[Any], policy: GatePolicy, closed_set: bool, parameters: int) -> Cell:
    """Return the cell of a method from the scores of its folds; a text among them is the reason of a failure."""
    from pipelines.gating.compare import compare_scores

    if failures := [one for one in scores if isinstance(one, str)]:
        return Cell(method, failed=failures[0], parameters=parameters)
    whole = scores[0] if len(scores) == 1 else join_clips(scores)
    found = compare_scores(whole, None, policy, closed_set).challenger
    upper = found.upper if math.isfinite(found.upper) else None
    lower = max(0.0, found.lower) if upper is not None else None
    speakers = len(set(whole.speakers) - {""})
    return Cell(method, whole.metric, found.value, lower, upper, len(whole.ids), speakers, parameters)


def join_clips(scores: Sequence[Any]) -> Any:
    """Return the clip scores of several folds as those of one set."""
    import numpy as np

    from elp_core.metrics.scores import ClipScores

    def column(name: str) -> tuple[str, ...]:
        return tuple(value for one in scores for value in getattr(one, name))

    return ClipScores(
        ids=column("ids"),
        speakers=column("speakers"),
        conditions=column("conditions"),
        errors=np.concatenate([one.errors for one in scores]),
        tokens=np.concatenate([one.tokens for one in scores]),
        hypotheses=column("hypotheses"),
        references=column("references"),
        metric=scores[0].metric,
    )


def markdown(backbone: str, cells: Mapping[str, Mapping[str, Cell]], protocols: Mapping[str, str]) -> str:
    """Return the table with a row for each method, a column for each task, and the protocol of each column."""
    columns = list(cells)
    methods = list(dict.fromkeys(method for column in cells.values() for method in column))
    lines = [f"# The paper's table on {backbone}", ""]
    headers = ["method", "trainable", *(name for column in columns for name in (f"{column} (%)", "published"))]
    lines += ["| " + " | ".join(headers) + " |", "|" + "---|" * len(headers)]
    for method in methods:
        found = [cells[column].get(method) for column in columns]
        size = max((cell.parameters for cell in found if cell), default=0)
        row = [method, f"{size / 1e6:.2f} M"]
        for column, cell in zip(columns, found, strict=True):
            row += [cell.text if cell else "—", _published(method, column)]
        lines.append("| " + " | ".join(row) + " |")
    lines += ["", "| column | protocol | clips | speakers |", "|---|---|---|---|"]
    for column in columns:
        one = next((cell for cell in cells[column].values() if not cell.failed), Cell(""))
        lines.append(f"| {column} | {protocols[column]} | {one.clips:,} | {one.speakers:,} |")
    return "\n".join([*lines, "", NOTES, ""])


def _published(method: str, column: str) -> str:
    place = {"ASR": 1, "ASV": 2, "SIC": 4}.get(column[:3], 3 if "random" in column else 0)
    return PUBLISHED[method][place] if place and method in PUBLISHED else "—"
