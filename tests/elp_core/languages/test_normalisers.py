from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from elp_core.errors import ConfigError
from elp_core.languages import codes, language

CASES = {
    "en": [
        ("  Well-known:  DON’T stop! ", "well known don't stop"),
        ("Yes,no. Well…maybe", "yes no well maybe"),
        ("'Yes,' she said, 'it's them!' Shoot 'em!", "yes she said it's them shoot 'em"),
        ("’Tis the dogs’ bark", "'tis the dogs' bark"),
        ("e\u0301", "é"),
        ("about 1,000 at 12:30.", "about 1,000 at 12:30"),
    ],
    "de": [
        ("Die Straße,„Große Maße“ – so geht’s!", "die straße große maße so gehts"),
        ("MASSE und MAẞE; o\u0308fter", "masse und maße öfter"),
    ],
    "ja": [
        ("「ラ−メンを、食べた！」", "ラーメンを食べた"),
        ("ﾊﾟｿｺﾝとＯＫ Google、東京 大学", "パソコンとok google東京大学"),
        ("すごーーーい〜", "すごーいー"),
    ],
}


@pytest.mark.parametrize(("code", "text", "expected"), [(code, *pair) for code in CASES for pair in CASES[code]])
def test_sentences_have_the_expected_normal_form(code: str, text: str, expected: str) -> None:
    assert language(code).normalise(text) == expected


@pytest.mark.parametrize("code", [*codes(), "und"])
@given(data=st.data())
def test_normalising_twice_changes_nothing(code: str, data: st.DataObject) -> None:
    found = language(code)
    likely = st.sampled_from([*"aAİIßΣ '’.,:-5〜ーｰ゛か", *found.marks, *found.letters])
    text = data.draw(st.text(st.one_of(likely, st.characters()), max_size=20))
    once = found.normalise(text)
    assert found.normalise(once) == once


def test_a_code_that_no_language_has_is_refused_with_the_list() -> None:
    with pytest.raises(ConfigError, match=r"'xx' is no language, expected one of .*de, .*en, .*ja.*letters: auto"):
        language("xx")
