"""The pages about recordings: accessible, paged and filtered, silent about dropped clips, closed without the right."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from flask.testing import FlaskClient

from elp_core.audio import clip_id, load
from elp_core.data.corpus import ShardRow
from pipelines.datasets.dataset_version import DATASET_FILE, record_text
from pipelines.datasets.delivery import ClipFault, SourceClip
from pipelines.local import git
from pipelines.registry.slot import Slot
from tests.support.clips import voice, wav
from tests.support.english_texts import english_texts
from tests.support.html import faults, read_html
from tests.support.slot_by_hand import SlotByHand, row

SLOT = Slot("plant-a", "asr")
BASE = "/elp/data/plant-a/asr"
SCRIPT = "<script>alert('x')</script>\"'>&"
SPEAKERS = ("ann", "ben", SCRIPT)
ROWS = [row(seed, SPEAKERS[seed % 3], ("train", "train", "validation", "test")[seed % 4], 0.2) for seed in range(130)]
GOLDEN = [one for one in ROWS if one.split == "test"]
DROPPED = ROWS[4]
CORRECTED = ROWS[8]


def quarantined() -> list[tuple[SourceClip, ClipFault]]:
    """A file that is too noisy, one that is no sound, and one that claims to be one."""
    noise = ClipFault("noisy", SCRIPT)
    files = [(wav(voice(0.4, 300, 900)), noise), (b"no sound", ClipFault("corrupt", "x")), (b"RIFF?", noise)]
    return [
        (SourceClip(audio=content, path=f"{number}{SCRIPT}.wav", text="no", sha256=f"{number:064x}"), fault)
        for number, (content, fault) in enumerate(files)
    ]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> SlotByHand:
    """v1 holds 130 clips, v2 corrects one of them, v3 drops another one."""
    made = SlotByHand.make(tmp_path_factory.mktemp("data") / "workspace", SLOT)
    first = made.add(1, ROWS, golden=GOLDEN, quarantine=quarantined())
    fixed = [replace(one, text="close the door") if one is CORRECTED else one for one in ROWS]
    second = made.add(2, fixed, importer="correct", before=first, repeats=1)
    rest = [one for one in fixed if one is not DROPPED]
    made.add(3, rest, importer="drop", withdrawn=[DROPPED.id], before=second, quarantine=quarantined())
    docs = made.root / ".elp" / "data-docs" / "plant-a" / "asr"
    docs.mkdir(parents=True)
    (docs / "index.html").write_text("<h1>Deliveries</h1>")
    (docs.parent / "secret.html").write_text("secret")
    return made


@pytest.fixture(autouse=True)
def root(made: SlotByHand, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.setenv("ELP_DATA_ROOT", str(made.root))
    return made.root


def words(client: FlaskClient, address: str) -> str:
    """What a page says, in the order of its lines."""
    return " ".join(re.sub("<[^>]*>", " ", client.get(address).text).split())


def table(client: FlaskClient, query: str) -> list[str]:
    """The ids of the clips that the page lists."""
    page = read_html(client.get(f"{BASE}?{query}").text)
    return [code.attributes["title"] for code in page.all("code") if len(code.attributes.get("title", "")) == 64]


ADDRESSES = (
    "/elp/data/",
    BASE,
    f"{BASE}?version=1&first=100&speaker=ann",
    f"{BASE}?text=nothing+like+it&order=longest+first",
    f"{BASE}?versions=all",
    f"{BASE}/quarantine",
    f"{BASE}/quarantine?reason=noisy",
    f"{BASE}/clips/{CORRECTED.id}",
    f"{BASE}/clips/{DROPPED.id}",
)


@pytest.mark.parametrize("address", ADDRESSES)
def test_no_english_is_left_in_japanese(client: FlaskClient, address: str) -> None:
    page = read_html(client.get(address, headers={"Accept-Language": "ja"}).text)
    assert english_texts(page) == faults(page) == []


@pytest.mark.parametrize("address", ADDRESSES)
def test_a_page_is_accessible_and_escapes_what_people_wrote(client: FlaskClient, address: str) -> None:
    answer = client.get(address)
    assert answer.status_code == (410 if DROPPED.id in address else 200)
    assert faults(read_html(answer.text)) == []
    assert "<script>alert" not in answer.text
    assert answer.headers["Cache-Control"] == "no-store"


def test_the_page_has_splits_figures_versions_and_quarantine(client: FlaskClient) -> None:
    page, text = read_html(client.get(BASE).text), words(client, BASE)
    assert len([figure for figure in page.all("svg") if figure.attributes.get("class") == "histogram"]) == 4
    assert "1 clip dropped for good" in text
    assert "1 clip corrected" in text
    assert "3 clips of v3 cannot be used" in text
    assert "train 65" in text


def test_the_link_to_all_versions_stays_at_the_shown_one(client: FlaskClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipelines.server.pages.data_page._LISTED", 1)
    links = [a.attributes["href"] for a in read_html(client.get(f"{BASE}?version=1").text).all("a")]
    assert f"{BASE}?version=1&versions=all#versions" in links


def test_clips_come_fifty_a_page_and_each_once(client: FlaskClient) -> None:
    pages = [table(client, f"first={first}") for first in (0, 50, 100)]
    assert [len(page) for page in pages] == [50, 50, 29]
    shown = [clip for page in pages for clip in page]
    assert len({*shown}) == 129
    assert DROPPED.id not in shown


@pytest.mark.parametrize(
    ("query", "wanted"),
    [
        ("split=validation", lambda one: one.split == "validation"),
        ("speaker=ann&split=test", lambda one: one.speaker == "ann" and one.split == "test"),
        ("text=VALVE&split=test", lambda one: "valve" in one.text and one.split == "test"),
        ("text=00007.wav", lambda one: "00007.wav" in one.path),
        (f"text={ROWS[11].id[:9]}", lambda one: one is ROWS[11]),
        ("condition=clean", lambda one: False),
        ("text=%28%5B.*&split=test", lambda one: False),
        ("split=%00&first=-3", lambda one: False),
    ],
)
def test_filters_select_what_they_say(client: FlaskClient, query: str, wanted: object) -> None:
    assert callable(wanted)
    expected = {one.id for one in ROWS if wanted(one) and one is not DROPPED}
    assert {*table(client, query)} == expected


def test_an_order_is_kept_over_the_pages(client: FlaskClient) -> None:
    def levels(first: int) -> list[float]:
        by_id = {one.id: one.rms_db for one in ROWS}
        return [by_id[clip] for clip in table(client, f"order=quietest+first&first={first}")]

    found = levels(0) + levels(50) + levels(100)
    assert found == sorted(found)


def test_an_older_version_does_not_show_the_dropped_clip_either(client: FlaskClient) -> None:
    answer = client.get(f"{BASE}?version=1").text
    assert "1 clip of data/plant-a/asr/v1 was dropped since" in " ".join(answer.split())
    assert DROPPED.id not in answer + client.get(f"{BASE}?version=1&text={DROPPED.id[:12]}").text.replace(
        DROPPED.id[:12], ""
    )


def test_a_clip_has_its_corrections_and_versions(client: FlaskClient) -> None:
    text = words(client, f"{BASE}/clips/{CORRECTED.id}")
    assert "v1 to v3" in text
    assert f"v2 text {CORRECTED.text} close the door" in text
    assert "not in any" in text
    assert "ann/00000.wav" in words(client, f"{BASE}/clips/{ROWS[0].id}")


def test_a_golden_clip_is_trained_on_by_none(client: FlaskClient) -> None:
    text = words(client, f"{BASE}/clips/{GOLDEN[0].id}")
    assert "golden/plant-a/asr/v1" in text
    assert "None is registered" in text


def test_adapters_that_learned_from_a_clip_are_listed(client: FlaskClient, made: SlotByHand) -> None:
    # `registry_rows` trains version n on data/plant-a/asr/vn
    text = words(client, f"{BASE}/clips/{ROWS[0].id}")
    assert "plant-a/asr v1" in text
    assert "plant-a/asr v3" in text


def test_a_version_without_its_files_may_have_taught_more_adapters(
    client: FlaskClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = SlotByHand.make(tmp_path / "part", SLOT)
    first = made.add(1, [row(1)])
    (shard,) = (made.folder / "shards").glob("*")
    md5 = hashlib.md5(shard.read_bytes(), usedforsecurity=False).hexdigest()
    made.add(2, [row(2)], before=first)
    monkeypatch.setenv("ELP_DATA_ROOT", str(made.root))
    missing = "Adapters may be missing here: not all files of data/plant-a/asr/v1 are on this machine"
    address = f"{BASE}/clips/{row(2).id}"
    assert missing not in words(client, address)
    (made.root / ".dvc" / "cache" / "files" / "md5" / md5[:2] / md5[2:]).unlink()
    assert missing in words(client, address)


def _quarantined_sounds(client: FlaskClient) -> list[str]:
    page = read_html(client.get(f"{BASE}/quarantine").text)
    return [player.attributes["src"] for player in page.all("audio")]


def test_quarantine_says_how_many_clips_are_elsewhere(
    client: FlaskClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = SlotByHand.make(tmp_path / "part", SLOT)
    first = made.add(1, [row(1)], quarantine=quarantined())
    # as if a second file had two further clips
    record = made.folder / DATASET_FILE
    record.write_text(record_text(replace(first, version=2, tag=SLOT.tag(2), quarantined=5)), encoding="utf-8")
    git.tag(made.root, SLOT.tag(2), "v2", git.commit(made.root, [record.relative_to(made.root)], "v2"))
    monkeypatch.setenv("ELP_DATA_ROOT", str(made.root))
    for address in (BASE, f"{BASE}/quarantine"):
        assert "2 further clips are in quarantine; the files are not on this machine" in words(client, address)


def test_quarantine_plays_what_is_a_sound(client: FlaskClient) -> None:
    sounds = _quarantined_sounds(client)
    assert len(sounds) == 2
    answers = [client.get(sound) for sound in sounds]
    assert sorted(answer.status_code for answer in answers) == [200, 404]
    [good] = [answer for answer in answers if answer.status_code == 200]
    assert clip_id(load(good.data)) == clip_id(load(wav(voice(0.4, 300, 900))))


@pytest.mark.parametrize("key", ["0" * 64, "x", "..", "A" * 64])
def test_a_key_that_nothing_has_is_not_there(client: FlaskClient, key: str) -> None:
    assert client.get(f"{BASE}/quarantine/{key}/sound").status_code == 404


@pytest.mark.parametrize("version", ["0", "4", "-1", "x", "١", "9" * 30, "1.5", ""])
def test_a_version_that_is_not_there(client: FlaskClient, version: str) -> None:
    assert client.get(f"{BASE}?version={version}").status_code == 404


@pytest.mark.parametrize("first", ["-5", "1000", "9" * 30, "x"])
def test_a_place_beyond_the_list_is_an_empty_page(client: FlaskClient, first: str) -> None:
    assert client.get(f"{BASE}?first={first}").status_code == 200
    assert client.get(f"{BASE}/quarantine?first={first}").status_code == 200


def test_the_data_docs_are_linked_and_nothing_beside_them(client: FlaskClient) -> None:
    assert f'href="{BASE}/docs/index.html"' in client.get(BASE).text
    answer = client.get(f"{BASE}/docs/index.html")
    assert answer.text == "<h1>Deliveries</h1>"
    assert answer.headers["Content-Security-Policy"].endswith("frame-ancestors 'self'")
    for other in ("../secret.html", "..%2fsecret.html", "none.html", "%2fetc%2fpasswd", "index.html/../../secret.html"):
        assert client.get(f"{BASE}/docs/{other}").status_code in (404, 308)


def test_a_shared_server_shows_what_signed_records_say(client: FlaskClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ELP_DATA_ROOT")
    answer = client.get(BASE)
    assert answer.status_code == 200
    assert "does not know the recordings of a workspace" in answer.text
    assert 'href="/elp/datasets/data/plant-a/asr/v1"' in answer.text
    assert client.get(f"{BASE}/clips/{ROWS[0].id}").status_code == 404


def test_the_slots_of_the_workspace_are_listed_without_an_adapter(client: FlaskClient, made: SlotByHand) -> None:
    git.tag(made.root, "data/odd", "of another program")
    git.tag(made.root, "data/plant-a/songs/v7", "of another program")
    page = read_html(client.get("/elp/data/").text)
    assert [link.attributes["href"] for link in page.all("table")[0].all("a")] == [BASE]
    assert "/elp/data/" in [link.attributes["href"] for link in page.all("header")[0].all("a")]


def test_a_slot_without_data_names_the_command(client: FlaskClient) -> None:
    answer = client.get("/elp/data/plant-b/asr")
    assert answer.status_code == 404
    assert "elp data add plant-b/asr SOURCE" in answer.text


def test_a_login_without_a_role_sees_nothing(client: FlaskClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ELP_AUTH", "1")
    for address in ("", "/quarantine", f"/clips/{ROWS[0].id}", "/docs/index.html"):
        answer = client.get(BASE + address)
        assert answer.status_code == 403
        assert ROWS[0].text not in answer.text


def test_names_of_older_releases_are_found_in_their_normal_form(
    client: FlaskClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = SlotByHand.make(tmp_path / "old", SLOT)
    rows: list[ShardRow] = [row(1, "Ame\u0301lie"), row(2, "Am\u00e9lie"), row(3, "")]
    made.add(1, rows)
    monkeypatch.setenv("ELP_DATA_ROOT", str(made.root))
    assert {*table(client, "speaker=Am%C3%A9lie")} == {rows[0].id, rows[1].id}
