from __future__ import annotations

import numpy as np
import pytest

from elp_core.errors import CorpusError
from elp_core.metrics.scores import ClipScores, TrialScores


def clips(errors: list[int], words: list[int]) -> ClipScores:
    names = tuple(f"c{i}" for i in range(len(errors)))
    return ClipScores(names, ("s",) * len(errors), names, np.array(errors), np.array(words), names, names)


def trials(**changes: object) -> TrialScores:
    columns: dict[str, object] = {
        "ids": ("c0", "c1", "c2"),
        "speakers": ("x", "x", "y"),
        "conditions": ("", "", "noisy"),
        "a": [0, 0, 1],
        "b": [1, 2, 2],
        "scores": [0.9, 0.1, 0.2],
        "targets": [True, False, False],
    }
    return TrialScores(**{**columns, **changes})


def test_selected_clips_keep_their_rows_together() -> None:
    some = clips([1, 2, 3], [4, 5, 6]).select([2, 0])
    assert (some.ids, some.references, some.errors.tolist(), some.tokens.tolist()) == (
        ("c2", "c0"),
        ("c2", "c0"),
        [3, 1],
        [6, 4],
    )


def test_selected_trials_keep_only_the_clips_they_use() -> None:
    some = trials().select([2])
    assert (some.ids, some.speakers, some.conditions) == (("c1", "c2"), ("x", "y"), ("", "noisy"))
    assert (some.a.tolist(), some.b.tolist(), some.scores.tolist()) == ([0], [1], [0.2])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"b": [1, 2]}, r"trials: columns of lengths 3 and \[2, 3, 3\]"),
        ({"speakers": ("x",)}, r"clips of the trials: columns of lengths 3"),
        ({"a": [0, 0, 3]}, "a trial names a clip beyond the 3 clips given"),
        ({"a": [0, 0, -1]}, "a trial names a clip beyond the 3 clips given"),
        ({"scores": [0.9, float("nan"), 0.2]}, "trial scores are not all finite"),
    ],
)
def test_broken_trials_are_refused(changes: dict[str, object], message: str) -> None:
    with pytest.raises(CorpusError, match=message):
        trials(**changes)


def test_negative_counts_are_refused() -> None:
    with pytest.raises(CorpusError, match="negative count of errors or tokens"):
        clips([-1], [4])
