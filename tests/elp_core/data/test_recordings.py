from __future__ import annotations

from pathlib import Path

import pytest

from elp_core.audio import clip_id, encode_flac, load
from elp_core.data.recordings import make_clip, split_by_speaker, split_place
from elp_core.errors import AudioError, ConfigError, CorpusError
from elp_core.languages import LanguageConfig
from elp_core.testing import random_clips, tone
from elp_core.types import SPLITS
from pipelines.datasets.measuring import split_of
from tests.support.clips import wav

SOUND = tone(300, 0.5)


def test_a_file_becomes_a_clip_with_its_words_in_their_normal_form(tmp_path: Path) -> None:
    (file := tmp_path / "anna 1.wav").write_bytes(wav(SOUND))
    clip = make_clip(file, text="Open the DOOR, please!", speaker="Ju\u0308rgen ", condition="headset")
    assert (clip.text, clip.speaker, clip.condition, clip.split) == (
        "open the door please",
        "Jürgen",
        "headset",
        "train",
    )
    assert clip.path == "anna 1.wav"
    assert (clip.id, clip.duration) == (clip_id(load(file)), 0.5)
    assert clip_id(load(clip.audio)) == clip.id
    assert make_clip(str(file)).id == make_clip(file.read_bytes()).id == clip.id


def test_the_language_decides_what_is_written() -> None:
    sound = encode_flac(SOUND)
    assert make_clip(sound, text="Tür „öffnen“", language="de").text == "tür öffnen"
    assert make_clip(sound, text="Raum 7", language=LanguageConfig("de", digits="spell")).text == "raum sieben"
    with pytest.raises(CorpusError, match="characters that the language en does not write: ü; spell them out"):
        make_clip(sound, text="Tür")
    with pytest.raises(ConfigError, match="'xx' is no language"):
        make_clip(sound, language="xx")


def test_what_is_no_recording_and_no_split_is_refused(tmp_path: Path) -> None:
    with pytest.raises(AudioError, match=r"nothing\.wav"):
        make_clip(tmp_path / "nothing.wav")
    with pytest.raises(CorpusError, match="'dev' is no split, expected one of train, validation, test"):
        make_clip(encode_flac(SOUND), split="dev")


def test_nobody_is_in_two_splits_and_the_choice_is_that_of_the_pipeline() -> None:
    clips = random_clips(24, speakers=6)
    divided = split_by_speaker(clips, test=2, validation=1)
    assert [clip.id for clip in divided] == [clip.id for clip in clips]
    people = {split: {clip.speaker for clip in divided if clip.split == split} for split in SPLITS}
    assert {split: len(names) for split, names in people.items()} == {"train": 3, "validation": 1, "test": 2}
    assert sum(map(len, people.values())) == len(set().union(*people.values()))
    assert split_by_speaker(clips[::-1], test=2) == divided[::-1], "neither the order of the clips nor the run matters"
    # with shares in place of numbers, the same people are chosen
    last = max(split_place(name) for name in people["test"])
    assert {split_of(name, 0.0, last + 1e-9) for name in people["test"]} == {"test"}
    assert {split_of(name, 0.0, last + 1e-9) for name in people["train"]} == {"train"}


@pytest.mark.parametrize(("test", "validation"), [(0, 1), (1, 0), (3, 1), (-1, 2)])
def test_a_division_that_leaves_a_split_empty_is_refused(test: int, validation: int) -> None:
    clips = random_clips(8, speakers=4)
    with pytest.raises(CorpusError, match="4 speakers cannot be divided into"):
        split_by_speaker(clips, test=test, validation=validation)


def test_clips_without_a_speaker_are_refused() -> None:
    clips = [*random_clips(8, speakers=4), make_clip(encode_flac(SOUND))]
    with pytest.raises(CorpusError, match="clips without a speaker: 1 of 9"):
        split_by_speaker(clips, test=1)
