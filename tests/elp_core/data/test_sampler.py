from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from elp_core.data.sampler import join_groups, length_buckets

DURATIONS = st.lists(st.floats(0.1, 40.0), max_size=60)


@given(DURATIONS, st.integers(0, 5), st.booleans())
def test_every_clip_once_and_within_the_budget(durations: list[float], epoch: int, shuffle: bool) -> None:
    batches = length_buckets(durations, 30.0, 1, epoch, shuffle)
    assert sorted(position for batch in batches for position in batch) == list(range(len(durations)))
    assert all(len(batch) == 1 or len(batch) * max(durations[i] for i in batch) <= 30.0 for batch in batches)


def test_epochs_differ_and_repeat() -> None:
    durations = [0.3 + 0.01 * i for i in range(100)]
    assert length_buckets(durations, 5.0, 0, 1) == length_buckets(durations, 5.0, 0, 1)
    assert length_buckets(durations, 5.0, 0, 1) != length_buckets(durations, 5.0, 0, 2)
    assert length_buckets(durations, 5.0, 0, 1) != length_buckets(durations, 5.0, 1, 1)


def test_batches_waste_little_on_padding() -> None:
    durations = [0.2 + 0.02 * (i * 37 % 100) for i in range(400)]
    batches = length_buckets(durations, 20.0, 0, 0)
    padded = sum(len(batch) * max(durations[i] for i in batch) for batch in batches)
    assert padded < 1.25 * sum(durations)


@given(st.integers(0, 50), st.floats(0, 1), st.integers(1, 4))
def test_groups_hold_every_clip_once(count: int, share: float, size: int) -> None:
    groups = join_groups(count, share, size, 0, 0)
    assert sorted(position for group in groups for position in group) == list(range(count))
    assert all(1 <= len(group) <= size for group in groups)


def test_the_share_of_joined_clips() -> None:
    groups = join_groups(1000, 0.3, 3, 0, 0)
    assert 300 <= sum(len(group) for group in groups if len(group) > 1) <= 302
    assert all(len(group) == 1 for group in join_groups(10, 0.0, 3, 0, 0))
