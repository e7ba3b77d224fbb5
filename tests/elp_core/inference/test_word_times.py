from __future__ import annotations

import itertools

import numpy as np
import pytest

from elp_core.errors import CorpusError
from elp_core.inference.word_times import FrameWord, align, best_path, words_of
from elp_core.languages import Units

LETTERS = Units.of_letters(" ab")


def rows(seed: int, frames: int, classes: int = 4) -> np.ndarray:
    logits = np.random.default_rng(seed).standard_normal((frames, classes)) * 2
    return (logits - np.log(np.exp(logits).sum(1, keepdims=True))).astype(np.float32)


def sure(path: str, probability: float = 0.9) -> np.ndarray:
    """Rows that give each frame's letter ('_' is the blank) a probability."""
    found = np.full((len(path), 4), (1 - probability) / 3, np.float32)
    for row, letter in zip(found, path, strict=True):
        row["_ ab".index(letter)] = probability
    return np.log(found)


def test_words_have_their_frames_and_the_confidence_of_their_least_sure_letter() -> None:
    found = sure("__aa_b__ _ab_")
    found[5] = np.log([0.3, 0.1, 0.1, 0.5])
    words = words_of(best_path(found), LETTERS.symbols)
    assert words == [
        FrameWord("ab", 2, 5, pytest.approx(0.5, abs=1e-6)),
        FrameWord("ab", 10, 11, pytest.approx(0.9, abs=1e-6)),
    ]


@pytest.mark.parametrize("seed", range(30))
def test_greedy_words_spell_the_greedy_transcript(seed: int) -> None:
    found = rows(seed, 40)
    words = words_of(best_path(found), LETTERS.symbols)
    assert " ".join(word.text for word in words) == LETTERS.decode(found.argmax(1).tolist())
    frames = [frame for word in words for frame in (word.first, word.last)]
    assert frames == sorted(frames)
    assert all(0 < word.confidence <= 1 for word in words)


@pytest.mark.parametrize("seed", range(20))
def test_the_alignment_is_the_most_probable_path_of_its_text(seed: int) -> None:
    found, text = rows(seed, 6), ("ab", "aa", "a b", "b", "", "bab")[seed % 6]
    scores = {
        path: float(found[range(6), path].sum())
        for path in itertools.product(range(4), repeat=6)
        if [c for p, c in zip([0, *path], path, strict=False) if c not in (0, p)] == LETTERS.encode(text)
    }
    tokens, mean = align(found, LETTERS.encode(text))
    assert mean == pytest.approx(max(scores.values()) / 6, abs=1e-5)
    assert [token.unit for token in tokens] == LETTERS.encode(text)


def test_aligning_the_greedy_transcript_gives_the_greedy_path() -> None:
    found = rows(3, 200)
    tokens = best_path(found)
    assert align(found, [token.unit for token in tokens])[0] == tokens


def test_a_text_that_the_frames_cannot_spell_is_refused() -> None:
    with pytest.raises(CorpusError, match="2 units need 3 frames, there are 2"):
        align(rows(0, 2), LETTERS.encode("aa"))
    with pytest.raises(CorpusError, match="there are 0"):
        align(rows(0, 0), [])


def test_in_a_script_without_spaces_each_unit_is_a_word() -> None:
    words = words_of(best_path(sure("_ a _b")), "あいう", spaced=False)
    assert [(word.text, word.first, word.last) for word in words] == [
        ("あ", 1, 1),
        ("い", 2, 2),
        ("あ", 3, 3),
        ("う", 5, 5),
    ]


def test_the_blank_between_latin_words_begins_the_second_one_in_a_script_without_spaces() -> None:
    words = words_of(best_path(sure(" b_ _a b ")), ["▁", "い", "a"], spaced=False)
    assert [(word.text, word.first, word.last) for word in words] == [("a", 1, 1), (" い", 5, 5), (" a", 7, 7)]


def test_subwords_and_jamo_are_written_as_words() -> None:
    rows = sure("_ ab a")
    assert [word.text for word in words_of(best_path(rows), ["▁the", "▁ca", "t"])] == ["the", "cat", "the", "ca"]
    assert [word.text for word in words_of(best_path(sure("_a_b_ ab")), [" ", "ᄒ", "ᅡ"])] == ["하", "하"]
