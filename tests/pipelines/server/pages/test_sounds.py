"""Sounds: found by the clip's id only, whole or in part, never of a dropped clip, never without the right to read."""

from __future__ import annotations

import io
import os
from pathlib import Path

import pytest
import soundfile
from flask.testing import FlaskClient

from elp_core.audio import clip_id, load
from pipelines.registry.slot import Slot
from tests.support.slot_by_hand import SlotByHand, row

SLOT = Slot("plant-a", "asr")
ROWS = [row(seed) for seed in range(3)]
BASE = "/elp/data/plant-a/asr/clips"


@pytest.fixture
def slot(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> SlotByHand:
    """v1 holds three clips, v2 two of them: the third was dropped."""
    made = SlotByHand.make(tmp_path / "workspace", SLOT)
    first = made.add(1, ROWS)
    made.add(2, ROWS[:2], importer="drop", name="drop-v2", withdrawn=[ROWS[2].id], before=first)
    monkeypatch.setenv("ELP_DATA_ROOT", str(made.root))
    return made


@pytest.fixture
def sound(slot: SlotByHand) -> str:
    """Address of a sound."""
    return f"{BASE}/{ROWS[0].id}/sound"


def test_the_sound_is_the_samples_that_a_training_reads(client: FlaskClient, sound: str) -> None:
    answer = client.get(sound)
    assert answer.status_code == 200
    assert answer.mimetype == "audio/wav"
    assert clip_id(load(answer.data)) == ROWS[0].id
    assert soundfile.info(io.BytesIO(answer.data)).samplerate == 16_000
    assert answer.headers["Cache-Control"] == "no-store"
    assert answer.headers["Cross-Origin-Resource-Policy"] == "same-origin"
    assert "media-src 'self'" in answer.headers["Content-Security-Policy"]


@pytest.mark.parametrize(
    ("asked", "first", "last"),
    [("bytes=0-", 0, None), ("bytes=100-199", 100, 200), ("bytes=-10", -10, None), ("bytes=0-999999", 0, None)],
)
def test_a_player_gets_the_part_that_it_asks_for(
    client: FlaskClient, sound: str, asked: str, first: int, last: int | None
) -> None:
    whole = client.get(sound).data
    part = client.get(sound, headers={"Range": asked})
    assert part.status_code == 206
    assert part.data == whole[first:last]
    assert part.headers["Content-Range"].endswith(f"/{len(whole)}")


def test_a_part_beyond_the_end_is_refused(client: FlaskClient, sound: str) -> None:
    part = client.get(sound, headers={"Range": "bytes=9999999-"})
    assert part.status_code == 416
    assert part.headers["Content-Range"] == f"bytes */{len(client.get(sound).data)}"


@pytest.mark.parametrize(
    "clip", ["0" * 64, "00", "A" * 64, "..%2f..%2fetc%2fpasswd", ROWS[0].id[:12], ROWS[0].id + "0", "a\x00b", "%ff"]
)
def test_an_id_that_no_clip_has_is_not_there(client: FlaskClient, slot: SlotByHand, clip: str) -> None:
    assert client.get(f"{BASE}/{clip}/sound").status_code == 404


@pytest.mark.parametrize("name", ["plant-b/asr", "../asr", "%2e%2e/asr", "plant-a/songs", "PLANT-A/asr", "a%00b/asr"])
def test_a_slot_without_data_has_no_sound(client: FlaskClient, slot: SlotByHand, name: str) -> None:
    assert client.get(f"/elp/data/{name}/clips/{ROWS[0].id}/sound").status_code in (404, 308)


def test_a_dropped_clip_is_not_played_although_an_older_version_holds_it(client: FlaskClient, slot: SlotByHand) -> None:
    assert slot.root.joinpath(".dvc/cache").is_dir()
    assert client.get(f"{BASE}/{ROWS[2].id}/sound").status_code == 404
    assert client.get(f"{BASE}/{ROWS[1].id}/sound").status_code == 200


def test_a_clip_of_an_older_version_comes_from_the_cache(client: FlaskClient, slot: SlotByHand) -> None:
    slot.add(3, [row(7)])
    assert client.get(f"{BASE}/{ROWS[0].id}/sound").status_code == 200
    for path in (slot.root / ".dvc" / "cache").rglob("*"):
        if path.is_file():
            os.unlink(path)
    assert client.get(f"{BASE}/{ROWS[0].id}/sound").status_code == 404
    assert client.get(f"{BASE}/{row(7).id}/sound").status_code == 200


def test_a_server_without_a_workspace_plays_nothing(
    client: FlaskClient, sound: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("ELP_DATA_ROOT")
    assert client.get(sound).status_code == 404


def test_a_login_without_a_role_hears_nothing(client: FlaskClient, sound: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ELP_AUTH", "1")
    answer = client.get(sound)
    assert answer.status_code == 403
    assert "needs auditor or trainer or promoter" in answer.text


def test_a_damaged_shard_is_reported_in_a_sentence(client: FlaskClient, slot: SlotByHand) -> None:
    slot.add(3, [row(9)])
    [shard] = (slot.folder / "shards").glob("*.parquet")
    shard.write_bytes(b"PAR1 no shard PAR1")
    answer = client.get(f"{BASE}/{row(9).id}/sound")
    assert answer.status_code == 500
    assert "restore it with: dvc checkout" in answer.text


@pytest.mark.parametrize("asked", ["bytes=0-1,5-6", "bytes=5-2", "lines=1-2", "bytes=", "bytes=x-y", "bytes=--1"])
def test_a_part_that_no_player_asks_for_is_refused_or_the_whole(client: FlaskClient, sound: str, asked: str) -> None:
    whole, answer = client.get(sound).data, client.get(sound, headers={"Range": asked})
    assert answer.status_code == 416 or (answer.status_code == 200 and answer.data == whole)


def test_the_size_is_known_before_the_sound_is_sent(client: FlaskClient, sound: str) -> None:
    answer = client.head(sound)
    assert (answer.status_code, answer.data) == (200, b"")
    assert answer.content_length == len(client.get(sound).data)
    assert answer.headers["Accept-Ranges"] == "bytes"


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        (".dvc/config", b"[cache\n", "the settings of DVC"),
        (".dvc/config", b"\xff\xfe[", "the settings of DVC"),
        ("listing", b"[{}]", "the list of files"),
        ("listing", b"\x00", "the list of files"),
    ],
)
def test_damaged_files_of_dvc_are_reported_in_a_sentence(
    client: FlaskClient, slot: SlotByHand, sound: str, name: str, content: bytes, says: str
) -> None:
    listings = list((slot.root / ".dvc" / "cache").rglob("*.dir"))
    for path in listings if name == "listing" else [slot.root / name]:
        path.write_bytes(content)
    answer = client.get(sound)
    assert answer.status_code == 500
    assert says in answer.text


def test_another_place_of_the_cache_is_found_by_the_settings_of_dvc(
    client: FlaskClient, slot: SlotByHand, sound: str
) -> None:
    slot.add(3, [row(7)])
    (slot.root / ".dvc" / "cache").rename(slot.root.parent / "shared")
    assert client.get(sound).status_code == 404
    (slot.root / ".dvc" / "config").write_text(
        "[cache]\n    dir = ../../shared\n['remote \"storage\"']\n    url = x%y\n"
    )
    assert client.get(sound).status_code == 200
    (slot.root / ".dvc" / "config.local").write_text(f"[cache]\ndir = {slot.root.parent / 'nowhere'}\n")
    assert client.get(sound).status_code == 404


def test_a_folder_that_is_no_workspace_is_reported(
    client: FlaskClient, sound: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ELP_DATA_ROOT", str(tmp_path / "gone"))
    assert client.get(sound).status_code == 500
