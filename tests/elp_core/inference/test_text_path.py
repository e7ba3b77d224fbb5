from __future__ import annotations

import functools
from collections.abc import Callable, Sequence

import numpy as np
import pytest

from elp_core.inference import text_path
from elp_core.inference.emission_file import EmissionFile
from elp_core.inference.text_path import (
    FOREIGN_FRAME,
    FOREIGN_SPEECH,
    UNSPOKEN_UNIT,
    PathStates,
    best_text_path,
)

SPACE = 1
"""Classes are the blank, the space, and letters a (2), b (3), c (4)."""
Words = Sequence[Sequence[int]]


def rows(seed: int, frames: int, scale: float = 3.0) -> np.ndarray:
    logits = np.random.default_rng(seed).standard_normal((frames, 5)) * scale
    return (logits - np.log(np.exp(logits).sum(1, keepdims=True))).astype(np.float32)


def sure(path: str) -> np.ndarray:
    """Rows that are nearly sure of each frame's letter ('_' is the blank)."""
    found = np.full((len(path), 5), np.log(0.001), np.float32)
    found[range(len(path)), ["_ abc".index(letter) for letter in path]] = np.log(0.996)
    return found


def path_of(words: Words, emitted: np.ndarray) -> np.ndarray:
    with EmissionFile((2, 3, 4), SPACE) as emissions:
        emissions.append(emitted)
        return best_text_path(PathStates.of(words), emissions)


def frame_cost(words: Words, state: int, row: np.ndarray, entered: bool) -> float:
    """Cost of a frame in a state, written down from the description of the states."""
    column = int(PathStates.of(words).columns[state])
    row = row.astype(np.float16).astype(np.float64)
    quiet = max(row[0], row[SPACE])
    if column == 0:
        return -np.inf if entered else max(quiet - row.max(), -FOREIGN_FRAME)
    if column == 1:
        return -np.inf if entered else quiet - row.max()
    own = row[2:].max() - np.log(2) if column == 2 else row[column - 1]
    return float((own if entered else max(own, row[0])) - row.max())


def moves(words: Words) -> Callable[[int], list[tuple[int, float]]]:
    """The states that a state reaches without a frame, with the cost."""
    states = PathStates.of(words)
    pauses = states.pauses.tolist()

    def reached(state: int) -> list[tuple[int, float]]:
        found = []
        if state in pauses:
            found.append((state - 1, -FOREIGN_SPEECH))
            if (word := pauses.index(state)) < len(words):
                found.append((pauses[word + 1], -UNSPOKEN_UNIT * len(words[word])))
        elif state + 1 in pauses:
            found.append((state + 1, 0.0))
        elif state + 2 in pauses:
            found.append((state + 2, 0.0))
        return found

    return reached


def best_cost(words: Words, emitted: np.ndarray) -> float:
    """The best cost of all paths, each followed from frame to frame."""
    reached, final = moves(words), int(PathStates.of(words).pauses[-1])

    @functools.cache
    def best(frame: int, state: int, free: bool) -> float:
        costs = [0.0] if frame == len(emitted) and state == final else []
        if free:
            # at most one step of each kind, in the order word, pause, skips, speech
            costs += [cost + best(frame, other, other + 1 not in finals) for other, cost in reached(state)]
        if frame < len(emitted):
            costs.append(frame_cost(words, state, emitted[frame], False) + best(frame + 1, state, True))
            if state < final:
                costs.append(frame_cost(words, state + 1, emitted[frame], True) + best(frame + 1, state + 1, True))
        return max(costs, default=-np.inf)

    finals = set(PathStates.of(words).pauses.tolist())
    return best(0, 1, True)


def cost_of(words: Words, emitted: np.ndarray, path: np.ndarray) -> float:
    """The cost of a path of frames, with the cheapest way between two of its states."""
    reached = moves(words)

    def between(state: int, goal: int) -> float:
        found, waiting = {state: 0.0}, [state]
        while waiting:
            here = waiting.pop()
            for other, cost in reached(here):
                if found[here] + cost > found.get(other, -np.inf):
                    found[other] = found[here] + cost
                    waiting.append(other)
        return found.get(goal, -np.inf)

    total, state = 0.0, 1
    for row, now in zip(emitted, path.tolist(), strict=True):
        stay = between(state, now) + frame_cost(words, now, row, False)
        total += max(stay, between(state, now - 1) + frame_cost(words, now, row, True))
        state = now
    return total + between(state, int(PathStates.of(words).pauses[-1]))


WORDS: tuple[Words, ...] = (((0,),), ((0, 1), (2,)), ((0, 0), (1,), (0,)), ((1, 2, 0), (-1, 1)), ((2,), (2,), (2,)))


@pytest.mark.parametrize("seed", range(60))
def test_no_path_is_better(seed: int) -> None:
    words, emitted = WORDS[seed % 5], rows(seed, 1 + seed % 9)
    path = path_of(words, emitted)
    assert cost_of(words, emitted, path) == pytest.approx(best_cost(words, emitted), abs=1e-3)


@pytest.mark.parametrize("seed", range(30))
def test_a_search_in_parts_finds_a_path_as_good(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(seed)
    words = [rng.integers(0, 3, rng.integers(1, 5)).tolist() for _ in range(12)]
    emitted = rows(seed, 90)
    whole = cost_of(words, emitted, path_of(words, emitted))
    monkeypatch.setattr(text_path, "_CELLS", 40)
    monkeypatch.setattr(text_path, "_PARTS", 3)
    assert cost_of(words, emitted, path_of(words, emitted)) == pytest.approx(whole, abs=1e-3)


def letters(words: Words, path: np.ndarray) -> str:
    """The letter of each frame's state; a dot in a pause, x in other speech."""
    return "".join("x.?abc"[column] for column in PathStates.of(words).columns[path])


def test_speech_that_is_not_in_the_text_is_passed_over_and_its_neighbours_stay() -> None:
    said = "__a_b_ _c__ bcbcbcbcb__ab_ c_"
    found = letters(((0, 1), (2,), (0, 1), (2,)), path_of(((0, 1), (2,), (0, 1), (2,)), sure(said)))
    assert found[2] == "a"
    assert found[4] == "b"
    assert found[8] == "c"
    assert set(found[12:21]) == {"x"}
    assert found[23:25] == "ab"
    assert found[27] == "c"


def test_words_that_are_not_spoken_are_skipped_and_their_neighbours_stay() -> None:
    words = ((0, 1), *((2, 2, 1, 2),) * 5, (1, 0))
    said = "__aabb__ ___ __b__aa"
    path = path_of(words, sure(said))
    columns, words_of_frames = PathStates.of(words).columns, PathStates.of(words).pauses.searchsorted(path, "right") - 1
    assert set(words_of_frames[columns[path] >= 2].tolist()) == {0, 6}
    assert "c" not in letters(words, path)
    assert letters(words, path).replace(".", "")[-1] == "a"


def test_nothing_but_silence_skips_all_words_and_no_frame_has_no_path() -> None:
    assert set(letters(((0, 1), (2,)), path_of(((0, 1), (2,)), sure("_" * 20)))) == {"."}
    assert len(path_of(((0,),), np.zeros((0, 5), np.float32))) == 0
