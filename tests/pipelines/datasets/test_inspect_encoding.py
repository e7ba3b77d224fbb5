"""The encoding that `elp data inspect` puts into its line is that of the files which the format reads."""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from pipelines.datasets.importers import choose_importer
from pipelines.datasets.importers.manifest_text import common_encoding
from pipelines.datasets.inspect_source import Inspection, inspect_source
from tests.support.clips import voice, wav

GERMAN = ("tür öffnen", "ventil schließen")
RUSSIAN = ("открыть дверь", "закрыть вентиль")
JAPANESE = ("ドアをあけて", "バルブをしめて")
Render = Callable[[str, Sequence[str]], dict[str, str]]


def _srt(name: str, texts: Sequence[str]) -> dict[str, str]:
    cues = [f"{n + 1}\n00:00:0{2 * n},000 --> 00:00:0{2 * n + 1},500\n{text}\n" for n, text in enumerate(texts)]
    return {f"{name}.srt": "\n".join(cues)}


def _vtt(name: str, texts: Sequence[str]) -> dict[str, str]:
    cues = [f"00:0{2 * n}.000 --> 00:0{2 * n + 1}.500\n{text}\n" for n, text in enumerate(texts)]
    return {f"{name}.VTT": "WEBVTT\n\n" + "\n".join(cues)}


def _stm(name: str, texts: Sequence[str]) -> dict[str, str]:
    return {f"{name}.stm": "".join(f"{name} A anna {2 * n} {2 * n + 1.5} {text}\n" for n, text in enumerate(texts))}


def _ctm(name: str, texts: Sequence[str]) -> dict[str, str]:
    lines = [f"{name} A {2 * n} 1.5 {text.replace(' ', '')}\n" for n, text in enumerate(texts)]
    return {f"{name}.ctm": "".join(lines)}


def _rttm(name: str, texts: Sequence[str]) -> dict[str, str]:
    turns = [f"SPEAKER {name} 1 {2 * n} 1.5 <NA> <NA> anna <NA> <NA>\n" for n in range(len(texts))]
    return {f"{name}.rttm": "".join(turns), f"{name}.txt": "".join(f"{text}\n" for text in texts)}


def _audacity(name: str, texts: Sequence[str]) -> dict[str, str]:
    return {f"{name}.txt": "".join(f"{2 * n}.0\t{2 * n + 1.5}\t{text}\n" for n, text in enumerate(texts))}


def _label_studio(name: str, texts: Sequence[str]) -> dict[str, str]:
    results = []
    for n, text in enumerate(texts):
        place = {"start": 2.0 * n, "end": 2.0 * n + 1.5}
        results.append({"id": str(n), "type": "labels", "value": {**place, "labels": ["Speech"]}})
        results.append({"id": str(n), "type": "textarea", "value": {**place, "text": [text]}})
    tasks = [{"data": {"audio": f"{name}.wav"}, "annotations": [{"result": results}]}]
    return {f"{name}.json": json.dumps(tasks, ensure_ascii=False)}


def _made(folder: Path, render: Render, texts: Sequence[str], encoding: str) -> Path:
    folder.mkdir()
    for number, name in enumerate(("one", "two")):
        (folder / f"{name}.wav").write_bytes(wav(voice(4.0, 300, number)))
        for file, content in render(name, texts).items():
            (folder / file).write_bytes(content.encode(encoding))
    return folder


def _texts(found: Inspection, source: Path) -> list[str]:
    """What the line of `inspect` reads."""
    words = shlex.split(found.lines[0].command)
    given = {"encoding": words[words.index("--encoding") + 1]} if "--encoding" in words else {}
    name = words[words.index("--format") + 1] if "--format" in words else None
    return [clip.text for clip in choose_importer(source, name, given).read(source, **given)]


@pytest.mark.parametrize(
    ("render", "texts", "encoding"),
    [
        (_srt, JAPANESE, "cp932"),
        (_srt, RUSSIAN, "utf-16le"),
        (_vtt, GERMAN, "cp1252"),
        (_stm, RUSSIAN, "cp1251"),
        (_ctm, JAPANESE, "euc-jp"),
        (_rttm, GERMAN, "cp1252"),
        (_audacity, RUSSIAN, "cp1251"),
        (_label_studio, JAPANESE, "cp932"),
    ],
    ids=lambda one: getattr(one, "__name__", one if isinstance(one, str) else ""),
)
def test_the_line_has_the_encoding_of_annotations(
    tmp_path: Path, render: Render, texts: Sequence[str], encoding: str
) -> None:
    source = _made(tmp_path / "in", render, texts, encoding)
    # a file that the format does not read says nothing
    (source / "LICENCE.md").write_bytes("© grün".encode("latin-1"))
    found = inspect_source(source)
    assert found.problem == ""
    assert f"--encoding {encoding}" in found.lines[0].command
    wanted = [text.replace(" ", "") if render is _ctm else text for text in texts]
    assert sorted(_texts(found, source)) == sorted([*wanted, *wanted])


def test_another_text_in_the_folder_does_not_decide(tmp_path: Path) -> None:
    source = _made(tmp_path / "in", _srt, GERMAN, "utf-8")
    (source / "readme.txt").write_bytes("Aufnahmen für das Werk".encode("cp1252"))
    found = inspect_source(source)
    assert "--encoding" not in found.lines[0].command
    assert sorted(_texts(found, source)) == sorted([*GERMAN, *GERMAN])


def test_different_encodings_are_said_and_none_is_put_into_a_line(tmp_path: Path) -> None:
    source = _made(tmp_path / "in", _srt, GERMAN, "utf-8")
    (source / "two.srt").write_bytes(_srt("two", GERMAN)["two.srt"].encode("cp1252"))
    found = inspect_source(source)
    (finding,) = found.findings
    assert finding == (
        "its texts have different encodings (one.srt: UTF-8, two.srt: probably cp1252); save all as UTF-8"
    )
    assert found.problem
    assert found.lines == ()


def test_all_files_together_show_what_a_short_one_hides(tmp_path: Path) -> None:
    files = [tmp_path / name for name in ("a.txt", "b.txt", "ascii.txt", "marked.txt")]
    contents = ("я".encode("cp1251"), " ".join(RUSSIAN).encode("cp1251"), b"stop", "стоп".encode("utf-16"))
    for file, content in zip(files, contents, strict=True):
        file.write_bytes(content)
    assert common_encoding(files[:1])[0] == "cp1252", "alone it looks like ÿ"
    assert common_encoding(files) == ("cp1251", "")
    assert common_encoding(files[2:]) == ("", "")
    assert common_encoding([]) == ("", "")


def test_ascii_files_are_not_read_as_utf16(tmp_path: Path) -> None:
    files = [tmp_path / name for name in ("wide.txt", "ascii.txt", "empty.txt")]
    for file, content in zip(files, ("открыть the door".encode("utf-16le"), b"stop", b""), strict=True):
        file.write_bytes(content)
    assert common_encoding([files[0], files[2]]) == ("utf-16le", "")
    encoding, differ = common_encoding(files)
    assert encoding == ""
    assert "wide.txt: probably utf-16le, ascii.txt: UTF-8" in differ


def test_a_few_broken_bytes_in_utf8_are_no_other_encoding(tmp_path: Path) -> None:
    file = tmp_path / "a.txt"
    file.write_bytes("öffne die Tür und schließe das Ventil ".encode() * 3 + b"\xff\n")
    assert common_encoding([file]) == ("", "")
