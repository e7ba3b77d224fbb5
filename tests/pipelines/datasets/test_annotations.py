"""Recordings with annotations in the formats that Praat, ELAN, Audacity, Label Studio and NIST's tools write."""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipelines.datasets.delivery import SourceClip
from pipelines.datasets.importers import accepting, choose_importer
from pipelines.errors import IntakeError
from tests.support.clips import wav

LONG_TEXTGRID = """\
File type = "ooTextFile"
Object class = "TextGrid"

xmin = 0
xmax = 10
tiers? <exists>
size = 2
item []:
    item [1]:
        class = "IntervalTier"
        name = "anna"
        xmin = 0
        xmax = 10
        intervals: size = 3
        intervals [1]:
            xmin = 0
            xmax = 1.5
            text = ""
        intervals [2]:
            xmin = 1.5
            xmax = 3.25
            text = "open the ""red"" door"
        intervals [3]:
            xmin = 3.25
            xmax = 10
            text = ""
    item [2]:
        class = "IntervalTier"
        name = "Speaker 2"
        xmin = 0
        xmax = 10
        intervals: size = 2
        intervals [1]:
            xmin = 0
            xmax = 4
            text = ""
        intervals [2]:
            xmin = 4
            xmax = 6
            text = "thank you"
"""
SHORT_TEXTGRID = """\
File type = "ooTextFile"
Object class = "TextGrid"

0
10
<exists>
1
"IntervalTier"
"anna"
0
10
2
0
1.5
""
1.5
3.25
"größe zwölf"
"""
ELAN = """\
<?xml version="1.0" encoding="UTF-8"?>
<ANNOTATION_DOCUMENT AUTHOR="" DATE="2026-01-01T00:00:00+01:00" FORMAT="3.0" VERSION="3.0"
  xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"
  xsi:noNamespaceSchemaLocation="http://www.mpi.nl/tools/elan/EAFv3.0.xsd">
  <HEADER MEDIA_FILE="" TIME_UNITS="milliseconds">
    <MEDIA_DESCRIPTOR MEDIA_URL="file:///c:/data/call.wav" MIME_TYPE="audio/x-wav" RELATIVE_MEDIA_URL="./call.wav"/>
  </HEADER>
  <TIME_ORDER>
    <TIME_SLOT TIME_SLOT_ID="ts1" TIME_VALUE="1500"/><TIME_SLOT TIME_SLOT_ID="ts2" TIME_VALUE="3250"/>
    <TIME_SLOT TIME_SLOT_ID="ts3" TIME_VALUE="4000"/><TIME_SLOT TIME_SLOT_ID="ts4" TIME_VALUE="6000"/>
  </TIME_ORDER>
  <TIER LINGUISTIC_TYPE_REF="default-lt" PARTICIPANT="Anna" TIER_ID="A_Transcription">
    <ANNOTATION><ALIGNABLE_ANNOTATION ANNOTATION_ID="a1" TIME_SLOT_REF1="ts1" TIME_SLOT_REF2="ts2">
      <ANNOTATION_VALUE>open the door</ANNOTATION_VALUE></ALIGNABLE_ANNOTATION></ANNOTATION>
  </TIER>
  <TIER LINGUISTIC_TYPE_REF="default-lt" TIER_ID="bert">
    <ANNOTATION><ALIGNABLE_ANNOTATION ANNOTATION_ID="a2" TIME_SLOT_REF1="ts3" TIME_SLOT_REF2="ts4">
      <ANNOTATION_VALUE>thank you</ANNOTATION_VALUE></ALIGNABLE_ANNOTATION></ANNOTATION>
  </TIER>
  <TIER LINGUISTIC_TYPE_REF="translation" PARENT_REF="A_Transcription" TIER_ID="A_Translation">
    <ANNOTATION><REF_ANNOTATION ANNOTATION_ID="a3" ANNOTATION_REF="a1">
      <ANNOTATION_VALUE>öffne die Tür</ANNOTATION_VALUE></REF_ANNOTATION></ANNOTATION>
  </TIER>
  <LINGUISTIC_TYPE GRAPHIC_REFERENCES="false" LINGUISTIC_TYPE_ID="default-lt" TIME_ALIGNABLE="true"/>
</ANNOTATION_DOCUMENT>
"""
SRT = """\
1
00:00:01,500 --> 00:00:03,250
<i>Open the</i>
{\\an8}door!

2
00:00:04,000 --> 00:00:06,000
- Thank you.
"""
VTT = """\
WEBVTT - a call

NOTE taken by hand

STYLE
::cue { color: white }

1
00:01.500 --> 00:03.250 align:start position:0%
<v Anna Kowalski>Open <b>the</b> door &amp; window</v>

00:00:04.000 --> 00:00:06.000
Thank you.
"""
STM = """\
;; a comment
call 1 anna 1.50 3.25 <o,f0,female> open the door
call 1 inter_segment_gap 3.25 4.00 <o,,unknown> ignore_time_segment_in_scoring
call A spk02 4.00 6.00 <unk> thank you
"""
CTM = """\
;; a comment
call 1 1.50 0.30 open 0.98
call 1 1.85 0.20 the
call 1 2.10 0.40 door 0.91
call 1 4.00 0.50 thank
call 1 4.55 0.45 you
"""
RTTM = """\
SPKR-INFO call 1 <NA> <NA> <NA> unknown anna <NA> <NA>
SPEAKER call 1 1.50 1.75 <NA> <NA> anna <NA> <NA>
SPEAKER call 1 4.00 2.00 <NA> <NA> SPEAKER_01 <NA> <NA>
"""
AUDACITY = "1.500000\t3.250000\topen the door\n\\\t100.0\t3000.0\n4,000000\t6,000000\tthank you\n7.0\t8.0\t\n"
LABEL_STUDIO: list[dict[str, Any]] = [
    {
        "id": 7,
        "data": {"audio": "/data/upload/3/0a1b2c3d-call.wav", "note": "first"},
        "annotations": [
            {"was_cancelled": True, "result": []},
            {
                "was_cancelled": False,
                "result": [
                    {
                        "id": "r2",
                        "type": "textarea",
                        "from_name": "transcription",
                        "to_name": "audio",
                        "original_length": 10.0,
                        "value": {"start": 4.0, "end": 6.0, "channel": 0, "text": ["thank you"]},
                    },
                    {
                        "id": "r1",
                        "type": "labels",
                        "from_name": "labels",
                        "to_name": "audio",
                        "value": {"start": 1.5, "end": 3.25, "channel": 0, "labels": ["Anna"]},
                    },
                    {
                        "id": "r1",
                        "type": "textarea",
                        "from_name": "transcription",
                        "to_name": "audio",
                        "value": {"start": 1.5, "end": 3.25, "channel": 0, "text": ["open", "the door"]},
                    },
                    {"id": "c1", "type": "choices", "from_name": "noise", "value": {"choices": ["quiet"]}},
                ],
            },
        ],
    }
]
Found = list[tuple[str, str, float, float]]
FORMATS: dict[str, tuple[str, str, Found]] = {
    "textgrid": (
        "call.TextGrid",
        LONG_TEXTGRID,
        [("anna", 'open the "red" door', 1.5, 1.75), ("call/Speaker 2", "thank you", 4.0, 2.0)],
    ),
    "elan": ("call.eaf", ELAN, [("Anna", "open the door", 1.5, 1.75), ("bert", "thank you", 4.0, 2.0)]),
    "srt": ("call.srt", SRT, [("call", "Open the door!", 1.5, 1.75), ("call", "- Thank you.", 4.0, 2.0)]),
    "vtt": (
        "call.vtt",
        VTT,
        [("Anna Kowalski", "Open the door & window", 1.5, 1.75), ("call", "Thank you.", 4.0, 2.0)],
    ),
    "stm": ("talks.stm", STM, [("anna", "open the door", 1.5, 1.75), ("call/spk02", "<unk> thank you", 4.0, 2.0)]),
    "ctm": ("words.ctm", CTM, [("call", "open the door", 1.5, 1.0), ("call", "thank you", 4.0, 1.0)]),
    "rttm": ("call.rttm", RTTM, [("anna", "open the door", 1.5, 1.75), ("call/SPEAKER_01", "thank you", 4.0, 2.0)]),
    "audacity": ("call.txt", AUDACITY, [("call", "open the door", 1.5, 1.75), ("call", "thank you", 4.0, 2.0)]),
    "label-studio": (
        "project-3-at-2026-01-01.json",
        json.dumps(LABEL_STUDIO),
        [("Anna", "open the door", 1.5, 1.75), ("call", "thank you", 4.0, 2.0)],
    ),
}


def recording(path: Path, seconds: float = 10.0, channels: int = 1) -> Path:
    shape = (round(seconds * 8000), channels) if channels > 1 else round(seconds * 8000)
    path.write_bytes(wav((0.1 * np.random.default_rng(0).standard_normal(shape)).astype(np.float32), 8000))
    return path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    top = tmp_path / "annotated"
    top.mkdir()
    recording(top / "call.wav")
    return top


def write(folder: Path, name: str, text: str | bytes) -> Path:
    path = folder / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode("utf-8"))
    if name.endswith(".rttm"):
        (folder / "call.txt").write_text("open the door\nthank you\n")
    return path


def clips(source: Path) -> list[SourceClip]:
    return list(choose_importer(source).read(source))


def _found(made: list[SourceClip]) -> Found:
    return [(clip.speaker, clip.text, clip.start, pytest.approx(clip.seconds, abs=1e-6)) for clip in made]


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("whole_folder", [True, False])
def test_segments_become_clips_of_their_recording(form: str, whole_folder: bool, folder: Path) -> None:
    name, text, expected = FORMATS[form]
    path = write(folder, name, text)
    source = folder if whole_folder else path
    assert accepting(source)[0].name == form
    made = clips(source)
    assert _found(made) == expected
    assert {(clip.path, clip.audio, clip.fault) for clip in made} == {
        ("call.wav", (folder / "call.wav").resolve(), None)
    }


def test_short_and_utf_16_textgrids_are_read(folder: Path) -> None:
    path = write(folder, "call.TextGrid", SHORT_TEXTGRID)
    expected = [("anna", "größe zwölf", 1.5, 1.75)]
    assert _found(clips(path)) == expected
    path.write_bytes(SHORT_TEXTGRID.encode("utf-16"))
    assert _found(clips(path)) == expected


@pytest.mark.parametrize("form", ["srt", "vtt", "stm", "ctm", "audacity"])
def test_text_files_of_windows_are_read(form: str, folder: Path) -> None:
    name, text, expected = FORMATS[form]
    path = folder / name
    ends = text.replace("\n", "\r\n").encode("utf-8-sig"), text.replace("\n", "\r").encode()
    for content in (*ends, text.encode("utf-16")):
        path.write_bytes(content)
        assert _found(list(_importer(form).read(path))) == expected
    path.write_bytes(text.replace("door", "d\xf6r").encode("latin-1"))
    likely = "is probably in Windows-1252 .Western Europe.; add --encoding cp1252"
    with pytest.raises(IntakeError, match=f"{name}: it is not UTF-8: its line [0-9]+ {likely}"):
        list(_importer(form).read(path))
    assert any("d\xf6r" in clip.text for clip in _importer(form).read(path, encoding="cp1252"))


@pytest.mark.parametrize("form", ["srt", "vtt", "stm", "ctm", "audacity", "label-studio"])
def test_japanese_windows_files_are_read_in_their_declared_encoding(form: str, folder: Path) -> None:
    name, text, _ = FORMATS[form]
    (folder / name).write_bytes(text.replace("door", "開けて").encode("cp932"))
    assert any("開けて" in clip.text for clip in _importer(form).read(folder / name, encoding="cp932"))


def test_a_broken_byte_costs_its_segment_and_in_a_speaker_the_file(folder: Path) -> None:
    name, text, _ = FORMATS["stm"]
    good = text.replace("door", "t\xfcr") + "\n".join(";; m\xfcller" for _ in range(9))
    (folder / name).write_bytes(good.encode().replace(b"t\xc3\xbcr", b"t\xc3r", 1))
    made = list(_importer("stm").read(folder / name))
    assert [clip.fault.reason for clip in made if clip.fault] == ["not_utf8"]
    (folder / name).write_bytes(good.encode().replace(b"anna", b"anna\xc3", 1))
    with pytest.raises(IntakeError, match=r"line [0-9]+: the speaker has bytes that are not UTF-8; correct them"):
        list(_importer("stm").read(folder / name))


def _importer(form: str) -> Any:
    from pipelines.datasets.importers import IMPORTERS

    return next(one for one in IMPORTERS if one.name == form)


def _faults(made: list[SourceClip]) -> list[tuple[str, str]]:
    return [(clip.fault.reason, clip.fault.detail) if clip.fault else ("", "") for clip in made]


def test_segments_that_overlap_are_outside_or_have_no_length_are_faulty_with_their_line(folder: Path) -> None:
    lines = ["1 anna 1 3 one", "1 bert 2 4 two", "1 anna 4.04 6 three", "1 anna 7 7 four", "1 anna 9 10.5 five"]
    path = write(folder, "a.stm", "".join(f"call {line}\n" for line in [*lines, "1 anna 12 13 six"]))
    assert _faults(clips(path)) == [
        ("overlapping", "line 1: 1.000 s to 3.000 s overlaps line 2, 2.000 s to 4.000 s"),
        ("overlapping", "line 2: 2.000 s to 4.000 s overlaps line 1, 1.000 s to 3.000 s"),
        ("", ""),
        ("no_length", "line 4: the segment from 7.000 s to 7.000 s has no length"),
        ("out_of_file", "line 5: the segment from 9.000 s to 10.500 s is not in its file, which lasts 10.000 s"),
        ("out_of_file", "line 6: the segment from 12.000 s to 13.000 s is not in its file, which lasts 10.000 s"),
    ]


def test_segments_on_two_channels_of_one_file_may_overlap(folder: Path) -> None:
    recording(folder / "call.wav", channels=2)
    made = clips(write(folder, "a.stm", "call 1 anna 1 3 one\ncall B bert 2 4 two\n"))
    assert [(clip.channel, clip.fault) for clip in made] == [(0, None), (1, None)]
    recording(folder / "call.wav")
    made = clips(folder / "a.stm")
    assert [(clip.channel, clip.fault is None) for clip in made] == [(None, False), (None, False)]


MALFORMED: dict[str, tuple[str, str | bytes, str]] = {
    "stm fields": ("a.stm", "call 1 anna 1\n", "line 1: it has 4 fields"),
    "stm time": ("a.stm", "call 1 anna one 2 x\n", "line 1: the start is 'one', expected a number"),
    "stm nan": ("a.stm", "call 1 anna nan 2 x\n", "line 1: the start is 'nan', expected a number"),
    "stm underscore": ("a.stm", "call 1 anna 0 1_0 x\n", "line 1: the end is '1_0', expected a number"),
    "stm channel": ("a.stm", "call 7 anna 1 2 x\n", "line 1: the channel is '7', expected 1, 2, A or B"),
    "stm recording": ("a.stm", "other 1 anna 1 2 x\n", "there is no recording other"),
    "ctm order": ("a.ctm", "call 1 4 1 x\ncall 1 3 1 y\n", "line 2: 'y' begins before the word of the line before"),
    "ctm alternatives": ("a.ctm", "call 1 <ALT_BEGIN> 0 <ALT_BEGIN>\n", "alternatives|is '<ALT_BEGIN>'"),
    "rttm without words": ("b.rttm", RTTM, "RTTM has no words, and there is no b.txt"),
    "rttm other words": ("call.rttm", RTTM + "SPEAKER call 1 8 1 <NA> <NA> anna <NA> <NA>\n", "has 2 lines for 3"),
    "srt": ("call.srt", SRT.replace("00:00:04,000 -->", "00:00:04,000 ->"), "line 6: expected a time line"),
    "srt time": ("call.srt", SRT.replace("00:00:04,000 -->", "0x:00:04,000 -->"), "2 cues have a time line, 1|Invalid"),
    "srt joined": ("call.srt", SRT.replace("door!\n\n", "door!\n"), "line 6: a cue begins without an empty line"),
    "vtt": ("call.vtt", VTT.replace("00:00:04.000", "00:00:xx"), "2 cues have a time line|Invalid"),
    "vtt voices": ("call.vtt", VTT.replace("Open <b>", "Open</v> <v Bert><b>"), "line 9: the cue has two voices"),
    "eaf": ("call.eaf", ELAN[:900], "it is no ELAN file that can be read"),
    "eaf time": ("call.eaf", ELAN.replace(' TIME_VALUE="6000"', ""), "tier 'bert', annotation a2 has no time"),
    "textgrid": ("call.TextGrid", LONG_TEXTGRID[:500], "it is no TextGrid that can be read"),
    "textgrid aligner": ("call.TextGrid", LONG_TEXTGRID.replace('"Speaker 2"', '"anna - phones"'), "as an aligner"),
    "audacity": ("call.txt", AUDACITY + "later\n", "line 5: expected start, end and label with tabs"),
    "label studio": (
        "a.json",
        json.dumps(LABEL_STUDIO).replace('"result"', '"results"'),
        "not as Label Studio exports",
    ),
    "label studio words": (
        "a.json",
        json.dumps(LABEL_STUDIO).replace('["open", "the door"]', '[{"door": 1}]'),
        "task .*: a region has {'door': 1} as a text, a label or a channel",
    ),
    "label studio cut": ("a.json", json.dumps(LABEL_STUDIO)[:-9], "it is not JSON"),
    "nothing": ("call.srt", "\n", "it is not SRT|has no segment"),
}


@pytest.mark.parametrize("case", MALFORMED)
def test_what_cannot_be_read_is_refused_with_its_file_and_line(case: str, folder: Path) -> None:
    name, text, said = MALFORMED[case]
    path = write(folder, name, text)
    with pytest.raises(IntakeError, match=said) as caught:
        clips(path)
    if case != "nothing":
        assert caught.value.faults[0].startswith(f"{name}: ")


def test_two_annotations_of_a_task_are_refused_unless_one_is_the_truth(folder: Path) -> None:
    made = json.loads(json.dumps(LABEL_STUDIO))
    made[0]["annotations"].append(json.loads(json.dumps(made[0]["annotations"][1])))
    path = write(folder, "a.json", json.dumps(made))
    with pytest.raises(IntakeError, match="task 7 has 2 annotations; export one, or mark one as the ground truth"):
        clips(path)
    made[0]["annotations"][2]["ground_truth"] = True
    write(folder, "a.json", json.dumps(made))
    assert len(clips(path)) == 2


@pytest.mark.parametrize(
    "address",
    [
        "call.wav",
        "/data/local-files/?d=calls/call.wav",
        "s3://bucket/of/calls/call.wav",
        "https://example.org/a%20b/call.wav?x=1",
        "/data/upload/1/12345678-call.wav",
    ],
)
def test_the_recording_of_a_task_is_found_by_its_name(address: str, folder: Path) -> None:
    made = json.loads(json.dumps(LABEL_STUDIO))
    made[0]["data"] = {"audio": address}
    assert clips(write(folder, "a.json", json.dumps(made)))[0].path == "call.wav"


def _sphere(folder: Path) -> None:
    recording(folder / "call.flac.wav").rename(folder / "call.mp3")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda folder: (folder / "call.wav").unlink(), "there is no recording call"),
        (_sphere, r"call\.mp3, call\.wav could be its recording; keep one"),
    ],
)
def test_each_annotation_has_one_recording(change: Callable[[Path], None], said: str, folder: Path) -> None:
    write(folder, "call.srt", SRT)
    change(folder)
    with pytest.raises(IntakeError, match=said):
        clips(folder)


def test_a_link_out_of_the_delivery_is_refused(folder: Path) -> None:
    (folder / "call.wav").rename(folder.parent / "secret.wav")
    (folder / "call.wav").symlink_to(folder.parent / "secret.wav")
    write(folder, "call.srt", SRT)
    with pytest.raises(IntakeError, match=r"call\.wav is a link to a file outside"):
        clips(folder)


def test_a_recording_that_two_files_annotate_is_refused(folder: Path) -> None:
    write(folder, "a.stm", STM)
    write(folder, "b.stm", STM)
    with pytest.raises(IntakeError, match=r"call\.wav is annotated twice"):
        clips(folder)


def test_a_recording_that_cannot_be_read_is_left_to_intake(folder: Path) -> None:
    (folder / "call.wav").write_bytes(b"no sound")
    made = clips(write(folder, "call.srt", SRT))
    assert [clip.fault for clip in made] == [None, None]


@pytest.mark.parametrize(
    ("name", "speaker"), [("SPEAKER_00", "call/SPEAKER_00"), ("spk3", "call/spk3"), ("S01", "S01"), ("1272", "1272")]
)
def test_names_that_tools_give_mean_somebody_else_in_each_recording(name: str, speaker: str, folder: Path) -> None:
    (made,) = clips(write(folder, "a.stm", f"call 1 {name} 1 2 yes\n"))
    assert made.speaker == speaker


def test_a_recording_is_found_in_another_form_of_its_name(folder: Path) -> None:
    name = "J\u00fcrgen"
    (folder / "call.wav").rename(folder / f"{unicodedata.normalize('NFD', name)}.wav")
    made = clips(write(folder, "talks.stm", STM.replace("call ", f"{name} ")))
    assert {clip.path for clip in made} == {f"{name}.wav"}


def test_a_text_of_label_studio_that_is_null_is_no_word(folder: Path) -> None:
    export = write(folder, "a.json", json.dumps(LABEL_STUDIO).replace('["open", "the door"]', "null"))
    assert [clip.text for clip in clips(export)] == ["", "thank you"]


def test_a_line_of_words_may_have_a_separator_of_unicode(folder: Path) -> None:
    export = write(folder, "call.rttm", RTTM)
    write(folder, "call.txt", "open\u2028the door\nthank you\n")
    assert [clip.text for clip in clips(export)] == ["open\u2028the door", "thank you"]
