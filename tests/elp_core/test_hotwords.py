from __future__ import annotations

import numpy as np
import pytest

from elp_core.decoding import DecodeConfig, beam_search
from elp_core.errors import ConfigError
from elp_core.languages import Units
from tests.elp_core.test_decoding import spelled

KIM = spelled(Units(), {"k": 1}, {"i": 0.3, "a": 0.7}, {"m": 1}, {" ": 1}, {"x": 1})


@pytest.mark.parametrize(("weight", "text"), [(0.0, "kam x"), (0.5, "kam x"), (2.0, "kim x")])
def test_a_hotword_wins_if_its_letters_are_probable_enough(weight: float, text: str) -> None:
    assert beam_search(Units(), DecodeConfig(beam=20, hotwords=("kim",), hotword_weight=weight))(KIM) == text


def test_a_hotword_far_from_the_sound_changes_nothing() -> None:
    rows = np.log(np.random.default_rng(0).dirichlet(np.full(29, 0.05), 60) + 1e-9).astype(np.float32)
    plain = beam_search(Units(), DecodeConfig(beam=50))(rows)
    assert len(plain) > 20
    assert beam_search(Units(), DecodeConfig(beam=50, hotwords=("zzzzzzz",)))(rows) == plain


def test_only_whole_hotwords_count_at_the_end() -> None:
    rows = spelled(Units(), {"k": 1}, {"i": 0.4, "a": 0.6}, {"": 1}, {"": 1})
    config = DecodeConfig(beam=20, hotwords=("kimono",), hotword_weight=5.0)
    assert beam_search(Units(), config)(rows) == "ka"


def test_an_expression_is_its_words() -> None:
    for expression in ("kim x", "x kim"):
        config = DecodeConfig(beam=20, hotwords=(expression,), hotword_weight=2.0)
        assert beam_search(Units(), config)(KIM) == "kim x"


def test_hotwords_that_cannot_work_are_refused() -> None:
    with pytest.raises(ConfigError, match="hotwords needs beam search"):
        DecodeConfig(hotwords=("kim",))
    with pytest.raises(ConfigError, match="a hotword is empty"):
        DecodeConfig(beam=5, hotwords=("kim", " "))
    with pytest.raises(ConfigError, match="the alphabet cannot spell the hotword 'müller'"):
        beam_search(Units(), DecodeConfig(beam=5, hotwords=("müller",)))
    with pytest.raises(ConfigError, match="this alphabet has no space"):
        beam_search(Units.of_letters("ab"), DecodeConfig(beam=5, hotwords=("ab",)))
