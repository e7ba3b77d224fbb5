"""Groups from the files of a delivery: which formats have them, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipelines.datasets.delivery import ClipFault, SourceClip
from pipelines.datasets.importers import choose_importer
from pipelines.datasets.quarantine import SCHEMA, write_quarantine
from pipelines.errors import IntakeError
from tests.support import corpora
from tests.support.clips import voice, wav
from tests.support.deliveries import write_delivery

_SAID = {"Dialect": "kansai", "gender": "f", "age": 60, "device": None}
_NORMAL = "age=60; dialect=kansai; gender=f"


def groups(source: Path) -> dict[str, str]:
    """The group of each speaker by the importer that is chosen for a source."""
    return {clip.speaker: clip.group for clip in choose_importer(source).read(source)}


def manifest(folder: Path, group: Any) -> Path:
    return write_delivery(folder, each=1, anna_0={"group": group})


def table(folder: Path, group: str, name: str) -> Path:
    write_delivery(folder, each=1)
    key = "file_name" if name == "metadata.csv" else "path"
    path = folder / name
    path.write_text(f"{key},text,speaker,group\naudio/anna_0.wav,open,anna,{group}\naudio/bert_0.wav,open,bert,\n")
    for other in (folder / "manifest.jsonl", *(folder / "audio").glob("[cd]*.wav")):
        other.unlink()
    return folder if name == "metadata.csv" else path


def test_manifests_and_tables_name_groups(tmp_path: Path) -> None:
    assert groups(manifest(tmp_path / "a", _SAID))["anna"] == _NORMAL
    assert groups(manifest(tmp_path / "b", "gender=f; Dialect=kansai;age=60.0"))["anna"] == _NORMAL
    for name in ("metadata.csv", "list.csv"):
        found = groups(table(tmp_path / name, "gender=f; dialect=kansai", name))
        assert found == {"anna": "dialect=kansai; gender=f", "bert": ""}


@pytest.mark.parametrize(
    ("group", "sentence"),
    [
        (["kansai"], "line 1: group is a list, expected a text"),
        ({"dialect": ["kansai"]}, "line 1: group: dialect is a list, expected a text"),
        ({"dialect": "a", "Dialect": "b"}, "line 1: group gives Dialect twice"),
        ("kansai", "line 1: group has 'kansai', expected key=value"),
        ({"remark": "x" * 61}, "of 61 characters"),
    ],
)
def test_a_group_that_is_not_understood_is_a_fault_of_its_line(tmp_path: Path, group: Any, sentence: str) -> None:
    with pytest.raises(IntakeError, match="1 fault") as caught:
        groups(manifest(tmp_path, group))
    assert [sentence in fault for fault in caught.value.faults] == [True]


def test_published_corpora_fill_what_their_files_say(tmp_path: Path) -> None:
    assert groups(corpora.librispeech(tmp_path / "l", {"dev-clean": (84,)})) == {"84": "gender=f"}
    top = corpora.voxceleb(tmp_path / "v", (10001,), (10270, 10271))
    head = "VoxCeleb1 ID\tVGGFace1 ID\tGender\tNationality\tSet"
    corpora.text(top / "vox1_meta.csv", head, "id10270\tA_Name\tm\tNew Zealand\ttest")
    found = groups(top)
    assert (found["id10270"], found["id10271"]) == ("gender=m; nationality=New Zealand", "")
    found = groups(corpora.iemocap(tmp_path / "i", each=1))
    assert (found["Ses01F"], found["Ses05M"]) == ("gender=f", "gender=m")
    top = corpora.fluent(tmp_path / "f", each=1)
    head = "speakerId,Self-reported fluency level ,First Language spoken,Current language used for work/school"
    row = "2BqVo8kVB2Skwgyb,native,English (Canada),English (Canada),female,22-40"
    corpora.text(top / "data" / "speaker_demographics.csv", f"{head},Gender,ageRange", row)
    found = groups(top)
    assert found["2BqVo8kVB2Skwgyb"] == "age=22-40; first_language=English (Canada); gender=f"
    assert found["4aGjX3AG5xcxeL7a"] == ""
    top = corpora.kaldi(tmp_path / "k")
    corpora.text(top / "spk2gender", "anna f", "bert m")
    assert groups(top) == {"anna": "gender=f", "bert": "gender=m", "carl": ""}
    top = corpora.common_voice(tmp_path / "c")
    for table, accent in (("train", "Bayrisch"), ("dev", "in my own words: " * 4), ("test", "a=b")):
        path, place = top / f"{table}.tsv", ("train", "dev", "test").index(table)
        said = path.read_text().replace("\t2\t0\t\t\t\t\t", f"\t2\t0\ttwenties\tfemale_feminine\t{accent}\t\t")
        path.write_text(said)
        own = "accent=Bayrisch; " if table == "train" else ""
        assert groups(top)[f"client{place}"] == f"{own}age=twenties; gender=f"


def test_a_bad_group_of_a_dataset_sends_its_clip_to_quarantine(tmp_path: Path) -> None:
    said: list[dict[str, str | None]] = [{"dialect": "kansai"}, {"dialect": "a=b"}, {"dialect": None}]
    rows = [{"audio": {"bytes": wav(voice(0.3, 300, n)), "path": None}, "group": one} for n, one in enumerate(said)]
    (tmp_path / "state.json").write_text(json.dumps({"_data_files": [{"filename": "data.arrow"}]}))
    features = {"audio": {"_type": "Audio"}, "group": {"dialect": {"_type": "Value", "dtype": "string"}}}
    (tmp_path / "dataset_info.json").write_text(json.dumps({"features": features}))
    content = pa.Table.from_pylist(rows)
    with pa.OSFile(str(tmp_path / "data.arrow"), "wb") as file, pa.ipc.new_stream(file, content.schema) as out:
        out.write_table(content)
    found = list(choose_importer(tmp_path).read(tmp_path))
    assert [clip.group for clip in found] == ["dialect=kansai", "", ""]
    assert [clip.fault.reason if clip.fault else "" for clip in found] == ["", "bad_group", ""]


def test_quarantine_keeps_groups_and_its_older_files_stay_the_same(tmp_path: Path) -> None:
    fault = ClipFault("silence", "nothing")
    clips = [SourceClip(f"{n}.wav", b"x", sha256=f"{n}", group=group) for n, group in enumerate(("", "gender=f"))]
    plain, grouped = (write_quarantine([(clip, fault)], "d", tmp_path)[0] for clip in clips)
    assert pq.read_schema(plain).names == SCHEMA.names
    assert pq.read_table(grouped)["group"].to_pylist() == ["gender=f"]
