"""Small files that unpack to large ones, endless lines and deep nesting are refused in a sentence, in little memory."""

from __future__ import annotations

import base64
import gzip
import json
import tarfile
import tracemalloc
import zlib
from io import BytesIO
from pathlib import Path

import pytest

from elp_core.errors import CorpusError
from pipelines.datasets.importers import IMPORTERS, choose_importer, manifest_text, packed_lines
from pipelines.errors import IntakeError
from pipelines.registry.evidence_scores import unpack_scores
from tests.support import corpora

DEEP = "[" * 200_000


def read(source: Path, name: str) -> list[object]:
    return list(choose_importer(source, name).read(source))


def test_a_packed_manifest_without_an_end_is_refused_as_it_is_unpacked(tmp_path: Path) -> None:
    bomb = tmp_path / "cuts.jsonl.gz"
    bomb.write_bytes(gzip.compress((b" " * 99 + b"\n") * 2**16) * 20)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(packed_lines, "MAX_BYTES", 2**20)
        tracemalloc.start()
        with pytest.raises(IntakeError, match=r"cuts\.jsonl\.gz unpacks to more than 1 MiB; a manifest is text"):
            read(bomb, "lhotse")
        assert tracemalloc.get_traced_memory()[1] < 2**20
        tracemalloc.stop()


def test_a_line_without_an_end_is_refused_and_is_no_cut(tmp_path: Path) -> None:
    bomb = tmp_path / "cuts.jsonl.gz"
    bomb.write_bytes(gzip.compress(b"{" + b" " * 2**26))
    with pytest.raises(IntakeError, match=r"line 1: it has more than 16 MiB, expected one clip"):
        read(bomb, "lhotse")
    assert not any(importer.accepts(tmp_path) for importer in IMPORTERS)


def test_a_member_of_an_archive_is_no_larger_than_a_recording(tmp_path: Path) -> None:
    packed = BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as archive:
        member = tarfile.TarInfo("recordings/7_theo_0.wav")
        member.size = 2**27
        archive.addfile(member, BytesIO(bytes(member.size)))
    (tmp_path / "fsdd.tar.gz").write_bytes(packed.getvalue())
    with pytest.raises(IntakeError, match=r"7_theo_0\.wav has more than 64 MiB, expected a recording of one digit"):
        read(tmp_path / "fsdd.tar.gz", "fsdd")


@pytest.mark.parametrize(
    ("name", "file", "text"),
    [
        ("lhotse", "cuts.jsonl", DEEP + "\n"),
        ("nemo", "manifest.jsonl", DEEP + "\n"),
        ("nemo", "manifest.json", DEEP),
        ("label-studio", "export.json", '[{"data": 1, "annotations": ' + DEEP),
        ("huggingface", "state.json", DEEP),
    ],
)
def test_values_that_are_nested_without_an_end_are_refused_in_a_sentence(
    tmp_path: Path, name: str, file: str, text: str
) -> None:
    (tmp_path / file).write_text(text)
    # to look at a source raises nothing either
    assert all(importer.accepts(tmp_path) in (True, False) for importer in IMPORTERS)
    with pytest.raises(IntakeError, match=r"nested too deeply|recursion|breaks off|array"):
        read(tmp_path, name)


@pytest.mark.parametrize(("name", "file"), [("elan", "a.eaf"), ("textgrid", "a.TextGrid"), ("table", "a.csv")])
def test_a_text_that_is_read_as_a_whole_has_a_bound(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, file: str
) -> None:
    corpora.sound(tmp_path / "a.wav")
    monkeypatch.setattr(manifest_text, "MAX_BYTES", 100)
    (tmp_path / file).write_text("path,text\n" + "a.wav,yes\n" * 20)
    with pytest.raises(IntakeError, match=r"has more than 0 MiB; a manifest is text"):
        read(tmp_path / file, name)


def test_packed_scores_unpack_to_a_bounded_size(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipelines.registry.evidence_scores._MOST_BYTES", 2**20)
    column = base64.b64encode(zlib.compress(bytes(2**21))).decode()
    texts = {name: [] for name in ("ids", "speakers", "conditions", "hypotheses", "references")}
    with pytest.raises(CorpusError, match=r"a column breaks off, or unpacks to more than 1 MiB"):
        unpack_scores({"kind": "clips", **texts, "errors": column, "words": column})


def test_a_value_that_is_missing_is_named_without_the_word_of_python(tmp_path: Path) -> None:
    cut = {"id": "a", "duration": 1.0, "type": "MonoCut"}
    (tmp_path / "cuts.jsonl").write_text(json.dumps(cut) + "\n" + json.dumps([1]) + "\n")
    with pytest.raises(IntakeError, match="2 fault") as caught:
        read(tmp_path, "lhotse")
    assert list(caught.value.faults) == [
        "cuts.jsonl, line 1: it is not a cut of lhotse ('start' is missing)",
        "cuts.jsonl, line 2: it is not a cut of lhotse (a value is of another type)",
    ]
