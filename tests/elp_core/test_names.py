from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from elp_core.names import is_blank, normal_name
from tests.support.spellings import NAMES, spellings


@given(st.text())
def test_a_normal_form_is_its_own_normal_form(text: str) -> None:
    name = normal_name(text)
    assert normal_name(name) == name
    assert unicodedata.is_normalized("NFC", name)
    assert not name or not (is_blank(name[0]) or is_blank(name[-1]))


@given(st.sampled_from(NAMES).flatmap(lambda name: st.tuples(st.just(name), spellings(name))))
def test_all_spellings_have_one_normal_form(named: tuple[str, str]) -> None:
    name, spelling = named
    assert normal_name(spelling) == name


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("7.0", "7"),
        ("-7.0", "-7"),
        ("-0.0", "0"),
        ("7.5", "7.5"),
        ("7.00", "7.00"),
        ("007.0", "007.0"),
        ("v7.0", "v7.0"),
        ("Anna  Meier", "Anna  Meier"),
        ("ANNA", "ANNA"),
        ("ａｎｎａ", "ａｎｎａ"),
        (" \u200b\u3000\ufeff", ""),
        ("葛\U000e0100城", "葛\U000e0100城"),
    ],
)
def test_a_name_loses_nothing_but_blanks_at_its_ends(text: str, name: str) -> None:
    assert normal_name(text) == name
