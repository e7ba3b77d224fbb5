from __future__ import annotations

import dataclasses
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from elp_core.audio import load
from elp_core.data.corpus import SCHEMA, ShardRow, make_row, read_clips, read_table, write_shard
from elp_core.data.extra_columns import EXTRA_TEXTS, with_extra_texts
from elp_core.errors import CorpusError
from tests.support.clips import voice


def rows(count: int = 3, start: int = 0) -> list[ShardRow]:
    return [
        make_row(
            voice(0.3, 200.0, seed), split=("train", "test")[seed % 2], text=f"t{seed}", speaker="s", path=f"{seed}.wav"
        )
        for seed in range(start, start + count)
    ]


def test_a_shard_gives_back_its_clips_sorted_by_id(tmp_path: Path) -> None:
    made = rows()
    clips = read_clips([write_shard(made, tmp_path)])
    assert [c.id for c in clips] == sorted(r.id for r in made)
    by_id = {r.id: r for r in made}
    assert all((c.text, c.path, c.audio) == (by_id[c.id].text, by_id[c.id].path, by_id[c.id].audio) for c in clips)
    assert len(load(clips[0].audio)) == round(clips[0].duration * 16000)


def test_the_same_rows_in_any_order_are_the_same_file(tmp_path: Path) -> None:
    made = rows()
    path = write_shard(made, tmp_path / "a")
    again = write_shard(made[::-1], tmp_path / "b")
    assert (path.name, path.read_bytes()) == (again.name, again.read_bytes())
    assert [p.name for p in (tmp_path / "a").iterdir()] == [path.name]


def test_mappings_are_rows_too(tmp_path: Path) -> None:
    path = write_shard(rows(), tmp_path / "a")
    records = pq.read_table(path).to_pylist()
    assert write_shard(records, tmp_path / "b").read_bytes() == path.read_bytes()


def test_splits_and_columns_are_chosen(tmp_path: Path) -> None:
    paths = [write_shard(rows(), tmp_path), write_shard(rows(start=3), tmp_path)]
    clips = read_clips(paths, ["test"], "meta")
    assert {c.split for c in clips} == {"test"}
    assert all(c.audio == b"" for c in clips)
    assert read_table(paths, ["snr_db", "source_rate"]).num_rows == 6
    assert read_clips([]) == []


def test_what_cannot_be_a_shard(tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match="one row or more"):
        write_shard([], tmp_path)
    with pytest.raises(CorpusError, match="clips that occur twice in one shard: 1"):
        write_shard([*rows(), rows()[0]], tmp_path)
    with pytest.raises(CorpusError, match="lacks the columns audio"):
        write_shard([{"id": "x"}], tmp_path)
    with pytest.raises(CorpusError, match="split 'dev'"):
        write_shard([make_row(voice(0.3, 200.0, 0), split="dev")], tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_the_mark_of_a_pseudo_label_is_a_column_of_its_own_shards_alone(tmp_path: Path) -> None:
    plain, sound = rows(), voice(0.3, 200.0, 9)
    taught = make_row(sound, split="train", text="t9", teacher="sha256:abc")
    without, marked = write_shard(plain, tmp_path), write_shard([taught, plain[0]], tmp_path / "marked")
    assert pq.read_schema(without).names == SCHEMA.names
    assert pq.read_schema(marked).names == [*SCHEMA.names, "teacher"]
    found = {clip.id: clip.teacher for clip in read_clips([without], ["test"], "meta") + read_clips([marked])}
    assert found == {taught.id: "sha256:abc", plain[0].id: "", plain[1].id: ""}
    # shards with different columns are read as one
    grouped = write_shard([make_row(voice(0.3, 200.0, 8), split="train", group="device=headset")], tmp_path)
    shards = [without, marked, grouped]
    tables = [with_extra_texts(pq.read_table(path, columns=None), EXTRA_TEXTS).drop(["audio"]) for path in shards]
    assert pa.concat_tables(tables).column_names[-2:] == ["teacher", "group"]
    # a shard that loses its last mark is the shard that never had one
    cleared = [row | {"teacher": ""} for row in pq.read_table(marked).to_pylist()]
    unmarked = [make_row(sound, split="train", text="t9"), plain[0]]
    assert write_shard(cleared, tmp_path / "a").read_bytes() == write_shard(unmarked, tmp_path / "b").read_bytes()
    for split in ("validation", "test"):
        with pytest.raises(CorpusError, match=f"has a pseudo-label and the split '{split}'"):
            write_shard([make_row(sound, split=split, teacher="sha256:abc")], tmp_path)


def test_what_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match="does not exist"):
        read_clips([tmp_path / "none.parquet"])
    (tmp_path / "bad.parquet").write_bytes(b"PAR1 not really")
    with pytest.raises(CorpusError, match="cannot be read as a shard"):
        read_clips([tmp_path / "bad.parquet"])
    pq.write_table(SCHEMA.empty_table().select(["id"]), tmp_path / "other.parquet")
    with pytest.raises(CorpusError, match="cannot be read as a shard"):
        read_clips([tmp_path / "other.parquet"])
    path = write_shard(rows(), tmp_path)
    with pytest.raises(CorpusError, match="in two shards"):
        read_clips([path, path])


def test_a_full_disk_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(pq, "write_table", full)
    with pytest.raises(OSError, match="No space left"):
        write_shard(rows(), tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.integration
@pytest.mark.filterwarnings("ignore")
def test_hugging_face_datasets_takes_the_audio_column(tmp_path: Path) -> None:
    import datasets

    path = write_shard(rows(), tmp_path)
    loaded = datasets.load_dataset("parquet", data_files=str(path), split="train", cache_dir=str(tmp_path / "cache"))
    assert isinstance(loaded.features["audio"], datasets.Audio)
    assert loaded.features["audio"].sampling_rate == 16000
    assert loaded.column_names == SCHEMA.names
    sound = loaded.cast_column("audio", datasets.Audio(decode=False))[0]["audio"]
    assert len(load(sound["bytes"])) == 4800


def test_only_a_shard_with_a_group_has_their_column(tmp_path: Path) -> None:
    plain, other = rows(2)
    grouped = dataclasses.replace(other, group="dialect=kansai")
    old = write_shard([plain], tmp_path)
    assert pq.read_schema(old).names == SCHEMA.names
    assert write_shard([{**pq.read_table(old).to_pylist()[0], "group": ""}], tmp_path) == old
    new = write_shard([plain, grouped], tmp_path)
    assert pq.read_schema(new).names == [*SCHEMA.names, "group"]
    assert {clip.id: clip.group for clip in read_clips([new], columns="meta")} == {
        plain.id: "",
        other.id: "dialect=kansai",
    }
    apart = [old, write_shard([grouped], tmp_path)]
    assert [clip.group for clip in read_clips(apart)] == [clip.group for clip in read_clips([new])]
    assert read_table(apart, ["id", "group"])["group"].to_pylist() == ["", "dialect=kansai"]
    assert write_shard(pq.read_table(new).to_pylist(), tmp_path) == new
