"""Beam search over other units than letters."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from elp_core.decoding import DecodeConfig, beam_search
from elp_core.errors import ConfigError
from elp_core.languages import LanguageConfig, Units, UnitsConfig, build_units

TEXTS = ["open the door please", "close the door now", "yes no yes no", "one two three four five", "the old den"]


def rows(units: Units, *frames: dict[str, float]) -> np.ndarray:
    """Rows that give each frame's units their probabilities ('' is the blank) and the rest next to none."""
    table = np.full((len(frames), len(units)), 1e-6, np.float32)
    for row, frame in zip(table, frames, strict=True):
        for unit, probability in frame.items():
            row[units.symbols.index(unit) + 1 if unit else 0] = probability
    return np.log(table / table.sum(1, keepdims=True))


def certain(units: Units, text: str) -> np.ndarray:
    path = [frame for unit in units.split(text) for frame in ({unit: 1.0}, {"": 1.0})]
    return rows(units, *path)


def write_arpa(path: Path, words: list[str], pairs: list[str]) -> str:
    lines = ["\\data\\", f"ngram 1={len(words) + 3}", f"ngram 2={len(pairs)}", "", "\\1-grams:"]
    lines += ["-3\t<unk>\t0", "-99\t<s>\t-1", "-1\t</s>\t0", *(f"-1\t{word}\t-1" for word in words)]
    lines += ["", "\\2-grams:", *(f"-0.1\t{pair}" for pair in pairs), "", "\\end\\", ""]
    path.write_text("\n".join(lines), encoding="utf-8")
    return str(path)


@pytest.mark.parametrize(
    ("config", "texts"),
    [
        (LanguageConfig("ja"), ["今日は東京", "ok google今日", "は は"]),
        (LanguageConfig("ko", units=UnitsConfig("jamo")), ["한국 사람", "안녕하세요"]),
        (LanguageConfig("ko"), ["한국 사람"]),
        (LanguageConfig("de", units=UnitsConfig("bpe", 60)), TEXTS),
        (LanguageConfig("ja", units=UnitsConfig("bpe", 30)), ["今日は東京", "東京は雨", "今日は雨"]),
    ],
)
def test_a_certain_path_is_decoded_as_the_greedy_way_does(config: LanguageConfig, texts: list[str]) -> None:
    texts = [config.transcript(text) for text in texts]
    units = build_units(config, texts)
    search = beam_search(units, DecodeConfig(beam=8))
    for text in texts:
        frames = certain(units, text)
        assert search(frames) == units.decode(frames.argmax(1).tolist()) == text


def test_a_character_model_decides_what_the_sound_leaves_open(tmp_path: Path) -> None:
    units = Units("characters", ("今", "日", "目", "は", " "))
    lm = write_arpa(tmp_path / "chars.arpa", ["今", "日", "目", "は"], ["今 日", "日 は"])
    sound = rows(units, {"今": 1}, {"目": 0.55, "日": 0.45}, {"は": 1})
    assert beam_search(units, DecodeConfig(beam=8))(sound) == "今目は"
    assert beam_search(units, DecodeConfig(beam=8, lm=lm))(sound) == "今日は"


def test_a_word_model_works_with_subwords(tmp_path: Path) -> None:
    units = build_units(LanguageConfig("de", units=UnitsConfig("bpe", 60)), TEXTS)
    lm = write_arpa(tmp_path / "words.arpa", ["den", "door", "the"], ["the den"])
    start = [{unit: 1.0} for unit in units.split("the d")]
    sound = rows(units, *start, {"o": 0.55, "e": 0.45}, {"n": 1.0})
    assert beam_search(units, DecodeConfig(beam=8))(sound) == "the don"
    assert beam_search(units, DecodeConfig(beam=8, lm=lm))(sound) == "the den"


def test_subwords_of_a_script_without_spaces_have_no_words(tmp_path: Path) -> None:
    units = build_units(LanguageConfig("ja", units=UnitsConfig("bpe", 30)), ["今日は東京", "東京は雨"])
    lm = write_arpa(tmp_path / "chars.arpa", ["今"], [])
    with pytest.raises(ConfigError, match="these subwords have neither"):
        beam_search(units, DecodeConfig(beam=8, lm=lm))


def test_hotwords_are_found_with_jamo_and_refused_without_words() -> None:
    units = build_units(LanguageConfig("ko", units=UnitsConfig("jamo")), ["한국 사람", "한굴"])
    known, heard = units.split("한국"), units.split("한굴")
    sound = rows(units, *[{a: 0.6, b: 0.4} if a != b else {a: 1.0} for a, b in zip(heard, known, strict=True)])
    assert beam_search(units, DecodeConfig(beam=8))(sound) == "한굴"
    assert beam_search(units, DecodeConfig(beam=8, hotwords=("한국",)))(sound) == "한국"
    japanese = build_units(LanguageConfig("ja"), ["ok google今日"])
    with pytest.raises(ConfigError, match="hotwords need words with spaces"):
        beam_search(japanese, DecodeConfig(beam=8, hotwords=("今日",)))
