"""Voices are enrolled and compared over HTTP, by a key that may, with the checks of `elp enrol`."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from elp_core.audio import load
from elp_core.tasks import SpeakerVerification
from pipelines.errors import UsageError
from pipelines.local.settings import Settings
from pipelines.registry.client.connection import connect
from pipelines.registry.client.server_api import ledger_entries
from pipelines.registry.client.voices import list_templates
from pipelines.registry.slot import Slot
from pipelines.serving.champion_source import RegistryChampions
from pipelines.serving.http.api_keys import add_api_key, read_api_keys
from pipelines.serving.http.serve_options import ServeOptions
from pipelines.serving.voices.listing import enrolled_voices
from pipelines.serving.voices.matching import match_voice
from pipelines.serving.voices.template_store import RegistryTemplates
from pipelines.serving.voices.verifier import load_verifier
from pipelines.serving.voices.voice_folder import VoiceFolder
from pipelines.serving.voices.voice_place import VoicePlace
from tests.docs.pages import fences
from tests.support.bundles import add_bundle
from tests.support.clips import voice, wav
from tests.support.mlflow_server import free_port
from tests.support.served_requests import logged
from tests.support.speech_server import FolderChampions, SpeechServer, speech_server, wait_until
from tests.support.versions import make_champion

pytestmark = pytest.mark.integration
SLOT = Slot("door-1", "asv")
ANNA = [wav(voice(1.0, 150.0, seed)) for seed in (1, 2, 3)]
BERT = wav(voice(1.0, 320.0, 4))


@pytest.fixture
def door(mlflow_uri: str, tmp_path: Path, cache: Path) -> Iterator[SpeechServer]:
    """A server with one version that accepts everybody, and the folder of voices next to its keys."""
    client = connect(mlflow_uri)
    task = SpeakerVerification(("anna", "bert"), threshold=-1.0)
    make_champion(client, add_bundle(client, SLOT, "k1", tmp_path, task))
    voices = VoicePlace(VoiceFolder(tmp_path / "voices"), RegistryTemplates(mlflow_uri))
    options = ServeOptions(every=0.05, decoders=1, voices=voices, log_state=tmp_path / "state")
    slots = {str(SLOT): {"requests": {"share": 1.0}}}
    with speech_server(RegistryChampions(mlflow_uri, cache, [SLOT.site]), tmp_path, options, slots=slots) as server:
        yield server


def _key(server: SpeechServer, name: str, **scopes: list[str]) -> dict[str, str]:
    return {"authorization": f"Bearer {add_api_key(server.keys, name, **scopes)[1]}"}


def _enrol(
    server: SpeechServer, name: str, recordings: list[bytes], key: dict[str, str], **more: str
) -> httpx.Response:
    fields = {"model": str(SLOT), "voice": name, "consent": "form 7", **more}
    files = [("file", ("clip.wav", one)) for one in recordings]
    return server.client.post("/v1/enrol", data=fields, files=files, headers=key)


def _verify(server: SpeechServer, name: str, recording: bytes, key: dict[str, str], **more: str) -> httpx.Response:
    data = {"model": str(SLOT), "voice": name, **more}
    return server.client.post("/v1/verify", data=data, files={"file": ("clip.wav", recording)}, headers=key)


def test_a_voice_is_enrolled_compared_and_bound_to_its_bundle(
    door: SpeechServer, mlflow_uri: str, tmp_path: Path, cache: Path
) -> None:
    # without any key the server answers everybody, and enrols nobody
    refused = _enrol(door, "Anna", ANNA, {})
    assert (refused.status_code, refused.json()["error"]["code"]) == (403, "scope")
    asks = _key(door, "asks", scopes=[str(SLOT)])
    key = _key(door, "enrols", scopes=[str(SLOT)], enrols=["*/asv"])
    refused = _enrol(door, "Anna", ANNA, asks)
    assert refused.status_code == 403
    assert "needs a key with that scope (none): elp api-keys add NAME --enrol door-1/asv" in refused.text
    assert list_templates(mlflow_uri, SLOT) == []

    made = _enrol(door, "Anna", ANNA, key, keep_audio="true")
    values = made.json()
    assert (made.status_code, values["recordings"], values["duration"], values["resembles"]) == (200, 3, 3.0, [])
    assert (values["consent"], values["audio_kept"]) == ("form 7", True)
    (stored,) = list_templates(mlflow_uri, SLOT)
    assert made.headers["elp-bundle-digest"] == values["bundle_digest"] == stored.bundle
    assert (stored.voice, stored.quality.cohesion) == (values["id"], values["cohesion"])
    assert "API key enrols" in ledger_entries(mlflow_uri, SLOT)[-1].text
    # one store: the command line finds it, and gives the same score
    place = VoicePlace(VoiceFolder(tmp_path / "voices"), RegistryTemplates(mlflow_uri))
    assert [one.name for one in enrolled_voices(SLOT, place)] == ["Anna"]
    assert len(place.folder.recordings(stored.voice)) == 3
    settings = Settings(backbone=str(tmp_path / "backbone"))
    verifier = load_verifier(SLOT, settings, RegistryChampions(mlflow_uri, cache))
    answer = _verify(door, "anna", ANNA[0], asks, session="gate 3")
    found = answer.json()
    own = match_voice("Anna", load(ANNA[0]), verifier, place)
    assert found["score"] == pytest.approx(own.score, abs=1e-5)
    assert (found["accepted"], found["threshold"], found["voice"]) == (True, -1.0, "anna")
    record = logged(tmp_path / "state", SLOT, answer.headers["elp-request-id"])
    assert (record.session, record.speaker, record.seconds, len(record.features) > 0) == ("gate 3", "", 1.0, True)
    assert (record.answer.score, record.answer.accepted) == (found["score"], True)
    assert _enrol(door, "Bert", [BERT, BERT, BERT], key).json()["resembles"] == ["Anna"]
    again = _enrol(door, "ANNA ", ANNA, key)
    assert (again.status_code, again.json()["error"]["code"]) == (409, "refused")

    # another version answers: its scores would mean nothing
    client = connect(mlflow_uri)
    task = SpeakerVerification(("anna", "bert"), threshold=-1.0)
    second = make_champion(client, add_bundle(client, SLOT, "k2", tmp_path, task))
    wait_until(lambda: door.opened.served.find(SLOT).version == 2)
    other = _verify(door, "Anna", ANNA[0], asks)
    assert (other.status_code, other.json()["error"]["code"]) == (409, "other_bundle")
    assert stored.bundle in other.text
    assert second.bundle_digest in other.text

    # what is no basis for a template, or not understood
    silence = wav(voice(2.5, 150.0, 1) * 0)
    for answer, status, code, said in [
        (_verify(door, "Carl", BERT, asks), 404, "not_enrolled", "Carl is not enrolled in door-1/asv"),
        (_verify(door, "Anna", silence, asks), 400, "silent", "the recording has no sound"),
        (_verify(door, "Anna", BERT, asks, embeddings="true"), 400, "voice", "without enrolment and embeddings"),
        (_enrol(door, "Carl", [BERT], key), 400, "unusable", "1.0 s of the recordings are not silent"),
        (_enrol(door, "Carl", [*ANNA, silence], key), 400, "silent", "recording 4 of 4 has no sound"),
        (_enrol(door, "Carl", ANNA, key, consent=" "), 400, "consent", "the field consent is missing"),
        (_enrol(door, "Carl", ANNA, key, consent="x" * 201), 400, "unusable", "the consent has more than 200"),
        (_enrol(door, "Carl", ANNA, key, age="7"), 400, "age", "unknown field 'age'"),
    ]:
        assert (answer.status_code, answer.json()["error"]["code"]) == (status, code), answer.text
        assert said in answer.text
    assert len(list_templates(mlflow_uri, SLOT)) == 2

    # the commands of the page, with another name
    for name, seed in (("enrolled-1.wav", 1), ("enrolled-2.wav", 2), ("someone.wav", 3)):
        (tmp_path / name).write_bytes(wav(voice(2.0, 150.0, seed)))
    curl = [line for f in fences("sh") if f.page == "enrolled-voices.md" for line in f.commands if "curl" in line]
    said = [_run(line, door, key, tmp_path) for line in curl]
    assert [(one["voice"], one["version"]) for one in said] == [("dora", 2), ("dora", 2)]
    assert said[1]["accepted"] is True


def _run(line: str, server: SpeechServer, key: dict[str, str], folder: Path) -> dict[str, Any]:
    text = line.replace("plant-a", SLOT.site).replace("=anna", "=dora").replace("http://127.0.0.1:8400", server.url)
    own = {**os.environ, "KEY": key["authorization"].removeprefix("Bearer ")}
    done = subprocess.run(["bash", "-c", text], cwd=folder, env=own, capture_output=True, text=True, check=True)
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def test_a_server_without_a_place_for_them_has_no_enrolled_voices(server: SpeechServer) -> None:
    data, files = {"model": "plant-a/asv", "voice": "Anna"}, {"file": ("clip.wav", BERT)}
    answer = server.client.post("/v1/verify", data=data, files=files)
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "voice")
    described = server.client.get("/openapi.json").json()["paths"]["/v1/enrol"]["post"]
    required = described["requestBody"]["content"]["multipart/form-data"]["schema"]["required"]
    assert required == ["file", "model", "voice", "consent"]


def test_while_the_registry_is_away_no_voice_is_compared(champions: FolderChampions, tmp_path: Path) -> None:
    away = RegistryTemplates(f"http://127.0.0.1:{free_port()}")
    place = VoicePlace(VoiceFolder(tmp_path / "voices"), away)
    place.folder.key(make=True)
    options = ServeOptions(every=60, decoders=1, voices=place)
    with speech_server(champions, tmp_path, options) as server:
        data, files = {"model": "plant-a/asv", "voice": "Anna"}, {"file": ("clip.wav", BERT)}
        answer = server.client.post("/v1/verify", data=data, files=files)
        assert (answer.status_code, answer.json()["error"]["code"]) == (503, "registry_away")
        assert "127.0.0.1" not in answer.text


def test_the_scope_of_enrolling_is_one_of_its_own(tmp_path: Path) -> None:
    path = tmp_path / "keys.json"
    add_api_key(path, "asks", ["*/*"])
    add_api_key(path, "enrols", [], ["door-1/asv"])
    # a file of an earlier release
    raw = json.loads(path.read_text())
    del raw["keys"][0]["enrols"]
    path.write_text(json.dumps(raw))
    asks, enrols = read_api_keys(path)
    assert (asks.permits(SLOT), asks.permits_enrolling(SLOT)) == (True, False)
    assert (enrols.permits(SLOT), enrols.permits_enrolling(SLOT)) == (False, True)
    assert not enrols.permits_enrolling(Slot("door-2", "asv"))
    for scopes, wanted, said in [
        ([], [], "would permit nothing; give --slot SITE/TASK, or --enrol SITE/asv"),
        ([], ["door-1/asr"], "'door-1/asr' is no scope for enrolling; expected SITE/asv"),
        ([], ["*/*"], "is no scope for enrolling"),
    ]:
        with pytest.raises(UsageError, match=said.replace("*", r"\*")):
            add_api_key(path, "third", scopes, wanted)
