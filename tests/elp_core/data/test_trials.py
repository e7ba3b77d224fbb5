from __future__ import annotations

import numpy as np
import pytest

from elp_core.data.trials import Trial, all_pairs, pair_positions
from tests.support.clips import two_speakers


def test_all_pairs_of_distinct_clips() -> None:
    clips = two_speakers(2)
    trials = all_pairs(clips)
    assert len(trials) == 6
    assert trials[0] == Trial(clips[0].id, clips[1].id, target=False)
    assert trials[1] == Trial(clips[0].id, clips[2].id, target=True)


@pytest.mark.parametrize("count", [0, 1])
def test_too_few_clips_make_no_trial(count: int) -> None:
    assert all_pairs(two_speakers()[:count]) == []


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
