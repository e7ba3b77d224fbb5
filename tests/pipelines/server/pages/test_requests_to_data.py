"""From a real request over HTTP to a clip of the next dataset version, with a person and the intake in between."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from flask.testing import FlaskClient

from elp_core.audio import clip_id, load
from pipelines.cli.main import run
from pipelines.datasets.expectations import import_great_expectations
from pipelines.datasets.ingest import add_delivery
from pipelines.datasets.slot_data import open_slot_data
from pipelines.inbox.inbox_records import Refusal
from pipelines.inbox.take_deliveries import InboxPass, take_waiting
from pipelines.local.workspace import Workspace, open_workspace
from pipelines.registry.slot import Slot
from pipelines.request_log.log_reading import read_requests
from pipelines.serving.http.serve_options import ServeOptions
from tests.support.clips import voice, wav
from tests.support.console_pages import token
from tests.support.speech_server import FolderChampions, SpeechServer, speech_server, wait_until, write_varied
from tests.support.workspaces import Site

pytestmark = pytest.mark.integration
SLOT = Slot("plant-a", "asr")
CONSENT = {"requests": {"share": 1.0, "audio_consent": "agreement 2026-14"}}
GOOD, BAD = wav(voice(1.0, 250.0, 71)), wav(voice(1.0, 350.0, 72))


@pytest.fixture(scope="module")
def workspace(site: Site, tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """The site's workspace, copied: this module adds to its data."""
    root = tmp_path_factory.mktemp("served") / "work space"
    shutil.copytree(site.workspace.root, root, symlinks=True)
    import_great_expectations()
    return open_workspace(root)


@pytest.fixture(scope="module")
def server(workspace: Workspace, tmp_path_factory: pytest.TempPathFactory) -> Iterator[SpeechServer]:
    folder = tmp_path_factory.mktemp("server")
    champions = FolderChampions({SLOT: (1, write_varied(folder / "bundle", SLOT, 1))})
    options = ServeOptions(every=0.05, decoders=1, log_state=workspace.state)
    with speech_server(champions, folder, options, slots={str(SLOT): CONSENT}) as running:
        yield running


def ask(server: SpeechServer, workspace: Workspace, audio: bytes) -> str:
    """Send a recording; return the address of its page when it is logged."""
    answer = server.ask("audio/transcriptions", str(SLOT), audio, session="call 7", speaker="ann")
    assert answer.status_code == 200, answer.text
    identity = answer.headers["elp-request-id"]
    wait_until(lambda: any(one.record.id == identity for one in read_requests(workspace.state, SLOT)))
    return f"/elp/requests/{SLOT}/{identity}"


def take_in(workspace: Workspace) -> InboxPass:
    def ingest(path: Path) -> str:
        return add_delivery(workspace, SLOT, path).tag

    def report(_: Refusal) -> None:
        return None

    return take_waiting(workspace, SLOT, ingest, report)


def test_a_request_becomes_a_clip_of_the_next_version(
    server: SpeechServer, workspace: Workspace, visitor: FlaskClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ELP_DATA_ROOT", str(workspace.root))
    page = ask(server, workspace, GOOD)
    assert page in visitor.get(f"/elp/requests/{SLOT}?order=confidence").text
    assert clip_id(load(visitor.get(f"{page}/sound").data)) == clip_id(load(GOOD))
    form = {"token": token(visitor, page), "text": "Two three!", "speaker": "ann", "by": "ann"}
    visitor.post(f"{page}/take", data=form)
    done = take_in(workspace)
    assert [one.version for one in done.taken] == ["data/plant-a/asr/v2"], done
    data = open_slot_data(workspace.root, SLOT)
    assert data is not None
    history = data.history(clip_id(load(GOOD)))
    assert history is not None
    assert (history.clip.text, history.clip.speaker, history.clip.split) == ("two three", "ann", "train")
    shown = visitor.get(page).text
    assert "It was taken in: data/plant-a/asr/v2" in shown
    assert f"/elp/data/{SLOT}/clips/{clip_id(load(GOOD))}" in shown
    [kept] = (workspace.root / "inbox" / "plant-a" / "asr").glob(".taken/*/*/manifest.jsonl")
    assert json.loads(kept.read_text())["consent"] == "agreement 2026-14"


def test_what_the_checks_refuse_is_shown_with_the_reason(
    server: SpeechServer, workspace: Workspace, visitor: FlaskClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ELP_DATA_ROOT", str(workspace.root))
    page = ask(server, workspace, BAD)
    form = {"token": token(visitor, page), "text": "две три", "speaker": "ann", "by": "ann"}
    visitor.post(f"{page}/take", data=form)
    done = take_in(workspace)
    shown = visitor.get(page).text
    if done.refused:
        assert "The intake refused it" in shown
    else:
        assert "It is in quarantine" in shown
    assert "trained on it" in shown or "refused" in shown


def test_a_person_is_erased_from_the_log_while_the_server_runs(
    server: SpeechServer, workspace: Workspace, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    ask(server, workspace, GOOD)
    monkeypatch.chdir(workspace.root)
    assert run(["requests", "erase", "--speaker", "ann", "--json"]) == 0
    [found] = json.loads(capsys.readouterr().out)
    assert found["requests"] == found["recordings"] >= 1
    assert list(read_requests(workspace.state, SLOT)) == []
    ask(server, workspace, BAD)
