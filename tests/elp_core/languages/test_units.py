from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from elp_core.errors import ConfigError
from elp_core.languages import ALPHABET, BLANK, LanguageConfig, Units, UnitsConfig, build_units, rare_characters

WORDS = st.text(ALPHABET, max_size=20).map(lambda text: " ".join(text.split()))
SENTENCES = ["open the door please", "close the door", "yes no yes no", "one two three four five"]


@given(WORDS)
def test_letters_survive_a_path_of_repeats_and_blanks(text: str) -> None:
    units = Units()
    path = [index for unit in units.encode(text) for index in (BLANK, unit, unit)]
    assert units.decode(path) == text
    assert units.frames_needed(text) <= len(path)


def test_equal_neighbours_need_a_blank() -> None:
    units = Units()
    e = units.encode("e")[0]
    assert units.frames_needed("three") == 6
    assert (units.decode([e, e]), units.decode([e, BLANK, e])) == ("e", "ee")


def test_unknown_characters_are_named() -> None:
    assert Units().unknown(["café", "no 7"]) == {"é", "7"}
    with pytest.raises(ValueError, match="outside the alphabet: 7 é"):
        Units().encode("é7")


def test_an_inventory_has_each_unit_once() -> None:
    assert len(Units.of_letters("abc")) == 4
    with pytest.raises(ValueError, match="distinct"):
        Units.of_letters("aba")


def test_default_units_are_those_of_the_first_release() -> None:
    assert build_units(LanguageConfig(), ["yes"]) == Units() == Units.of_letters(ALPHABET)


def test_characters_come_from_the_transcripts_and_later_ones_are_appended() -> None:
    units = build_units(LanguageConfig("ja"), ["今日は", "東京"])
    assert units.symbols == ("は", "京", "今", "日", "東")
    assert units.extend(["大阪", "今日"]).symbols == (*units.symbols, "大", "阪")
    assert units.extend(["今日"]) is units


def test_letters_of_a_script_without_spaces_are_characters() -> None:
    for config in (
        LanguageConfig("ja", units=UnitsConfig("letters")),
        LanguageConfig("th", units=UnitsConfig("letters")),
    ):
        assert config.unit_kind == build_units(config, ["あ"]).kind == "characters"
    assert LanguageConfig("ko").unit_kind == "syllables"
    assert LanguageConfig("de", units=UnitsConfig("bpe")).unit_kind == "bpe"


def test_jamo_write_syllables() -> None:
    config = LanguageConfig("de", letters="auto", units=UnitsConfig("jamo"))
    units = build_units(config, ["한국 사람"])
    assert len(units.encode("한국")) == 6
    assert units.decode(units.encode("한국 사람")) == "한국 사람"


def test_units_survive_json() -> None:
    units = build_units(LanguageConfig("ja"), ["今日は"])
    assert Units.from_json(units.to_json()) == units
    with pytest.raises(ConfigError, match="kind is 'words'"):
        Units.from_json({"kind": "words"})


def test_rare_characters_are_counted() -> None:
    assert rare_characters(LanguageConfig("ja", min_count=2), ["今日", "今"]) == {"日": 1}
    assert rare_characters(LanguageConfig("de", min_count=2), ["ja"]) == {}


def test_a_slot_declares_a_code_or_a_mapping() -> None:
    assert LanguageConfig.parse("ja") == LanguageConfig("ja")
    assert LanguageConfig.parse({"letters": "auto"}) == LanguageConfig("und", "auto")
    assert LanguageConfig.parse({"code": "sw", "letters": "abC"}).resolve().letters == "abc"
    with pytest.raises(ConfigError, match="'xx' is no language"):
        LanguageConfig.parse("xx")
    with pytest.raises(ConfigError, match="expected a code such as ja"):
        LanguageConfig.parse(3)


@pytest.mark.parametrize("code", ["en", "ja"])
def test_subwords_are_learned_alike_each_time_and_spell_what_they_learned(code: str) -> None:
    texts = SENTENCES if code == "en" else ["今日は東京に行く", "大阪は今日も雨", "東京は雨"]
    config = LanguageConfig(code, units=UnitsConfig("bpe", 40))
    units = build_units(config, texts)
    assert units == build_units(config, texts[::-1]) == Units.from_json(units.to_json())
    assert max(map(len, units.symbols)) > 2 or code == "ja"
    for text in texts:
        assert units.decode(units.encode(text)) == text
        assert units.frames_needed(text) < len(text) + 5


def test_subwords_get_later_characters_as_units_of_their_own() -> None:
    units = build_units(LanguageConfig("en", units=UnitsConfig("bpe", 40)), SENTENCES)
    assert units.unknown("the café") == {"é"}
    more = units.extend(["the café"])
    assert more.symbols == (*units.symbols, "é", "▁é")
    assert more.decode(more.encode("the café doré")) == "the café doré"


def test_subwords_of_fewer_pieces_than_letters_are_refused() -> None:
    with pytest.raises(ConfigError, match="size is 5, too small for transcripts with"):
        build_units(LanguageConfig("en", units=UnitsConfig("bpe", 5)), SENTENCES)
    with pytest.raises(ConfigError, match="got none"):
        build_units(LanguageConfig("en", units=UnitsConfig("bpe", 5)), [])


def test_a_damaged_model_is_refused() -> None:
    units = Units("bpe", ("a",), "AAAA")
    with pytest.raises(ConfigError, match="no sentencepiece model"):
        units.encode("a")


def test_units_without_a_blank_skip_the_blanks_of_joined_clips() -> None:
    units = build_units(LanguageConfig("ja"), ["今日は"])
    assert units.encode("今日 今日") == units.encode("今日今日")
