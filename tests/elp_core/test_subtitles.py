from __future__ import annotations

import html
import io
import itertools

import pytest
import webvtt

from elp_core.subtitles import Cue, SubtitleConfig, cues, srt, vtt
from elp_core.transcript import Segment, Transcript, Word


def transcript(*segments: list[Word], spaced: bool = True) -> Transcript:
    made = tuple(
        Segment(words[0].start, words[-1].end, " ".join(w.text for w in words), tuple(words)) for words in segments
    )
    return Transcript(" ".join(s.text for s in made), 100.0, made, spaced)


def spoken(text: str, start: float = 0.0, each: float = 0.4) -> list[Word]:
    return [Word(word, start + n * each, start + n * each + 0.3, 0.9) for n, word in enumerate(text.split())]


def test_cues_end_at_pauses_and_stay_inside_their_limits() -> None:
    words = spoken("the quick brown fox jumps over the lazy dog " * 8)
    later = spoken("and then it sleeps", start=60.0)
    found = cues(transcript([*words, *later]))
    assert " ".join(" ".join(cue.lines) for cue in found).split() == [word.text for word in [*words, *later]]
    assert all(len(line) <= 42 for cue in found for line in cue.lines)
    assert all(len(cue.lines) <= 2 and cue.end - cue.start <= 7.0 for cue in found)
    assert all(a.end <= b.start for a, b in itertools.pairwise(found))
    assert found[-1].start == 60.0


def test_a_short_cue_stays_if_the_next_one_leaves_it_the_time() -> None:
    found = cues(transcript([Word("yes", 1.0, 1.2, 0.9)], [Word("no", 1.5, 1.6, 0.9)]))
    assert [(cue.start, cue.end) for cue in found] == [(1.0, 1.5), (1.5, 2.5)]


def test_wide_letters_count_twice_and_lines_break_between_them() -> None:
    words = [Word(letter, n * 0.1, n * 0.1 + 0.1, 0.9) for n, letter in enumerate("あいうえおかきくけこさし")]
    found = cues(transcript(words, spaced=False), SubtitleConfig(columns=10, lines=2))
    assert [cue.lines for cue in found] == [("あいうえお", "かきくけこ"), ("さし",)]


def test_silence_has_no_cue() -> None:
    silence = Transcript("", 2.0, ())
    assert cues(silence) == cues(Transcript("", 2.0, (Segment(0.0, 1.0, "", ()),))) == []
    assert (srt([]), vtt([])) == ("", "WEBVTT\n")


def test_the_files_are_read_by_another_program() -> None:
    made = [Cue(0.0, 1.5, ("one", "two")), Cue(3599.9996, 3725.25, ("a < b & c",))]
    read = webvtt.from_buffer(io.StringIO(vtt(made)))
    assert [(cue.start, cue.end, html.unescape(cue.text)) for cue in read] == [
        ("00:00:00.000", "00:00:01.500", "one\ntwo"),
        ("01:00:00.000", "01:02:05.250", "a < b & c"),
    ]
    read = webvtt.from_buffer(io.StringIO(srt(made)), format="srt")
    assert [cue.text for cue in read] == ["one\ntwo", "a < b & c"]
    assert srt(made).startswith("1\n00:00:00,000 --> 00:00:01,500\none\ntwo\n\n2\n01:00:00,000 --> ")
    assert vtt([]) == "WEBVTT\n"
    assert srt([]) == ""


@pytest.mark.parametrize("word", ["a" * 100, "あ" * 60])
def test_a_word_that_is_longer_than_a_line_is_kept_whole(word: str) -> None:
    (found,) = cues(transcript([Word(word, 0.0, 9.0, 0.5)]))
    assert found.lines == (word,)
