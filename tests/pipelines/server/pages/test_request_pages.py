"""The pages about served requests: filtered, escaped, closed without the right, and a button that makes a delivery."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from flask.testing import FlaskClient

from elp_core.audio import clip_id, encode_flac, load
from pipelines.inbox.folder_inbox import FolderInbox
from pipelines.inbox.inbox_records import Refusal
from pipelines.registry.slot import Slot
from pipelines.request_log.log_file import add_requests, log_path, log_transaction, opened_log
from pipelines.request_log.request_corrections import find_correction
from pipelines.request_log.served_request import RequestAnswer
from pipelines.server.auth.principal import Caller, acting_as
from pipelines.serving.server_record import RECORD, recorded_server
from tests.support.clips import voice
from tests.support.console_pages import token
from tests.support.english_texts import english_texts
from tests.support.html import faults, read_html
from tests.support.served_requests import kept, served
from tests.support.slot_by_hand import SlotByHand, row

SLOT = Slot("plant-a", "asr")
BASE = "/elp/requests/plant-a/asr"
SCRIPT = "<script>alert('x')</script>\"'>&"
SOUND = voice(0.4, 300, 7)
NOW = datetime.now(UTC)
KEPT = served(
    1,
    at=NOW - timedelta(hours=1),
    clip=clip_id(SOUND),
    session=SCRIPT,
    answer=RequestAnswer(text=SCRIPT),
    measurements={"confidence": 0.31, "snr_db": 12.0, "blank_share": 0.5, "seconds": 0.4},
)
OTHER = served(2, at=NOW - timedelta(hours=5))
PAGE = f"{BASE}/{KEPT.id}"


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = SlotByHand.make(tmp_path_factory.mktemp("requests") / "workspace", SLOT)
    made.add(1, [row(seed) for seed in range(3)])
    (made.root / "elp.yaml").write_text("backbone: elp:tiny\n")
    return made.root


@pytest.fixture(autouse=True)
def root(workspace: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.setenv("ELP_DATA_ROOT", str(workspace))
    path = log_path(workspace / ".elp", SLOT)
    with opened_log(path, create=True) as db, log_transaction(db):
        audio = kept(encode_flac(SOUND), NOW + timedelta(days=2))
        add_requests(db, [(KEPT, audio), (OTHER, None), *((served(n, at=NOW), None) for n in range(10, 70))])
    yield workspace
    path.unlink()


def listed(client: FlaskClient, query: str = "") -> list[str]:
    page = read_html(client.get(f"{BASE}?{query}").text)
    links = [link.attributes.get("href", "") for link in page.all("a")]
    return [link.rpartition("/")[2] for link in links if len(link.rpartition("/")[2]) == 32]


@pytest.mark.parametrize("address", [BASE, f"{BASE}?first=50", PAGE, f"{BASE}/{OTHER.id}"])
def test_a_page_is_whole_and_escaped(client: FlaskClient, address: str) -> None:
    answer = client.get(address)
    assert answer.status_code == 200
    assert faults(read_html(answer.text)) == []
    assert SCRIPT not in answer.text


@pytest.mark.parametrize("address", [BASE, f"{BASE}?below=x", PAGE, f"{BASE}/{OTHER.id}"])
def test_no_english_is_left_in_japanese(client: FlaskClient, address: str) -> None:
    page = read_html(client.get(address, headers={"Accept-Language": "ja"}).text)
    assert english_texts(page) == faults(page) == []


def test_the_slot_links_to_its_requests(client: FlaskClient, root: Path) -> None:
    page = client.get("/elp/slots/plant-a/asr").text
    assert f'href="{BASE}"' in page
    assert "without speech" not in page
    silent = served(90, at=NOW - timedelta(hours=6), features=(), measurements={"level_db": -90.0})
    with opened_log(log_path(root / ".elp", SLOT)) as db, log_transaction(db):
        add_requests(db, [(silent, None)])
    # 62 others of these days, and none before
    assert "without speech: 1.59 % of the last 7 days, – before" in client.get("/elp/slots/plant-a/asr").text
    assert client.get(f"{BASE}/{silent.id}").status_code == 200
    log_path(root / ".elp", SLOT).rename(root / "away")
    try:
        assert f'href="{BASE}"' not in client.get("/elp/slots/plant-a/asr").text
        assert "logs nothing until" in client.get(BASE).text
        assert client.get(PAGE).status_code == 404
    finally:
        (root / "away").rename(log_path(root / ".elp", SLOT))


def test_requests_are_filtered_by_time_and_confidence(client: FlaskClient) -> None:
    since = (NOW - timedelta(hours=2)).strftime("%Y-%m-%dT%H:%M")
    until = (NOW - timedelta(minutes=30)).strftime("%Y-%m-%dT%H:%M")
    assert listed(client, f"since={since}&until={until}") == [KEPT.id], "the others are of now or of five hours ago"
    assert listed(client, "below=0.315&order=confidence") == [KEPT.id, served(69).id]
    assert len(listed(client)) == 50
    assert len(listed(client, "first=50")) == 12
    assert len(listed(client, "order=confidence&below=")) == 50


@pytest.mark.parametrize(
    "query",
    ["since=yesterday", "below=x", "below=2", "until=2026-99-99T00:00", "since=0001-01-01T00:00%2B01:00"],
)
def test_a_filter_that_is_not_understood_is_refused(client: FlaskClient, query: str) -> None:
    answer = client.get(f"{BASE}?{query}")
    assert answer.status_code == 400
    assert "Not understood" in answer.text
    assert "write" in answer.text


def test_the_sound_is_played_in_parts(client: FlaskClient) -> None:
    answer = client.get(f"{PAGE}/sound")
    assert clip_id(load(answer.data)) == KEPT.clip
    assert client.get(f"{PAGE}/sound", headers={"Range": "bytes=0-3"}).data == b"RIFF"
    assert client.get(f"{BASE}/{OTHER.id}/sound").status_code == 404


def test_without_the_right_to_read_nothing_is_shown(client: FlaskClient) -> None:
    for address in (BASE, PAGE, f"{PAGE}/sound"):
        with acting_as(Caller("eve", True, "")):
            assert client.get(address).status_code == 403


def test_a_correction_needs_a_trainer_and_a_form_of_this_console(visitor: FlaskClient, root: Path) -> None:
    form = {"token": token(visitor, PAGE), "text": "stop the pump", "speaker": "anna"}
    with acting_as(Caller("rita", True, "", roles=("auditor",))):
        assert visitor.post(f"{PAGE}/correct", data=form).status_code == 403
    assert visitor.post(f"{PAGE}/correct", data={**form, "token": "x" * 43}).status_code == 403
    assert visitor.post(f"{PAGE}/correct", data=form, headers={"Origin": "http://evil.example"}).status_code == 403
    assert visitor.post(f"{PAGE}/correct", data={**form, "text": " "}).status_code == 400
    assert visitor.post(f"{PAGE}/correct", data={**form, "text": "a\x07"}).status_code == 400
    with opened_log(log_path(root / ".elp", SLOT)) as db:
        assert find_correction(db, KEPT.id) is None


def test_a_correction_is_stored_with_its_author(visitor: FlaskClient, root: Path) -> None:
    form = {"token": token(visitor, PAGE), "text": "stop the pump", "speaker": " Anna M ", "by": "ann"}
    answer = visitor.post(f"{PAGE}/correct", data=form, follow_redirects=True)
    assert "the correction is stored" in answer.text
    assert "Corrected by ann" in answer.text
    with opened_log(log_path(root / ".elp", SLOT)) as db:
        found = find_correction(db, KEPT.id)
    assert found is not None
    assert (found.text, found.speaker, found.by, found.delivery) == ("stop the pump", "Anna M", "ann", "")
    assert "stop the pump" in visitor.get(PAGE).text


def test_one_button_makes_a_delivery_with_the_consent(visitor: FlaskClient, root: Path) -> None:
    form = {"token": token(visitor, PAGE), "text": "stop the pump", "speaker": "anna", "by": "ann"}
    for _ in range(2):
        answer = visitor.post(f"{PAGE}/take", data=form, follow_redirects=True)
    assert "It waits in the inbox" in answer.text
    inbox = root / "inbox" / "plant-a" / "asr"
    [entry] = FolderInbox(inbox).entries()
    folder = inbox / entry.name
    assert entry.name == f"request-{KEPT.id[:16]}"
    [line] = [json.loads(line) for line in (folder / "manifest.jsonl").read_text().splitlines()]
    assert line == {
        "audio_filepath": f"{KEPT.id}.flac",
        "duration": KEPT.seconds,
        "text": "stop the pump",
        "speaker": "anna",
        "consent": "agreement 2026-14",
        "request": KEPT.id,
        "corrected_by": "ann",
    }
    for sum_line in (folder / "SHA256SUMS").read_text().splitlines():
        digest, name = sum_line.split("  ")
        assert hashlib.sha256((folder / name).read_bytes()).hexdigest() == digest
    refused = Refusal(entry.name, entry.fingerprint, f"too quiet {SCRIPT}", "2026-11-29T12:00:00+00:00", "host")
    FolderInbox(inbox).refuse(refused)
    page = visitor.get(PAGE).text
    assert "The intake refused it" in page
    assert "too quiet" in page
    assert SCRIPT not in page


def test_without_audio_there_is_no_button_and_no_delivery(visitor: FlaskClient) -> None:
    page = f"{BASE}/{OTHER.id}"
    assert "Take it into" not in visitor.get(page).text
    answer = visitor.post(f"{page}/take", data={"token": token(visitor, page), "text": "a"})
    assert answer.status_code == 409
    assert "was not kept" in answer.text


def test_a_workspace_whose_workers_read_a_clone_refuses_the_button(visitor: FlaskClient, root: Path) -> None:
    (root / "elp.yaml").write_text("git: ssh://elp@control/srv/foundry.git\n")
    try:
        answer = visitor.post(f"{PAGE}/take", data={"token": token(visitor, PAGE), "text": "a", "speaker": "b"})
    finally:
        (root / "elp.yaml").write_text("backbone: elp:tiny\n")
    assert answer.status_code == 409
    assert "inbox.path" in answer.text


def test_a_sound_that_is_in_the_data_links_to_its_clip(client: FlaskClient, root: Path) -> None:
    inside = row(1)
    with opened_log(log_path(root / ".elp", SLOT)) as db, log_transaction(db):
        add_requests(db, [(served(90, at=NOW, clip=inside.id), None)])
    assert f"/elp/data/plant-a/asr/clips/{inside.id}" in client.get(f"{BASE}/{served(90).id}").text


def test_a_damaged_log_is_named(client: FlaskClient, root: Path) -> None:
    log_path(root / ".elp", SLOT).write_bytes(b"no database" * 500)
    answer = client.get(BASE)
    assert answer.status_code == 500
    assert "delete the file" in answer.text


def test_the_first_page_names_the_recorded_server(client: FlaskClient, root: Path) -> None:
    assert "answers for" not in client.get("/elp/").text
    state = root / ".elp"
    with recorded_server(
        state, "http://127.0.0.1:8400", key="secret", source="", settings="", certificate="", sites=["plant-a"]
    ):
        page = client.get("/elp/").text
        record = json.loads((state / RECORD).read_text())
        (state / "kept.json").write_text(json.dumps({**record, "process": {**record["process"], "created": 1.0}}))
    assert "http://127.0.0.1:8400</code> answers for plant-a" in page
    assert "secret" not in page
    assert faults(read_html(page)) == []
    # as after a kill: the record is there, and another process or none has its id
    (state / "kept.json").rename(state / RECORD)
    assert "has ended without its record" in client.get("/elp/").text
    (state / RECORD).write_text("{")
    assert client.get("/elp/").status_code == 200
    (state / RECORD).unlink()
