"""Corpora in the layouts in which they are published."""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.model_selection import KFold

from pipelines.datasets.delivery import DeliveryContent, DeliveryOptions, SourceClip
from pipelines.datasets.importers import IMPORTERS, choose_importer
from pipelines.datasets.importers.iemocap import random_folds
from pipelines.datasets.transcripts import apply_transcript_rules
from pipelines.errors import IntakeError
from pipelines.registry.slot import Slot
from tests.support import corpora


def clips(source: Path, **options: str) -> list[SourceClip]:
    """The clips of a source by the importer that is chosen for it."""
    return list(choose_importer(source, options=options).read(source, **options))


def splits(found: list[SourceClip]) -> dict[str, int]:
    return dict(Counter(clip.split for clip in found))


TREES: dict[str, Callable[[Path], Path]] = {
    "librispeech": lambda root: corpora.librispeech(root, {"dev-clean": (84,)}),
    "voxceleb": lambda root: corpora.voxceleb(root, (10001,), (10270, 10271)),
    "iemocap": lambda root: corpora.iemocap(root, each=1),
    "fluent-speech-commands": corpora.fluent,
    "common-voice": corpora.common_voice,
    "mls": corpora.mls,
    "reazonspeech": corpora.reazonspeech,
    "kaldi": corpora.kaldi,
    "id-text": corpora.jsut,
}


@pytest.mark.parametrize("name", TREES)
def test_a_corpus_is_recognised_also_one_folder_above_where_its_name_says_so(tmp_path: Path, name: str) -> None:
    source = TREES[name](tmp_path)
    accepting = [importer.name for importer in IMPORTERS if importer.accepts(source)]
    assert accepting == [name]
    if name not in ("common-voice", "mls", "voxceleb", "reazonspeech"):
        assert choose_importer(source.parent).name == name


@pytest.mark.parametrize("name", TREES)
def test_a_file_that_is_missing_is_a_fault_that_names_it(tmp_path: Path, name: str) -> None:
    source = TREES[name](tmp_path)
    first = clips(source)[0]
    assert isinstance(first.audio, Path)
    first.audio.unlink()
    if name == "voxceleb":
        # without it, only the trial list knows of the file
        (source / "wav" / "id10270" / "1zcIwhmdeo4" / "00001.wav").unlink()
        first = SourceClip("id10270/1zcIwhmdeo4/00001.wav", first.audio)
    with pytest.raises(IntakeError, match=f"{Path(first.path).name}.* does not exist"):
        clips(source)


def test_parts_of_librispeech_give_splits_speakers_and_words(tmp_path: Path) -> None:
    top = corpora.librispeech(tmp_path, {"train-clean-100": (19,), "dev-other": (116,), "test-clean": (1089,)})
    found = clips(top)
    assert splits(found) == {"train": 2, "validation": 2, "test": 2}
    one = next(clip for clip in found if clip.split == "validation")
    assert (one.path, one.text) == ("dev-other/116/1001/116-1001-0000.flac", "OPEN THE DOOR")
    assert (one.speaker, one.condition) == ("116", "other")
    assert splits(clips(top, parts="test-clean")) == {"test": 2}
    with pytest.raises(IntakeError, match="there is no part test-other"):
        clips(top, parts="test-clean,test-other")
    assert splits(clips(top / "test-clean")) == {"test": 2}


def test_a_chapter_of_librispeech_must_be_whole(tmp_path: Path) -> None:
    top = corpora.librispeech(tmp_path, {"dev-clean": (84,)})
    chapter = top / "dev-clean" / "84" / "1001"
    corpora.sound(chapter / "84-1001-0007.flac")
    assert [clip.fault.reason for clip in clips(top) if clip.fault] == ["not_listed"]
    (chapter / "84-1001.trans.txt").unlink()
    with pytest.raises(IntakeError, match=r"84-1001\.trans\.txt: the file does not exist"):
        clips(top)


def test_a_speaker_in_the_wrong_part_of_librispeech_is_a_fault(tmp_path: Path) -> None:
    top = corpora.librispeech(tmp_path, {"train-clean-100": (19,), "test-clean": (1089,)})
    shutil.move(top / "train-clean-100" / "19", top / "test-clean" / "19")
    with pytest.raises(IntakeError, match=r"SPEAKERS\.TXT has the speaker 19 in train-clean-100, and here is test-cl"):
        clips(top)


def test_the_limited_sets_of_librilight_are_all_for_training(tmp_path: Path) -> None:
    top = corpora.librilight(tmp_path)
    assert splits(clips(top)) == {"train": 14}
    assert Counter(clip.condition for clip in clips(top)) == {"clean": 7, "other": 7}
    assert len(clips(tmp_path, subset="1h")) == 12
    assert len(clips(top, subset="10min")) == 2


def test_voxceleb1_has_its_official_test_speakers(tmp_path: Path) -> None:
    source = corpora.voxceleb(tmp_path, tuple(range(10001, 10101)), (10270, 10309))
    found = clips(source)
    by_split = {split: {clip.speaker for clip in found if clip.split == split} for split in splits(found)}
    assert by_split["test"] == {"id10270", "id10309"}
    # one speaker in fifty is held out of the training speakers, the same ones whatever else is there
    assert 0 < len(by_split["validation"]) < 8
    assert len(by_split["train"] | by_split["validation"]) == 100
    assert found[0].path == "wav/id10001/1zcIwhmdeo4/00001.wav"


def test_the_hard_list_makes_its_speakers_test_speakers(tmp_path: Path) -> None:
    source = corpora.voxceleb(tmp_path, (10005,), (10001, 10002), "list_test_hard2.txt")
    found = clips(source, trials="H")
    assert {clip.speaker for clip in found if clip.split == "test"} == {"id10001", "id10002"}
    with pytest.raises(IntakeError, match=r"the trial list list_test_all2\.txt is missing"):
        clips(source, trials="E")


def test_dev_and_test_of_voxceleb1_may_be_unpacked_apart(tmp_path: Path) -> None:
    corpora.voxceleb(tmp_path / "dev", (10001,), ())
    corpora.voxceleb(tmp_path / "test", (), (10270, 10271))
    shutil.move(tmp_path / "test" / "veri_test2.txt", tmp_path / "veri_test2.txt")
    assert {clip.path.split("/")[0] for clip in clips(tmp_path)} == {"dev", "test"}


def test_a_session_of_iemocap_is_left_out(tmp_path: Path) -> None:
    found = clips(corpora.iemocap(tmp_path, each=1), fold="4")
    assert Counter(clip.label for clip in found) == {"ang": 20, "hap+exc": 40, "sad": 20, "neu": 20}
    assert {clip.split: clip.path[:8] for clip in found if clip.split != "train"} == {
        "test": "Session4", "validation": "Session5",
    }  # fmt: skip
    assert {clip.speaker for clip in found if clip.split == "test"} == {"Ses04F", "Ses04M"}
    # the letter of the turn is the voice, not that of the dialogue
    assert {clip.speaker for clip in found if "Ses01F_impro01" in clip.path} == {"Ses01F", "Ses01M"}
    assert found[0].text == "Excuse me."
    homes = {clip.speaker: {other.split for other in found if other.speaker == clip.speaker} for clip in found}
    assert all(len(found) == 1 for found in homes.values())


def test_random_folds_of_iemocap_cover_every_utterance_once(tmp_path: Path) -> None:
    source = corpora.iemocap(tmp_path, each=1)
    tested = [
        clip.path
        for fold in "12345"
        for clip in clips(source, protocol="random-folds", fold=fold)
        if clip.split == "test"
    ]
    assert len(tested) == len(set(tested)) == 100
    protocol = choose_importer(source).protocol
    assert protocol is not None
    assert "random folds over utterances (known speakers), fold 2" in protocol(
        source, protocol="random-folds", fold="2"
    )
    assert "leave one session out" in protocol(source)


@given(st.integers(5, 300), st.integers(1, 5))
def test_random_folds_are_those_of_scikit_learn(count: int, fold: int) -> None:
    kept, tested = list(KFold(5, shuffle=True, random_state=42).split(range(count)))[fold - 1]
    found = random_folds(count, fold)
    assert [place for place, split in enumerate(found) if split == "test"] == tested.tolist()
    assert found.count("validation") == len(kept) // 10


def test_an_intent_of_fluent_speech_commands_has_three_slots(tmp_path: Path) -> None:
    found = clips(corpora.fluent(tmp_path))
    assert splits(found) == {"train": 4, "validation": 4, "test": 4}
    assert (found[1].label, found[1].text) == ("deactivate+lights+none", "Lights, off")
    assert found[0].speaker == "2BqVo8kVB2Skwgyb"


def test_a_table_of_fluent_speech_commands_without_a_column_is_a_fault(tmp_path: Path) -> None:
    top = corpora.fluent(tmp_path)
    corpora.text(top / "data" / "valid_data.csv", ",path,speakerId,transcription", "0,a.wav,b,c")
    (top / "data" / "test_data.csv").unlink()
    with pytest.raises(IntakeError, match=r"column action, object, location is missing[\s\S]*test_data\.csv: the file"):
        clips(top)


def test_common_voice_keeps_its_splits_and_complaints(tmp_path: Path) -> None:
    source = corpora.common_voice(tmp_path)
    found = clips(source)
    assert splits(found) == {"train": 3, "validation": 3, "test": 3}
    # quotes are part of the sentence, as the table has none of its own
    assert [clip.text for clip in found[:3]] == ["Guten Tag, wie geht's?", 'Er sagte "ja".', "Die Tür ist zu."]
    assert found[0].speaker == "client0"
    faults = [clip.fault.reason if clip.fault else "" for clip in found]
    assert faults == ["", "", "reported"] * 3
    assert not any(clip.fault for clip in clips(source, reported="keep"))
    assert splits(clips(source, tables="validated")) == {"": 9}
    refused = clips(source, tables="validated,invalidated", reported="keep")
    assert [clip.fault.reason for clip in refused if clip.fault] == ["invalidated"] * 3


def test_a_row_in_another_language_than_the_slots_goes_to_quarantine(tmp_path: Path) -> None:
    source = corpora.common_voice(tmp_path / "cv")
    table = source / "train.tsv"
    table.write_text(table.read_text("utf-8").replace("\tde\t", "\tfr\t", 1), "utf-8")
    for found, language in ((clips(source), "de"), (clips(corpora.mls(tmp_path / "mls")), "fr")):
        content = DeliveryContent("key", "in", "x", DeliveryOptions(), tuple(found), 0)
        judged = apply_transcript_rules(content, Slot("plant", "asr"), "keep", language)
        faults = [clip.fault.reason if clip.fault else "" for clip in judged.clips]
        expected = 1 if language == "de" else len(found)
        assert (faults.count("other_language"), faults[0]) == (expected, "other_language")


def test_common_voice_without_published_splits_is_taken_from_the_validated(tmp_path: Path) -> None:
    source = corpora.common_voice(tmp_path)
    for name in ("train", "dev", "test"):
        (source / f"{name}.tsv").unlink()
    assert splits(clips(source)) == {"": 9}
    with pytest.raises(IntakeError, match=r"there is no table trian; expected some of train, dev"):
        clips(source, tables="trian")


def test_mls_gives_lengths_and_limited_sets(tmp_path: Path) -> None:
    source = corpora.mls(tmp_path)
    found = clips(source)
    assert splits(found) == {"train": 3, "validation": 3, "test": 3}
    assert (found[0].speaker, found[0].declared, found[0].text) == ("10148", 0.5, "guten tag auch")
    assert splits(clips(source, subset="1h")) == {"train": 1, "validation": 3, "test": 3}
    assert splits(clips(source, subset="10h")) == {"train": 2, "validation": 3, "test": 3}


def test_japanese_trees_name_their_voices(tmp_path: Path) -> None:
    found = clips(corpora.jsut(tmp_path / "a"))
    assert [(clip.speaker, clip.text) for clip in found] == [
        ("jsut", "水をマレーシアから買わなくてはならないのです。"),
        ("jsut", "ここはどこ？"),
    ]
    found = clips(corpora.jvs(tmp_path / "b"))
    assert [clip.speaker for clip in found] == ["jvs001", "jvs002"]
    assert found[0].path == "jvs001/parallel100/wav24kHz16bit/VOICEACTRESS100_001.wav"


def test_a_reading_after_every_text_is_left_out(tmp_path: Path) -> None:
    for name in ("RECITATION324_001", "RECITATION324_002"):
        corpora.sound(tmp_path / "wav" / f"{name}.wav")
    listing = tmp_path / "recitation_transcript_utf8.txt"
    corpora.text(listing, "RECITATION324_001:女の子,オンナノコ", "RECITATION324_002:ドア、あけて。,ドア、アケテ。")
    assert [clip.text for clip in clips(tmp_path)] == ["女の子", "ドア、あけて。"]
    corpora.text(listing, "RECITATION324_001:女の子,オンナノコ", "RECITATION324_002:a,b")
    assert [clip.text for clip in clips(tmp_path)] == ["女の子,オンナノコ", "a,b"]


def test_a_prompt_set_is_one_voice(tmp_path: Path) -> None:
    found = clips(corpora.prompts(tmp_path))
    assert [(clip.path, clip.text, clip.speaker) for clip in found] == [
        ("agent-loggedoff.wav", "Agent déconnecté.", "fr_CA_f_June"),
        ("digits/1.wav", "un", "fr_CA_f_June"),
    ]


def test_a_prompt_without_a_recording_is_refused_or_left_out(tmp_path: Path) -> None:
    source = corpora.prompts(tmp_path)
    with (source / "core-sounds-fr.txt").open("a", encoding="utf-8") as listing:
        listing.write("letters/o: o\n")
    with pytest.raises(IntakeError, match=r"the file letters/o\.wav does not exist; .* add --option missing=skip"):
        clips(source)
    assert len(clips(source, missing="skip")) == 2


def test_reazonspeech_takes_its_largest_table(tmp_path: Path) -> None:
    source = corpora.reazonspeech(tmp_path)
    assert [(clip.speaker, clip.text) for clip in clips(source)] == [("", "今日は晴れです。"), ("", "そうですね。")]
    corpora.text(source / "v2-tsv" / "small.tsv", "000/00734a5ac5b30.flac\t今日は晴れです。")
    assert len(clips(source)) == 1
    assert len(clips(source, size="tiny")) == 2
    shutil.rmtree(source / "v2" / "000")
    (source / "v2" / "000.tar").write_bytes(b"")
    with pytest.raises(IntakeError, match=r"v2/000\.tar is not unpacked"):
        clips(source)
