"""Formats of any content: folders, tables, Kaldi, lhotse, Hugging Face."""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import Any

import pytest

from pipelines.datasets.delivery import SourceClip
from pipelines.datasets.importers import choose_importer
from pipelines.datasets.importers.manifest_rows import manifest_rows
from pipelines.errors import IntakeError
from tests.support import corpora
from tests.support.clips import voice, wav


def clips(source: Path, **options: str) -> list[SourceClip]:
    """The clips of a source by the importer that is chosen for it."""
    return list(choose_importer(source, options=options).read(source, **options))


def folder_of_texts(root: Path) -> Path:
    for name in ("train/anna/a.wav", "train/bert/b.flac", "test/carl/c.d.wav"):
        audio = corpora.sound(root / name)
        corpora.text(audio.with_suffix(".txt"), "the  words", "of " + audio.stem)
    return root


def test_a_folder_of_pairs_gives_texts_and_splits(tmp_path: Path) -> None:
    found = clips(folder_of_texts(tmp_path))
    assert [(clip.path, clip.text, clip.split) for clip in found] == [
        ("test/carl/c.d.wav", "the words of c.d", "test"),
        ("train/anna/a.wav", "the words of a", "train"),
        ("train/bert/b.flac", "the words of b", "train"),
    ]
    named = clips(tmp_path, speaker="folder", label="folder")
    assert [(clip.speaker, clip.label) for clip in named] == [("carl", "carl"), ("anna", "anna"), ("bert", "bert")]


def test_a_voice_may_have_folders_of_its_own(tmp_path: Path) -> None:
    corpora.sound(tmp_path / "fr_CA_f_June" / "digits" / "1.wav")
    corpora.sound(tmp_path / "fr_CA_f_June" / "activated.wav")
    chosen = choose_importer(tmp_path, "text-folder")
    assert {clip.speaker for clip in chosen.read(tmp_path, speaker="top-folder")} == {"fr_CA_f_June"}


def test_a_pair_without_its_other_half_is_a_fault(tmp_path: Path) -> None:
    folder_of_texts(tmp_path)
    (tmp_path / "train" / "anna" / "a.txt").unlink()
    (tmp_path / "train" / "bert" / "b.flac").unlink()
    corpora.text(tmp_path / "train" / "anna" / "README.txt", "about")
    with pytest.raises(IntakeError, match=r"2 faults[\s\S]*its text file a\.txt does not[\s\S]*b\.txt: its audio"):
        clips(tmp_path)


def test_a_folder_without_texts_is_taken_if_the_format_is_named(tmp_path: Path) -> None:
    corpora.sound(tmp_path / "anna" / "a.wav")
    with pytest.raises(IntakeError, match="has no known format"):
        choose_importer(tmp_path)
    chosen = choose_importer(tmp_path, "text-folder")
    assert [(clip.text, clip.speaker) for clip in chosen.read(tmp_path, speaker="folder")] == [("", "anna")]


@pytest.mark.parametrize(
    ("name", "lines", "options"),
    [
        ("a.csv", ["path,sentence,client_id,split", 'x/1.wav,"yes, please",anna,dev'], {}),
        ("a.tsv", ["wav\ttext\tspeaker\tset", "x/1.wav\tyes, please\tanna\tdev"], {}),
        ("a.csv", ["file;Text;Speaker;Split", "x/1.wav;yes, please;anna;dev"], {}),
        ("a.csv", ["n,datei,wort,wer,teil", '1,1,"yes, please",anna,dev'],
         {"columns": "path=datei,text=wort,speaker=wer,split=teil", "folder": "x"}),
        ("a.csv", ["1|yes, please|anna|dev"],
         {"columns": "path=1,text=2,speaker=3,split=4", "folder": "x"}),
        ("a.csv", ["path,text,speaker,split", '"x\\1.wav","yes, please",anna,dev', ""], {}),
    ],
)  # fmt: skip
def test_tables_of_any_dialect_say_the_same(
    tmp_path: Path, name: str, lines: list[str], options: dict[str, str]
) -> None:
    corpora.sound(tmp_path / "x" / "1.wav")
    (found,) = clips(corpora.text(tmp_path / name, *lines), **options)
    assert (found.path, found.text, found.speaker, found.split) == ("x/1.wav", "yes, please", "anna", "validation")


def test_times_and_channels_of_a_table_cut_the_file(tmp_path: Path) -> None:
    corpora.sound(tmp_path / "1.wav", 3.0)
    rows = "1.wav,0.5,1.0,1", "1.wav,,3.0,", "1.wav,,1.0,", "1.wav,,9.0,"
    found = clips(corpora.text(tmp_path / "a.csv", "file,offset,duration,channel", *rows))
    # as in a manifest: a duration alone cuts from the beginning, and one that is longer than the file contradicts it
    assert [(clip.start, clip.seconds, clip.channel, clip.declared) for clip in found] == [
        (0.5, 1.0, 1, None),
        (0.0, None, None, None),
        (0.0, 1.0, None, None),
        (0.0, None, None, 9.0),
    ]


def test_other_columns_of_a_table_name_its_channel_and_its_language(tmp_path: Path) -> None:
    corpora.sound(tmp_path / "1.wav")
    (found,) = clips(corpora.text(tmp_path / "a.csv", "Audio Filepath,channel_selector,locale", "1.wav,1,de"))
    assert (found.channel, found.language) == (1, "de")


def test_a_separator_of_unicode_in_a_transcript_ends_no_row(tmp_path: Path) -> None:
    corpora.sound(tmp_path / "1.wav")
    found = clips(corpora.text(tmp_path / "a.csv", "path,text", "1.wav,yes\u2028please", "1.wav,no\x0bthanks"))
    assert [clip.text for clip in found] == ["yes\u2028please", "no\x0bthanks"]


@pytest.mark.parametrize(
    ("lines", "columns", "says"),
    [
        (["name,text", "1.wav,yes"], "", r"which column names the audio\? it has name, text; say it with --columns"),
        (["name,text", "1.wav,yes"], "path=datei", "there is no column datei; it has name, text"),
        (["name,text", "1.wav,yes"], "pfad=name", "columns has pfad, expected NAME=COLUMN with path, text"),
        (["path,text", "1.wav"], "", "line 2: it has 1 fields, expected 2"),
        (["path,text", "gone.wav,yes"], "", r"line 2: the file gone\.wav does not exist"),
        (["path,text", "../../etc/hostname,yes"], "", "line 2: the file .* is outside"),
        (["path,split", "1.wav,holdout"], "", "line 2: unknown split 'holdout'"),
        (["path,offset", "1.wav,soon"], "", "line 2: offset is 'soon', expected a number"),
        (["path,offset", "1.wav,nan"], "", "line 2: offset is 'nan', expected a number"),
        (["path,text", '1.wav,"open'], "", "the table is malformed"),
        (["path,text", ",yes"], "", "line 2: the name of the audio file is empty"),
        (["path,start,end", "1.wav,0.5,1.5"], "", "line 2: end is not read; name a part of a file with offset"),
        (["path,start_ms", "1.wav,500"], "", "line 2: start_ms is not read"),
        (["path,text,lang,target_lang", "1.wav,yes,de,en"], "", "line 2: its transcript is in en and its speech in de"),
        (["path,text,text", "1.wav,yes,no"], "", "line 1: the column text occurs twice"),
        (["path,text"], "", "names no clip"),
        ([], "", r"which column names the audio\? it has no header"),
    ],
)
def test_a_fault_of_a_table_is_named(tmp_path: Path, lines: list[str], columns: str, says: str) -> None:
    corpora.sound(tmp_path / "1.wav")
    table = corpora.text(tmp_path / "a.csv", *lines)
    with pytest.raises(IntakeError, match=says):
        clips(table, **({"columns": columns} if columns else {}))


def test_a_kaldi_folder_gives_segments_channels_and_lengths(tmp_path: Path) -> None:
    found = clips(corpora.kaldi(tmp_path))
    assert [(c.text, c.speaker, c.start, c.seconds, c.channel, c.declared) for c in found] == [
        ("open the door", "anna", 0.5, 0.75, 0, 4.0),
        ("no", "bert", 1.5, 0.5, 1, 4.0),
        # a file that no other recording shares is one channel, whatever side of the call it is
        ("yes please", "carl", 0.0, 1.0, None, 4.0),
        ("stop", "carl", 1.0, None, None, 4.0),
    ]
    assert {clip.split for clip in found} == {"train"}


def test_data_folders_of_kaldi_give_splits_and_need_no_segments(tmp_path: Path) -> None:
    corpora.kaldi(tmp_path)
    dev = tmp_path / "data" / "dev"
    corpora.sound(dev / "u1.wav")
    corpora.text(dev / "wav.scp", "u1 u1.wav")
    corpora.text(dev / "text", "u1 hello")
    found = clips(tmp_path)
    assert {(clip.split, clip.text) for clip in found if clip.split != "train"} == {("validation", "hello")}
    corpora.text(dev / "text", "u1 hello", "u2 lost")
    with pytest.raises(IntakeError, match=r"wav\.scp: it lacks 1 utterance, the first is u2"):
        clips(tmp_path)


def test_an_empty_file_of_segments_does_not_make_clips_of_whole_recordings(tmp_path: Path) -> None:
    corpora.sound(tmp_path / "call.wav")
    corpora.text(tmp_path / "wav.scp", "call call.wav")
    (tmp_path / "segments").write_text("")
    with pytest.raises(IntakeError, match="names no clip"):
        clips(tmp_path)


def test_commands_and_archives_of_kaldi_are_refused_by_name(tmp_path: Path) -> None:
    folder = corpora.kaldi(tmp_path)
    marker = tmp_path / "run"
    corpora.text(folder / "wav.scp", f"call1-A touch {marker} |", "call1-B audio/raw.ark:1234", "call2 audio/call2.wav")
    with pytest.raises(
        IntakeError, match=r"call1-A is a command \(touch .* commands are not run[\s\S]*call1-B is in an"
    ):
        clips(folder)
    assert not marker.exists()


def test_audio_of_kaldi_outside_the_source_needs_its_root(tmp_path: Path) -> None:
    folder, outside = corpora.kaldi(tmp_path), corpora.sound(tmp_path / "corpora" / "x" / "call2.wav", 4.0)
    lines = ["call1-A audio/call1.wav", "call1-B audio/call1.wav"]
    corpora.text(folder / "wav.scp", *lines, f"call2 {outside}")
    with pytest.raises(IntakeError, match="is outside"):
        clips(folder)
    assert len(clips(folder, root=str(tmp_path / "corpora"))) == 4
    corpora.text(folder / "wav.scp", *lines, "call2 x/call2.wav")
    assert len(clips(folder, root=str(tmp_path / "corpora"))) == 4


@pytest.mark.parametrize(
    ("name", "line", "says"),
    [
        ("segments", "anna-9 call9 0 1", "the recording call9 is not in wav.scp"),
        ("segments", "anna-9 call2 2 1", "the segment ends at 1.0 s and starts at 2.0 s"),
        ("segments", "anna-9 call2 zero one", "expected a name, a recording, and start and end"),
        ("wav.scp", "call3 gone.wav", "the file .*gone.wav does not exist"),
        ("wav.scp", "call3", "expected a name and a text, got 'call3'"),
        ("text", "anna-9 lost words", r"segments: it lacks 1 utterance, the first is anna-9"),
        ("utt2spk", "anna-1 bert", "anna-1 has another text here than in an earlier line"),
        ("reco2file_and_channel", "call1-B call1 C", "has another text here"),
    ],
)
def test_a_fault_of_a_kaldi_folder_is_named(tmp_path: Path, name: str, line: str, says: str) -> None:
    folder = corpora.kaldi(tmp_path)
    with (folder / name).open("a", encoding="utf-8") as file:
        file.write(line + "\n")
    with pytest.raises(IntakeError, match=says):
        clips(folder)


def test_supervisions_of_lhotse_are_clips_with_channels(tmp_path: Path) -> None:
    corpora.sound(tmp_path / "call.wav", 4.0)
    supervisions: list[dict[str, Any]] = [
        {"text": "yes", "speaker": "anna", "start": 0.5},
        {"text": "no", "speaker": "bert", "channel": [1], "start": 2.5},
        {"text": "early", "start": -0.25, "duration": 0.5},
    ]
    manifest = corpora.lhotse(tmp_path, [corpora.lhotse_cut("call", "call.wav", supervisions)])
    assert choose_importer(tmp_path).name == choose_importer(manifest).name == "lhotse"
    found = clips(manifest)
    assert [(c.text, c.speaker, c.start, c.seconds, c.channel) for c in found] == [
        ("yes", "anna", 1.0, 1.0, 0),
        ("no", "bert", 3.0, 0.5, 1),
        ("early", "", 0.5, 0.25, 0),
    ]
    assert {(clip.split, clip.declared) for clip in found} == {("train", 4.0)}


def test_a_plain_cut_of_lhotse_is_read_without_gzip_too(tmp_path: Path) -> None:
    corpora.sound(tmp_path / "call.wav", 4.0)
    cut = corpora.lhotse_cut("call", "call.wav", [{"text": "yes", "start": 0.0, "duration": 3.0}], type="MonoCut")
    cut["recording"]["sources"] = [{"type": "file", "channels": [0], "source": "call.wav"}]
    cut["channel"] = 0
    (found,) = clips(corpora.lhotse(tmp_path, [cut], "libri_cuts_dev-clean.jsonl"))
    assert (found.channel, found.start, found.seconds, found.split) == (None, 0.5, 3.0, "validation")


def test_the_language_of_a_supervision_is_that_of_its_clip(tmp_path: Path) -> None:
    corpora.sound(tmp_path / "call.wav", 4.0)
    cut = corpora.lhotse_cut("call", "call.wav", [{"text": "ja", "start": 0, "duration": 1, "language": "German"}])
    assert [clip.language for clip in clips(corpora.lhotse(tmp_path, [cut]))] == ["German"]


@pytest.mark.parametrize(
    "lines",
    [
        ("sep=;", "path;text", "1.wav;yes, no, perhaps"),
        ("path;text", "1.wav;yes, no, perhaps"),
        ("text, as it was spoken;path", "yes, no, perhaps;1.wav"),
    ],
)
def test_a_table_and_a_manifest_find_the_same_separator(tmp_path: Path, lines: tuple[str, ...]) -> None:
    corpora.sound(tmp_path / "1.wav")
    columns = {} if lines[-2] == "path;text" else {"columns": "path=path"}
    (found,) = clips(corpora.text(tmp_path / "a.csv", *lines), **columns)
    assert (found.path, found.text) == ("1.wav", "" if columns else "yes, no, perhaps")
    rows = dict(manifest_rows(tmp_path / "a.csv", "\n".join(lines), "path"))
    assert [row["path"] for row in rows.values() if not isinstance(row, str)] == ["1.wav"]
    assert list(rows) == [len(lines)]


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"type": "MixedCut"}, "a MixedCut is made of several recordings"),
        ({"recording": None}, "it has no recording; save cuts with their recordings"),
        ({"start": "soon"}, "'soon' is not a number of seconds"),
        ({"start": "1_0"}, "'1_0' is not a number of seconds"),
        ({"start": -1}, "-1 is not a number of seconds, 0 or more"),
        ({"supervisions": [{"start": 0, "duration": 1, "channel": 0.7}]}, r"the channel is 0\.7, expected a whole"),
        ({"supervisions": [{"start": 0, "duration": 1, "channel": [0, 1]}]}, r".*has the channels \[0, 1\]"),
        ({"supervisions": [{"start": 0, "duration": 1, "channel": 2}]}, "its recording has no channel 2"),
    ],
)
def test_a_cut_of_lhotse_that_is_no_clip_is_refused_by_name(tmp_path: Path, change: dict[str, Any], says: str) -> None:
    corpora.sound(tmp_path / "call.wav", 4.0)
    good = corpora.lhotse_cut("call", "call.wav", [{"text": "yes"}])
    with pytest.raises(IntakeError, match=f"line 2: {says}"):
        clips(corpora.lhotse(tmp_path, [good, {**good, **change}]))


@pytest.mark.parametrize("kind", ["command", "url", "memory"])
def test_a_source_of_lhotse_that_is_no_file_is_refused(tmp_path: Path, kind: str) -> None:
    cut = corpora.lhotse_cut("call", f"touch {tmp_path / 'run'}", [{"text": "yes"}])
    cut["recording"]["sources"][0]["type"] = kind
    with pytest.raises(IntakeError, match=f"its audio is a {kind}, not a file"):
        clips(corpora.lhotse(tmp_path, [cut]))
    cut["recording"] |= {"transforms": [{"name": "Speed", "kwargs": {"factor": 1.1}}]}
    with pytest.raises(IntakeError, match="its recording has transforms"):
        clips(corpora.lhotse(tmp_path, [cut]))


def test_a_damaged_manifest_of_lhotse_is_named(tmp_path: Path) -> None:
    corpora.sound(tmp_path / "call.wav", 4.0)
    manifest = corpora.lhotse(tmp_path, [corpora.lhotse_cut("call", "call.wav", [{"text": "yes"}])] * 50)
    manifest.write_bytes(manifest.read_bytes()[:-40])
    with pytest.raises(IntakeError, match=r"cuts_train\.jsonl\.gz cannot be read"):
        list(choose_importer(manifest, "lhotse").read(manifest))
    manifest.write_bytes(gzip.compress(b"{broken\n"))
    with pytest.raises(IntakeError, match="line 1: not JSON"):
        list(choose_importer(manifest, "lhotse").read(manifest))


def saved_dataset(folder: Path, **columns: Any) -> Path:
    """A dataset with two clips, written by `datasets` itself."""
    import datasets

    sounds = [{"bytes": wav(voice(0.5, 300, n)), "path": f"clip{n}.wav"} for n in range(2)]
    pair = {"bytes": datasets.Value("binary"), "path": datasets.Value("string")}
    features = datasets.Features(
        {
            "audio": pair,
            "sentence": datasets.Value("string"),
            "speaker_id": datasets.Value("int64"),
            "emotion": datasets.ClassLabel(names=["calm", "angry"]),
            "locale": datasets.ClassLabel(names=["de", "fr"]),
        }
    )
    values = {
        "audio": sounds,
        "sentence": ["yes", "no"],
        "speaker_id": [7, 8],
        "emotion": [1, -1],
        "locale": [0, 1],
        **columns,
    }
    made = datasets.Dataset.from_dict(values, features=features)
    made = made.cast_column("audio", datasets.Audio(sampling_rate=16_000))
    datasets.DatasetDict({"train": made, "test": made.select([1])}).save_to_disk(folder)
    return folder


@pytest.mark.integration
def test_a_dataset_of_hugging_face_is_read_from_disk(tmp_path: Path) -> None:
    source = saved_dataset(tmp_path / "saved")
    found = clips(source)
    assert [(c.path, c.text, c.speaker, c.label, c.split) for c in found] == [
        ("train/0000000-clip0.wav", "yes", "7", "angry", "train"),
        ("train/0000001-clip1.wav", "no", "8", "", "train"),
        ("test/0000000-clip1.wav", "no", "8", "", "test"),
    ]
    assert [one.language for one in found] == ["de", "fr", "fr"]
    assert found[0].audio == wav(voice(0.5, 300, 0))
    assert len(clips(source, splits="test")) == 1
    (one,) = clips(source / "test", columns="text=speaker_id")
    assert (one.text, one.split) == ("8", "")


@pytest.mark.integration
def test_a_damaged_dataset_of_hugging_face_is_named(tmp_path: Path) -> None:
    source = saved_dataset(tmp_path / "saved")
    with pytest.raises(IntakeError, match=r"columns has text=gone; expected some of audio, text.* audio, sentence"):
        clips(source, columns="text=gone")
    with pytest.raises(IntakeError, match="there is no split dev; it has train, test"):
        clips(source, splits="dev")
    arrow = next((source / "test").glob("*.arrow"))
    arrow.write_bytes(arrow.read_bytes()[:100])
    with pytest.raises(IntakeError, match="it is not an Arrow file of this dataset"):
        clips(source)
    arrow.unlink()
    with pytest.raises(IntakeError, match=r"the file test/data-00000-of-00001\.arrow does not exist"):
        clips(source)
