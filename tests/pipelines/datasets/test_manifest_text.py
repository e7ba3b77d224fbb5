from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from pipelines.datasets.importers.manifest_text import known_encoding, read_text
from pipelines.datasets.importers.nemo import nemo_clips
from pipelines.errors import IntakeError, UsageError
from tests.support.deliveries import write_delivery

WORDS = {
    "japanese": "こんにちは 世界",
    "kanji": "東京都 田中",
    "french": "zéro déjà été",
    "russian": "привет мир",
    "chinese": "你好，世界",
    "korean": "안녕하세요 세계",
}


def _manifest(folder: Path, text: str, encoding: str) -> Path:
    manifest = write_delivery(folder, each=1, anna_0={"text": text})
    rows = [json.dumps(json.loads(line), ensure_ascii=False) for line in manifest.read_text().splitlines()]
    manifest.write_bytes("\n".join(rows).encode(encoding))
    return manifest


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32"])
@pytest.mark.parametrize("words", WORDS)
def test_what_has_a_mark_or_is_utf8_is_read(tmp_path: Path, words: str, encoding: str) -> None:
    assert next(nemo_clips(_manifest(tmp_path, WORDS[words], encoding))).text == WORDS[words]


@pytest.mark.parametrize(
    ("words", "encoding", "named"),
    [
        ("japanese", "cp932", "cp932"),
        ("japanese", "euc_jp", "euc-jp"),
        ("kanji", "cp932", "cp932"),
        ("french", "cp1252", "cp1252"),
        ("russian", "cp1251", "cp1251"),
        ("chinese", "gb18030", "gb18030"),
        ("korean", "cp949", "cp949"),
        ("french", "utf-16-le", "utf-16le"),
        ("japanese", "utf-16-be", "utf-16be"),
    ],
)
def test_another_encoding_is_named_in_one_sentence_that_helps(
    tmp_path: Path, words: str, encoding: str, named: str
) -> None:
    manifest = _manifest(tmp_path, WORDS[words], encoding)
    with pytest.raises(
        IntakeError, match=rf"is not UTF-8: .*add --encoding {named}, or convert it with: iconv"
    ) as caught:
        list(nemo_clips(manifest))
    assert caught.value.faults == ()
    assert next(nemo_clips(manifest, named)).text == WORDS[words]
    command = str(caught.value).rpartition("with: ")[2]
    subprocess.run(command, shell=True, cwd=tmp_path, check=True)
    assert next(nemo_clips(tmp_path / "utf8-manifest.jsonl")).text == WORDS[words]


@pytest.mark.parametrize(
    ("given", "found"), [("Shift_JIS", "cp932"), ("sjis", "cp932"), ("latin-1", "cp1252"), ("", "")]
)
def test_the_encoding_in_which_programs_write_is_taken(given: str, found: str) -> None:
    assert known_encoding(given) == found


@pytest.mark.parametrize("name", ["hex", "rot13", "no-such", "undefined", "utf-7", "a\0b", "ü"])
def test_what_is_no_encoding_is_refused(name: str) -> None:
    with pytest.raises(UsageError, match="unknown encoding"):
        known_encoding(name)


def test_a_declared_encoding_that_does_not_fit_is_refused_with_its_line(tmp_path: Path) -> None:
    manifest = _manifest(tmp_path, WORDS["french"], "utf-8")
    with pytest.raises(IntakeError, match=r"is not ascii text: .* \(line 1\); save it as UTF-8"):
        list(nemo_clips(manifest, "ascii"))


def test_a_mark_is_stronger_than_a_declared_encoding(tmp_path: Path) -> None:
    assert next(nemo_clips(_manifest(tmp_path, WORDS["french"], "utf-8-sig"), "cp932")).text == WORDS["french"]


@pytest.mark.parametrize("content", [b"\xff\xfe{\x00a", b"RIFF\0\0\0\0WAVE", b"\xff\xfe\0\0\xff\xff\xff\xff"])
def test_bytes_that_are_no_text_are_refused_in_one_sentence(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "manifest.jsonl"
    path.write_bytes(content)
    with pytest.raises(IntakeError, match=r"is not (text|utf-16 text|utf-32 text)"):
        read_text(path)


@pytest.mark.parametrize("end", ["\r\n", "\r"])
def test_lines_may_end_in_any_way(tmp_path: Path, end: str) -> None:
    path = tmp_path / "manifest.jsonl"
    path.write_bytes(f"a{end}b{end}".encode())
    assert read_text(path) == "a\nb\n"
