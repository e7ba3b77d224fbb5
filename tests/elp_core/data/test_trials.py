from __future__ import annotations

import numpy as np
import pytest

from elp_core.data.trials import pair_positions


def test_all_pairs_of_distinct_clips() -> None:
    a, b = pair_positions(4)
    assert list(zip(a.tolist(), b.tolist(), strict=True)) == [(0, 1), (0, 2), (0, 3), (1, 2), (1, 3), (2, 3)]


@pytest.mark.parametrize("count", [0, 1])
def test_too_few_clips_make_no_trial(count: int) -> None:
    assert [len(positions) for positions in pair_positions(count)] == [0, 0]


def test_a_capped_sample_is_distinct_ordered_and_repeats() -> None:
    a, b = pair_positions(50, cap=300)
    assert len(set(zip(a.tolist(), b.tolist(), strict=True))) == 300
    assert bool((a < b).all())
    assert int(b.max()) < 50
    assert np.array_equal(a, pair_positions(50, cap=300)[0])


def test_pair_numbers_cover_every_pair() -> None:
    whole = set(zip(*(p.tolist() for p in pair_positions(12)), strict=True))
    drawn = {
        pair for seed in range(40) for pair in zip(*(p.tolist() for p in pair_positions(12, 30, seed)), strict=True)
    }
    assert drawn == whole
