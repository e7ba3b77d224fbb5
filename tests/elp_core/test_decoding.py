from __future__ import annotations

import gzip
import itertools
import math
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from elp_core.assemble import build, evaluate
from elp_core.config import AugmentConfig, ElpConfig, TrainConfig, from_dict
from elp_core.decoding import DecodeConfig, beam_search
from elp_core.errors import ConfigError
from elp_core.inference import predict
from elp_core.languages import Units
from elp_core.tasks import SpeechRecognition, decode_with, make_task, task_from_json
from elp_core.testing import tiny_backbone, tone
from elp_core.training import train
from tests.support.clips import two_speakers

LETTERS = Units.of_letters(" ab")
WIDE = DecodeConfig(beam=10_000)
MARKS = {"<unk>": -3.0, "<s>": -99.0, "</s>": -1.0}
WORDS = {"a": -0.9, "b": -1.2, "ab": -0.6, "ba": -0.7}
PAIRS = {("<s>", "ab"): -0.2, ("ab", "a"): -0.1, ("b", "</s>"): -0.3}


def random_rows(seed: int, frames: int, classes: int) -> np.ndarray:
    """Log-probabilities float32 [frames, classes]."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(frames, classes, generator=generator).mul(1.5).log_softmax(-1).numpy()


def likelihoods(rows: np.ndarray) -> dict[str, float]:
    """Probability of each transcript by definition: every path is walked, and equal transcripts are summed."""
    totals: dict[str, float] = {}
    for path in itertools.product(range(rows.shape[1]), repeat=len(rows)):
        text = LETTERS.decode(path)
        totals[text] = totals.get(text, 0.0) + float(np.exp(rows[range(len(rows)), path].sum()))
    return totals


def brute_force(rows: np.ndarray) -> str:
    """The most probable transcript."""
    totals = likelihoods(rows)
    return max(totals, key=totals.__getitem__)


def spelled(units: Units, *frames: dict[str, float]) -> np.ndarray:
    """Rows that give each frame's letters their probabilities ('' is the blank) and the rest next to none."""
    rows = np.full((len(frames), len(units)), 1e-6, np.float32)
    for row, frame in zip(rows, frames, strict=True):
        for letter, probability in frame.items():
            row[units.symbols.index(letter) + 1 if letter else 0] = probability
    return np.log(rows / rows.sum(1, keepdims=True))


def write_arpa(path: Path, words: dict[str, float], pairs: dict[tuple[str, str], float]) -> Path:
    """A bigram model of base-10 log-probabilities, back-off weights of -1."""
    lines = ["\\data\\", f"ngram 1={len(MARKS) + len(words)}", f"ngram 2={len(pairs)}", "", "\\1-grams:"]
    lines += [f"{value}\t{word}\t-1.0" for word, value in {**MARKS, **words}.items()]
    lines += ["", "\\2-grams:", *(f"{value}\t{a} {b}" for (a, b), value in pairs.items()), "", "\\end\\", ""]
    path.write_text("\n".join(lines))
    return path


def bigram_score(text: str) -> float:
    """Base-10 log-probability of a sentence under WORDS and PAIRS, back-off weights of -1; unknown words lose 10."""
    words = ["<s>", *text.split(), "</s>"]
    known = {**MARKS, **WORDS}
    total = 0.0
    for before, word in itertools.pairwise(word if word in known else "<unk>" for word in words):
        total += PAIRS.get((before, word), known[word] - 1.0) - 10.0 * (word == "<unk>")
    return total


@pytest.fixture
def arpa(tmp_path: Path) -> Path:
    return write_arpa(tmp_path / "words.arpa", {"cat": -1.0, "cut": -1.0}, {("<s>", "cat"): -0.1, ("<s>", "cut"): -2})


CUT_OR_CAT = spelled(Units(), {"c": 1}, {"u": 0.55, "a": 0.45}, {"t": 1}, {"": 1})


@pytest.mark.parametrize("seed", range(25))
def test_a_wide_beam_finds_the_most_probable_transcript(seed: int) -> None:
    rows = random_rows(seed, 3 + seed % 4, 4)
    assert beam_search(LETTERS, WIDE)(rows) == brute_force(rows)


def test_the_sum_over_alignments_decides_where_greedy_takes_the_best_path() -> None:
    # no letter is likelier than the blank in any one frame, but some frame is an "a" in two of three cases
    rows = spelled(LETTERS, {"": 0.55, "a": 0.45}, {"": 0.55, "a": 0.45})
    assert LETTERS.decode(rows.argmax(1).tolist()) == ""
    assert beam_search(LETTERS, WIDE)(rows) == brute_force(rows) == "a"


@pytest.mark.parametrize("seed", range(12))
@pytest.mark.parametrize(("weight", "bonus"), [(0.5, 1.5), (1.0, -2.0), (0.2, 4.0)])
def test_with_a_model_a_wide_beam_finds_the_best_sum_of_scores(
    seed: int, weight: float, bonus: float, arpa: Path
) -> None:
    rows = random_rows(seed, 4 + seed % 2, 4)
    path = write_arpa(arpa, WORDS, PAIRS)
    scores = {
        text: math.log(p) + (weight * math.log(10) * bigram_score(text) + bonus * len(text.split()) if text else 0.0)
        for text, p in likelihoods(rows).items()
    }
    found = beam_search(LETTERS, replace(WIDE, lm=str(path), lm_weight=weight, word_bonus=bonus))(rows)
    assert scores[found] == pytest.approx(max(scores.values()), abs=1e-4)


@pytest.mark.parametrize("form", ["plain", "gzip", "other name"])
def test_an_ngram_model_decides_what_the_sound_leaves_open(form: str, arpa: Path) -> None:
    path = arpa if form == "plain" else arpa.with_name("words.gz" if form == "gzip" else "words.lm")
    if form != "plain":
        path.write_bytes(gzip.compress(arpa.read_bytes()) if form == "gzip" else arpa.read_bytes())
    plain, informed = DecodeConfig(beam=20), DecodeConfig(beam=20, lm=str(path))
    assert beam_search(Units(), plain)(CUT_OR_CAT) == "cut"
    assert beam_search(Units(), informed)(CUT_OR_CAT) == "cat"
    assert beam_search(Units(), replace(informed, lm_weight=0.0))(CUT_OR_CAT) == "cut"


def test_the_word_bonus_makes_more_words_of_the_same_letters(arpa: Path) -> None:
    path = write_arpa(arpa, WORDS, PAIRS)
    rows = spelled(LETTERS, {"a": 1}, {" ": 0.5, "": 0.5}, {"b": 1})
    found = [
        beam_search(LETTERS, DecodeConfig(beam=20, lm=str(path), word_bonus=bonus))(rows) for bonus in (-5.0, 10.0)
    ]
    assert found == ["ab", "a b"]


def test_a_model_written_anew_is_read_anew(arpa: Path) -> None:
    config = DecodeConfig(beam=20, lm=str(arpa))
    assert beam_search(Units(), config)(CUT_OR_CAT) == "cat"
    write_arpa(arpa, {"cat": -1.0, "cut": -1.0}, {("<s>", "cat"): -2.5, ("<s>", "cut"): -0.25})
    assert beam_search(Units(), config)(CUT_OR_CAT) == "cut"


def test_answers_are_the_same_in_every_thread(arpa: Path) -> None:
    search = beam_search(Units(), DecodeConfig(beam=20, lm=str(arpa)))
    clips = [random_rows(seed, 30, 29) for seed in range(12)]
    alone = [search(rows) for rows in clips]
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(search, clips * 3)) == alone * 3


def test_a_clip_without_frames_is_silent() -> None:
    assert beam_search(Units(), DecodeConfig(beam=5))(np.zeros((0, 29), np.float32)) == ""


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"beam": -1}, "beam is -1, expected 0"),
        ({"lm": "words.arpa"}, "lm needs beam search"),
        ({"beam": 5, "lm_weight": -0.5}, "lm_weight is -0.5, expected 0 or more"),
    ],
)
def test_settings_that_make_no_sense_are_refused(values: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        from_dict(DecodeConfig, values)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "does not exist; expected an ARPA or KenLM binary"),
        (b"hello\n", "as an n-gram model"),
        (b"\\data\\\nngram 1=9\n\n\\1-grams:\n-1\tcat\t0\n\n\\end\\\n", "as an n-gram model"),
        (b"\\data\\\nngram 1=1\n\n\\1-grams:\n-1\n", "the unigram line '-1' has no word"),
        (b"\\data\\\nngram 1=1\n\n\\1-grams:\n-1\tCAT\n", r"cannot spell any of its 1 words \(CAT\)"),
    ],
)
def test_a_model_that_cannot_be_used_is_refused(content: bytes | None, message: str, tmp_path: Path) -> None:
    path = tmp_path / "bad.arpa"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ConfigError, match=message):
        beam_search(Units(), DecodeConfig(beam=5, lm=str(path)))


def test_letters_that_the_package_keeps_for_itself_are_refused() -> None:
    with pytest.raises(ConfigError, match="cannot write the letters _"):
        beam_search(Units.of_letters(" a_"), DecodeConfig(beam=5))


def test_without_the_package_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ctc_beam_decoder", None)
    with pytest.raises(ConfigError, match=r"pip install 'elp-foundry\[beam\]'"):
        beam_search(Units.of_letters(" xy"), DecodeConfig(beam=5))


def _words(texts: Sequence[str]) -> set[str]:
    return {word for text in texts for word in text.split()}


def test_beam_search_is_no_worse_than_greedy_on_a_trained_adapter(arpa: Path) -> None:
    clips, held_out = two_speakers(6), two_speakers(4, seed=1)
    plain = AugmentConfig(speed=0, noise_probability=0, time_mask=0, feature_mask=0, gain_db=0, join=0, variants=1)
    model = build(tiny_backbone(), ElpConfig(), make_task("asr", clips), seed=0)
    train(model, clips, held_out, TrainConfig(epochs=12, min_steps=12, device="cpu", augment=plain))
    path = write_arpa(arpa, {"no": -0.3, "yes": -0.3}, {})
    ways = [None, DecodeConfig(beam=30), DecodeConfig(beam=30, lm=str(path))]
    greedy, beam, informed = (evaluate(model, held_out, decode=way).value for way in ways)
    assert max(beam, informed) <= greedy < 0.5
    assert model.task.decode == DecodeConfig()
    heard = predict(model, [tone(200, 0.4)], decode=ways[2])
    assert _words(heard) <= {"no", "yes"}


def test_a_bundle_says_nothing_of_decoding() -> None:
    task = decode_with(SpeechRecognition(), DecodeConfig(beam=5))
    assert task_from_json(task.to_json()) == SpeechRecognition()


def test_only_transcripts_are_decoded() -> None:
    with pytest.raises(ConfigError, match="the task asv writes no transcripts"):
        decode_with(make_task("asv", two_speakers(1)), DecodeConfig(beam=5))
