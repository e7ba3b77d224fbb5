import numpy as np
import pytest

from elp_core.errors import OpsError
from pipelines.demo.espeak import Synthesiser, utterances
from pipelines.demo.spoken_words import COMMANDS, DIGITS, WORDS, sentence


def test_about_as_much_is_spoken_as_asked_by_ever_new_voices() -> None:
    said = list(utterances(0.2, ("f1", "m1"), seed=1))
    assert sum(u.wave.size for u in said) / 16_000 == pytest.approx(12, abs=6)
    assert len({u.speaker for u in said}) == len(said)


def test_reserved_variants_are_never_heard() -> None:
    everyone = Synthesiser().variants()
    reserved = tuple(v for v in everyone if v not in {"Alex", "zac"})
    assert {u.speaker.split("/")[1] for u in utterances(0.2, reserved, seed=1)} <= {"Alex", "zac"}


def test_a_reserved_variant_must_exist() -> None:
    with pytest.raises(OpsError, match=r"\['nobody'\] do not exist"):
        next(utterances(0.1, ("nobody",), seed=1))


def test_an_unknown_voice_is_refused() -> None:
    with pytest.raises(OpsError, match="does not know the voice 'tlh"):
        Synthesiser().say("one", "tlh+f1", rate=150, pitch=50, pitch_range=50)


def test_sentences_repeat_with_their_seed_and_use_the_list() -> None:
    known = {*DIGITS, *COMMANDS, *WORDS}
    first, second = ([sentence(rng) for _ in range(50)] for rng in (np.random.default_rng(3), np.random.default_rng(3)))
    assert first == second
    assert {word for line in first for word in line.split()} <= known
