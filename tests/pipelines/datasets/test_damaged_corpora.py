"""Damaged listings of every corpus: taken in, or refused in sentences; never anything else."""

from __future__ import annotations

import random
import shutil
from pathlib import Path

import pytest

from pipelines.datasets.importers import choose_importer
from pipelines.errors import IntakeError
from tests.support import corpora

_PIECES = (
    b"",
    b"\0",
    b"\xff\xfe",
    b"\n",
    b"\t",
    b'"',
    b",",
    b" ",
    b"nan",
    b"1e999",
    b"-1",
    b"[" * 3000,
    b"a" * 300,
    b"\\ud800",
)
LISTINGS = {
    "librispeech": ("*/*/*.trans.txt", "SPEAKERS.TXT"),
    "voxceleb": ("veri_test2.txt",),
    "iemocap": ("*/*/EmoEvaluation/Ses*.txt", "*/*/transcriptions/Ses*.txt"),
    "fluent": ("data/*.csv",),
    "common_voice": ("*.tsv",),
    "mls": ("*/*.txt", "*/*/*/*.txt"),
    "reazonspeech": ("v2-tsv/*.tsv",),
    "kaldi": ("wav.scp", "text", "utt2spk", "segments", "reco2*"),
    "jsut": ("*/transcript_utf8.txt",),
    "lhotse": ("*.jsonl",),
    "prompts": ("core-sounds-*.txt",),
}


def tree(name: str, root: Path) -> Path:
    if name == "librispeech":
        return corpora.librispeech(root, {"dev-clean": (84,), "test-clean": (1089,)}, each=1)
    if name == "voxceleb":
        return corpora.voxceleb(root, (10001,), (10270, 10271))
    if name == "iemocap":
        return corpora.iemocap(root, each=1)
    if name == "lhotse":
        corpora.sound(root / "call.wav", 4.0)
        cut = corpora.lhotse_cut("call", "call.wav", [{"text": "yes"}, {"text": "no", "channel": 1}])
        return corpora.lhotse(root, [cut, cut], "cuts.jsonl").parent
    made: Path = getattr(corpora, name)(root)
    return made


@pytest.mark.parametrize("name", LISTINGS)
def test_a_damaged_listing_is_read_or_refused_in_sentences(tmp_path: Path, name: str) -> None:
    source = tree(name, tmp_path / "tree")
    importer = choose_importer(source)
    whole = len(list(importer.read(source)))
    files = [path for pattern in LISTINGS[name] for path in source.rglob(pattern.split("/")[-1]) if path.is_file()]
    kept = {path: path.read_bytes() for path in files}
    generator, outcomes = random.Random(name), {"read": 0, "refused": 0}
    for _ in range(40):
        path = generator.choice(files)
        content = kept[path]
        start = generator.randrange(len(content) + 1)
        end = min(len(content), start + generator.choice((0, 1, 5, 40)))
        path.write_bytes(content[:start] + generator.choice(_PIECES) + content[end:])
        try:
            outcomes["read"] += len(list(importer.read(source))) > 0
        except IntakeError:
            outcomes["refused"] += 1
        path.write_bytes(content)
    assert sum(outcomes.values()) == 40
    assert outcomes["refused"] > 0
    assert len(list(importer.read(source))) == whole


def test_a_tree_without_its_folders_is_refused(tmp_path: Path) -> None:
    for name in LISTINGS:
        source = tree(name, tmp_path / name)
        importer = choose_importer(source)
        shutil.rmtree(source)
        source.mkdir()
        with pytest.raises(IntakeError, match=r"does not exist|names no clip|is missing|there is no|\d fault"):
            list(importer.read(source))
