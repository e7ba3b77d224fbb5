from __future__ import annotations

import numpy as np
import pytest

from pipelines.selection.coverage_pick import pick_clips, principal_points

RNG = np.random.default_rng(0)
CENTRES = np.array([[0, 0], [40, 0], [0, 40], [40, 40]], np.float32)
GROUPS = np.repeat(CENTRES, 10, 0) + RNG.normal(0, 2, (40, 2)).astype(np.float32)
NONE = GROUPS[:0]


def _groups(places: list[int]) -> list[int]:
    return sorted(place // 10 for place in places)


def test_picks_cover_all_groups_before_one_twice() -> None:
    found = pick_clips(GROUPS, NONE, [1.0] * 40, 4).picks
    assert _groups([pick.place for pick in found]) == [0, 1, 2, 3]
    assert [pick.stands_for for pick in found] == [10] * 4
    assert [pick.score for pick in found] == sorted((pick.score for pick in found), reverse=True)
    assert pick_clips(GROUPS, NONE, [1.0] * 40, 4).picks == found


def test_a_group_that_is_labelled_is_not_picked_again_and_an_uncertain_one_comes_first() -> None:
    labelled = CENTRES[:1] + 1
    assert _groups([pick.place for pick in pick_clips(GROUPS, labelled, [1.0] * 40, 3).picks]) == [1, 2, 3]
    weights = [0.9 if place // 10 == 2 else 0.1 for place in range(40)]
    first, second = pick_clips(GROUPS, labelled, weights, 2).picks
    assert first.place // 10 == 2
    assert second.place // 10 in (1, 3)


def test_one_far_recording_does_not_come_before_a_group() -> None:
    points = np.concatenate([GROUPS, np.array([[400, 400]], np.float32)])
    # farthest-first would take it second, and the more so because it is uncertain
    places = [pick.place for pick in pick_clips(points, NONE, [0.5] * 40 + [1.0], 4).picks]
    assert 40 not in places


def test_of_near_copies_one_is_picked_and_the_others_are_named() -> None:
    points = np.concatenate([CENTRES, CENTRES + 0.01])
    found = pick_clips(points, NONE, [1.0] * 8, 8)
    assert sorted(pick.place % 4 for pick in found.picks) == [0, 1, 2, 3]
    assert {one % 4 for one in found.copies} == {0, 1, 2, 3}
    assert all(of % 4 == one % 4 for one, of in found.copies.items())
    assert pick_clips(CENTRES, CENTRES[:1], [1.0] * 4, 4).copies == {0: -1}


@pytest.mark.parametrize("number", [1, 3])
def test_the_greedy_choice_is_that_of_a_full_search_in_every_step(number: int) -> None:
    weights = RNG.uniform(0.1, 1, 40)
    distances = np.linalg.norm(GROUPS[:, None] - GROUPS[None], axis=2)
    scale = np.median(distances[np.triu_indices(40, 1)])
    alike, cover, expected = np.maximum(0, 1 - distances / scale), np.zeros(40), []
    for _ in range(number):
        gains = np.maximum(alike - cover, 0).sum(axis=1) * weights
        gains[expected] = -1
        expected.append(int(gains.argmax()))
        cover = np.maximum(cover, alike[expected[-1]])
    assert [pick.place for pick in pick_clips(GROUPS, NONE, list(weights), number).picks] == expected


def test_few_and_equal_recordings() -> None:
    assert pick_clips(NONE, NONE, [], 5).picks == ()
    alone = pick_clips(GROUPS[:1], NONE, [1.0], 5)
    assert [pick.place for pick in alone.picks] == [0]
    same = pick_clips(np.zeros((3, 2), np.float32), NONE, [1.0] * 3, 5)
    assert len(same.picks) == 1


def test_features_of_any_scale_count_the_same() -> None:
    scaled = GROUPS * np.array([1000, 0.001], np.float32)
    points, labelled = principal_points(scaled, scaled[:2])
    assert points.shape == (40, 2)
    assert np.allclose(points[:2], labelled)
    found = pick_clips(points, labelled[:0], [1.0] * 40, 4).picks
    assert _groups([pick.place for pick in found]) == [0, 1, 2, 3]
