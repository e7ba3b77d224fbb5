"""The normal form of groups, and what cannot be one."""

from __future__ import annotations

import pytest

from elp_core.errors import CorpusError
from elp_core.groups import MOST_KEYS, MOST_LETTERS, group_text, group_values, normal_group


@pytest.mark.parametrize(
    ("written", "normal"),
    [
        ("gender = f ;dialect=kansai;", "dialect=kansai; gender=f"),
        ("Age Band=60s; AGE-BAND=60s", "age_band=60s"),
        ("方言=Ju\u0308lich\u200b; unit=7.0", "unit=7; 方言=Jülich"),
        ("dialect=; gender=\u3000", ""),
        ("language=English (United States)", "language=English (United States)"),
        ("", ""),
    ],
)
def test_spellings_of_one_group_have_one_form(written: str, normal: str) -> None:
    assert normal_group(written) == normal
    assert normal_group(normal) == normal
    assert group_text(group_values(normal)) == normal


@pytest.mark.parametrize(
    ("written", "sentence"),
    [
        ("kansai", "group has 'kansai', expected key=value"),
        ("dialect=kansai=north", "expected no semicolon, equals sign or control character"),
        ("dialect=kan\nsai", "expected no semicolon, equals sign or control character"),
        ("=kansai", "group has the key '', expected letters"),
        ("a.b=c", "group has the key 'a.b', expected letters"),
        (f"{'k' * 31}=v", "of 31 characters, at most 30"),
        (f"remark={'v' * (MOST_LETTERS + 1)}", "of 61 characters, at most 60: name a group, and not one person"),
        ("gender=f; Gender=m", "group has gender twice, as 'f' and 'm'; keep one"),
        ("; ".join(f"k{n}=v" for n in range(MOST_KEYS + 1)), "group has 9 keys, at most 8"),
    ],
)
def test_what_is_not_understood_is_refused_in_one_sentence(written: str, sentence: str) -> None:
    with pytest.raises(CorpusError, match="group has ") as caught:
        normal_group(written)
    assert sentence in str(caught.value)
    assert "\n" not in str(caught.value)
