from __future__ import annotations

import pytest

from pipelines.registry.names import loose_name, placeholders, similar_names, similar_to


@pytest.mark.parametrize(
    "other", ["anna meier", "ANNA MEIER", "Anna  Meier", "AnnaMeier", "Ａｎｎａ\u3000Ｍｅｉｅｒ", "An\u200bna Meier"]
)
def test_case_width_and_blanks_do_not_distinguish_a_loose_name(other: str) -> None:
    assert loose_name(other) == loose_name("Anna Meier")


@pytest.mark.parametrize("other", ["Anna Maier", "Änna Meier", "Anna Meier 2", ""])
def test_letters_do(other: str) -> None:
    assert loose_name(other) != loose_name("Anna Meier")


def test_similar_names_are_grouped_with_their_counts_the_most_frequent_first() -> None:
    counts = {"anna": 2, "Anna": 5, "bert": 1, "ANNA ": 2, "": 9, "ｶﾅ": 1, "カナ": 1}
    assert [list(group.items()) for group in similar_names(counts)] == [
        [("Anna", 5), ("ANNA ", 2), ("anna", 2)],
        [("カナ", 1), ("ｶﾅ", 1)],
    ]


def test_the_name_itself_is_not_similar_to_it() -> None:
    assert similar_to("anna", {"anna": 3, "Anna": 1, "bert": 2, "": 4}) == {"Anna": 1}


def test_words_for_a_missing_value_are_found() -> None:
    assert placeholders({"NaN": 3, "<NA>": 1, "Nancy": 2, "": 1}) == {"NaN": 3, "<NA>": 1}
