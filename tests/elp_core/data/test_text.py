from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from elp_core.data.text import ALPHABET, BLANK, Alphabet, normalise

WORDS = st.text(ALPHABET, max_size=20).map(lambda text: " ".join(text.split()))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("  Two  Words ", "two words"),
        ("DON’T", "don't"),
        ("well-known", "well known"),
        ("Stop!", "stop"),
        ("e\u0301", "é"),
    ],
)
def test_one_normal_form(text: str, expected: str) -> None:
    assert normalise(text) == expected


@given(st.text(max_size=30))
def test_normalising_twice_changes_nothing(text: str) -> None:
    assert normalise(normalise(text)) == normalise(text)


@given(WORDS)
def test_letters_survive_a_path_of_repeats_and_blanks(text: str) -> None:
    alphabet = Alphabet()
    path = [index for letter in alphabet.encode(text) for index in (BLANK, letter, letter)]
    assert alphabet.decode(path) == text
    assert alphabet.frames_needed(text) <= len(path)


def test_equal_neighbours_need_a_blank() -> None:
    alphabet = Alphabet()
    e = alphabet.encode("e")[0]
    assert alphabet.frames_needed("three") == 6
    assert (alphabet.decode([e, e]), alphabet.decode([e, BLANK, e])) == ("e", "ee")


def test_unknown_characters_are_named() -> None:
    assert Alphabet().unknown(["café", "no 7"]) == {"é", "7"}
    with pytest.raises(ValueError, match="outside the alphabet: 7 é"):
        Alphabet().encode("é7")


def test_an_alphabet_has_each_letter_once() -> None:
    assert len(Alphabet("abc")) == 4
    with pytest.raises(ValueError, match="distinct"):
        Alphabet("aba")
