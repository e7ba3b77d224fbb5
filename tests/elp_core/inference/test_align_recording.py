from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from elp_core.audio import Waveform
from elp_core.errors import AudioError, ConfigError, CorpusError
from elp_core.inference.align_recording import AlignedSegment, align_recording
from elp_core.inference.aligned_segments import CutConfig
from elp_core.languages import LanguageConfig, Units
from tests.support.coded_speech import coded_recogniser, quiet, spoken

SENTENCES = ("open the second valve", "the pump is too hot", "call the night shift", "stop the belt now")
RECOGNISER = coded_recogniser()


def joined(*parts: str | float) -> tuple[Waveform, dict[str, tuple[float, float]]]:
    """A recording of sentences and pauses (seconds), and from when to when each sentence is spoken."""
    pieces, places, done = [], {}, 0.0
    for part in parts:
        pieces.append(quiet(part) if isinstance(part, float) else spoken(part))
        if isinstance(part, str):
            places[part] = (done, done + len(pieces[-1]) / 16_000)
        done += len(pieces[-1]) / 16_000
    return np.concatenate(pieces), places


def segments(recording: Waveform, text: str, **cut: float) -> list[AlignedSegment]:
    return align_recording(recording, text, RECOGNISER, cut=CutConfig(**cut))


def found(parts: Sequence[AlignedSegment]) -> list[tuple[str, str]]:
    return [(part.text, part.finding) for part in parts]


def test_sentences_are_cut_in_their_pauses_and_keep_up_to_a_quarter_of_a_second_of_them() -> None:
    recording, places = joined(1.0, SENTENCES[0], 1.2, SENTENCES[1], 0.3, SENTENCES[2], 2.0)
    parts = segments(recording, " ".join(SENTENCES[:3]))
    assert found(parts) == [(SENTENCES[0], "good"), (f"{SENTENCES[1]} {SENTENCES[2]}", "good")]
    assert parts[0].start == pytest.approx(places[SENTENCES[0]][0] - 0.25, abs=0.05)
    # a letter's blanks belong to the pause
    assert parts[0].end == pytest.approx(places[SENTENCES[0]][1] + 0.25, abs=0.09)
    assert parts[1].end == pytest.approx(places[SENTENCES[2]][1] + 0.25, abs=0.09)
    assert all(part.score > -0.1 for part in parts)


def test_speech_that_the_transcript_leaves_out_is_a_part_without_words() -> None:
    greeting, aside = "good morning to all", "somebody opens a door"
    recording, places = joined(greeting, 0.5, SENTENCES[0], 0.6, aside, 0.5, SENTENCES[1], 0.4)
    parts = segments(recording, f"{SENTENCES[0]} {SENTENCES[1]}")
    assert found(parts) == [
        ("", "not_in_transcript"),
        (SENTENCES[0], "good"),
        ("", "not_in_transcript"),
        (SENTENCES[1], "good"),
    ]
    for part, said in zip(parts, (greeting, SENTENCES[0], aside, SENTENCES[1]), strict=True):
        assert (part.start, part.end) == pytest.approx(places[said], abs=0.3)
    assert [part.score < CutConfig().min_score for part in parts] == [True, False, True, False]


def test_words_that_nobody_says_are_a_part_without_sound() -> None:
    recording, places = joined(0.5, SENTENCES[0], 0.5, SENTENCES[2], 0.5)
    parts = segments(recording, f"{SENTENCES[0]} {SENTENCES[1]} {SENTENCES[2]} {SENTENCES[3]}")
    assert found(parts) == [
        (SENTENCES[0], "good"),
        (SENTENCES[1], "not_spoken"),
        (SENTENCES[2], "good"),
        (SENTENCES[3], "not_spoken"),
    ]
    assert all(part.start == part.end for part in parts if part.finding == "not_spoken")
    assert parts[2].start == pytest.approx(places[SENTENCES[2]][0] - 0.25, abs=0.06)


def test_a_sentence_that_is_said_in_other_words_is_bad_and_its_neighbours_are_good() -> None:
    recording, places = joined(0.3, SENTENCES[0], 0.5, "zzz yyyyy qqq kkkk", 0.5, SENTENCES[2], 0.3)
    parts = segments(recording, f"{SENTENCES[0]} {SENTENCES[1]} {SENTENCES[2]}")
    assert found(parts) == [(SENTENCES[0], "good"), (SENTENCES[1], "badly_aligned"), (SENTENCES[2], "good")]
    assert (parts[1].start, parts[1].end) == pytest.approx(places["zzz yyyyy qqq kkkk"], abs=0.3)


def test_a_word_without_a_pause_around_it_makes_its_sentence_bad() -> None:
    recording, _ = joined(0.4, SENTENCES[0], 0.5, "the pump in the large hall is too hot", 0.5, SENTENCES[2], 0.4)
    parts = segments(recording, f"{SENTENCES[0]} {SENTENCES[1]} {SENTENCES[2]}")
    assert found(parts) == [(SENTENCES[0], "good"), (SENTENCES[1], "badly_aligned"), (SENTENCES[2], "good")]


def test_segments_end_at_sentences_and_are_no_longer_than_they_may_be() -> None:
    recording, _ = joined(*(part for sentence in SENTENCES * 2 for part in (0.35, sentence)), 0.3)
    parts = segments(recording, ". ".join(SENTENCES * 2), max_seconds=5.0)
    assert [part.text for part in parts] == [
        f"{a} {b}" for a, b in zip(SENTENCES[::2] * 2, SENTENCES[1::2] * 2, strict=True)
    ]
    fluent = segments(spoken(" ".join(SENTENCES * 4)), " ".join(SENTENCES * 4), max_seconds=4.0)
    assert max(part.end - part.start for part in fluent) < 4.3
    assert {part.finding for part in fluent} == {"good"}


def test_a_part_of_a_file_has_times_of_the_file(tmp_path: Path) -> None:
    recording, places = joined(SENTENCES[0], 1.0, SENTENCES[1], 1.0, SENTENCES[2])
    soundfile.write(tmp_path / "long.wav", recording, 16_000, subtype="FLOAT")
    start, end = places[SENTENCES[1]]
    parts = align_recording(tmp_path / "long.wav", SENTENCES[1], RECOGNISER, start=start - 0.5, seconds=end - start + 1)
    assert found(parts) == [(SENTENCES[1], "good")]
    assert (parts[0].start, parts[0].end) == pytest.approx((start, end), abs=0.3)


@pytest.mark.parametrize("text", ["", "  ", "...", "(?!)"])
def test_a_transcript_without_words_is_refused(text: str) -> None:
    with pytest.raises(CorpusError, match="has no words; write what is said"):
        segments(quiet(2.0), text)


def test_a_transcript_that_the_recording_cannot_hold_is_refused() -> None:
    with pytest.raises(CorpusError, match="has 340 units, which need 7 s or more, and the recording lasts 2 s"):
        segments(quiet(2.0), "ab " * 170)
    with pytest.raises(AudioError, match="has 320 samples at 16 kHz, too few for one frame"):
        segments(quiet(0.02), "a")
    with pytest.raises(ConfigError, match="min_score"):
        CutConfig(min_score=1.0)


def test_letters_that_the_head_does_not_write_are_aligned_with_any_sound() -> None:
    recogniser = coded_recogniser(Units.of_letters(" abc"))
    recording = np.concatenate([quiet(0.4), spoken("abc cab", Units.of_letters(" abc")), quiet(0.4)])
    parts = align_recording(recording, "axc cab", recogniser)
    assert [part.text for part in parts] == ["axc cab"]
    assert -1.5 < parts[0].score < -0.01


KANA = Units.of_letters("".join(chr(code) for code in range(0x3042, 0x3094)) + "ー")


@settings(max_examples=40, deadline=None)
@given(
    language=st.sampled_from(["en", "ja"]),
    said=st.lists(st.text("あかさたなきっゃー", min_size=1, max_size=12), min_size=1, max_size=6),
    missing=st.integers(0, 5),
    added=st.integers(0, 5),
    longest=st.floats(0.5, 3.0),
)
def test_the_texts_joined_are_the_normal_transcript(
    language: str, said: list[str], missing: int, added: int, longest: float
) -> None:
    config, units = LanguageConfig(language), KANA if language == "ja" else Units()
    if language == "en":
        said = ["".join("abcdefghi"[ord(char) % 9] for char in part) for part in said]
    transcript = (" " if language == "en" else "、").join(said)
    heard = [part for place, part in enumerate(said) if place != missing]
    heard.insert(min(added, len(heard)), said[0][::-1] * 2)
    recording = np.concatenate([part for one in heard for part in (quiet(0.4), spoken(one, units))] + [quiet(2.0)])
    parts = align_recording(recording, transcript, coded_recogniser(units, config), cut=CutConfig(max_seconds=longest))
    texts = [part.text for part in parts if part.text]
    assert (" " if language == "en" else "").join(texts) == config.transcript(transcript)
    assert all(config.transcript(text) == text for text in texts)
    times = [time for part in parts for time in (part.start, part.end)]
    assert times == sorted(times)
    assert times[0] >= 0
    assert times[-1] <= len(recording) / 16_000
