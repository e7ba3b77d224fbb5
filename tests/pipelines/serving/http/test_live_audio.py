from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect

from elp_core.audio import Waveform, resample, to_int16
from elp_core.bundle import bundle_digest
from elp_core.inference import Recogniser, VoiceActivityConfig, predict, transcribe
from elp_core.inference.voice_activity import speech_runs
from pipelines.serving.http.api_keys import add_api_key, revoke_api_key
from pipelines.serving.http.request_limits import RequestBounds
from pipelines.serving.http.request_ticket import Ticket
from pipelines.serving.http.serve_options import ServeOptions
from tests.elp_core.inference.test_voice_activity import quiet, spoken
from tests.support.speech_server import FolderChampions, SpeechServer, loaded, speech_server

pytestmark = pytest.mark.integration
SOUND = np.concatenate([quiet(0.5), spoken(1.5), quiet(1.5), spoken(1.0, 1), quiet(0.2)])


def listening(server: SpeechServer, query: str, key: str = "") -> ClientConnection:
    headers = {"authorization": f"Bearer {key}"} if key else {}
    address = f"ws{server.url.removeprefix('http')}/v1/listen?{query}"
    return connect(address, additional_headers=headers, proxy=None, open_timeout=60)


def heard(server: SpeechServer, query: str, sound: Waveform, step: int = 1600) -> list[dict[str, Any]]:
    """Send a sound in parts and return all messages."""
    content = to_int16(sound).tobytes()
    with listening(server, query) as socket:
        for begin in range(0, len(content), 2 * step):
            socket.send(content[begin : begin + 2 * step])
        socket.send('{"type": "end"}')
        return [json.loads(message) for message in socket]


def said_by(error: InvalidStatus) -> tuple[int, str]:
    """Return the status and the code of a websocket that was not accepted."""
    return error.response.status_code, json.loads(error.response.body)["error"]["code"]


def test_each_utterance_is_answered_with_its_times(server: SpeechServer, bundles: dict[tuple[str, int], Path]) -> None:
    *found, end = heard(server, "model=plant-a/asr", SOUND)
    assert end == {"type": "end"}
    known = to_int16(SOUND).astype(np.float32) / 32768
    runs = list(speech_runs([known], VoiceActivityConfig(max_seconds=25.0)))
    assert len(found) == len(runs) == 2
    recogniser = Recogniser.of(loaded(bundles["asr", 1]))
    for message, run in zip(found, runs, strict=True):
        expected = transcribe(run.samples, recogniser)
        assert (message["type"], message["text"], message["start"]) == (
            "utterance",
            expected.text,
            round(run.start / 16_000, 3),
        )
        offset = run.start / 16_000
        assert [word["start"] for word in message["words"]] == pytest.approx(
            [word.start + offset for word in expected.words], abs=1e-3
        )
        assert (message["version"], message["bundle_digest"]) == (1, bundle_digest(bundles["asr", 1]))


def test_other_rates_and_tasks(server: SpeechServer, bundles: dict[tuple[str, int], Path]) -> None:
    slow = resample(np.repeat(SOUND, 1), 16_000)[::2]
    found = heard(server, "model=plant-a/ser&rate=8000", slow, step=777)
    assert [message["type"] for message in found] == ["utterance", "utterance", "end"]
    model = loaded(bundles["ser", 1])
    assert {message["label"] for message in found[:-1]} <= set(model.task.classes)
    assert predict(model, [SOUND])[0] in model.task.classes


@pytest.mark.parametrize(
    ("query", "sent", "code"),
    [
        ("model=plant-b/asr", None, "model_not_found"),
        ("model=plant-a/asv", None, "task"),
        ("model=plant-a/asr&rate=fast", None, "rate"),
        ("model=plant-a/asr&beam=5", None, "beam"),
        ("model=plant-a/asr", b"abc", "samples"),
        ("model=plant-a/asr", "stop", "message"),
    ],
)
def test_what_is_not_understood_closes_with_the_reason(
    query: str, sent: bytes | str | None, code: str, server: SpeechServer
) -> None:
    with listening(server, query) as socket:
        if sent is not None:
            socket.send(sent)
        assert json.loads(socket.recv(60))["error"]["code"] == code
        with pytest.raises(ConnectionClosed):
            socket.recv(60)
        assert socket.protocol.close_code == 1008


def test_a_full_server_says_when_to_try_again(champions: FolderChampions, tmp_path: Path) -> None:
    options = ServeOptions(every=5.0, decoders=1, bounds=RequestBounds(websockets=1), held_seconds=0.5)
    with speech_server(champions, tmp_path, options) as server, listening(server, "model=plant-a/ser") as socket:
        with pytest.raises(InvalidStatus) as full:
            listening(server, "model=plant-a/ser")
        assert said_by(full.value) == (429, "queue_full")
        assert int(full.value.response.headers["retry-after"]) >= 1
        # and it is counted among the refused ones that the console shows
        assert server.opened.parts.metrics.refused == 1
        with server.opened.parts.service.decoded([quiet(0.4)], "mix", Ticket()):
            socket.send(to_int16(SOUND).tobytes())
            message = json.loads(socket.recv(60))
            assert (message["error"]["code"], message["retry_after"] >= 1) == ("audio_full", True)
            with pytest.raises(ConnectionClosed):
                socket.recv(60)
        assert socket.protocol.close_code == 1013


def test_keys_and_pages_of_other_sites(champions: FolderChampions, tmp_path: Path) -> None:
    with speech_server(champions, tmp_path, required=True) as server:
        _, key = add_api_key(server.keys, "line 4", ["plant-a/asr"])
        with pytest.raises(InvalidStatus) as unknown:
            listening(server, "model=plant-a/asr")
        assert said_by(unknown.value) == (401, "invalid_api_key")
        with listening(server, "model=plant-a/ser", key) as socket:
            assert json.loads(socket.recv(60))["error"]["code"] == "scope"
        with listening(server, "model=plant-a/asr", key) as socket:
            socket.send('{"type": "end"}')
            assert json.loads(socket.recv(60)) == {"type": "end"}
        with listening(server, "model=plant-a/asr", key) as socket:
            socket.send(b"\0" * 3200)
            revoke_api_key(server.keys, "line 4")
            socket.send(b"\0" * 3200)
            assert json.loads(socket.recv(60))["error"]["code"] == "invalid_api_key"
            with pytest.raises(ConnectionClosed):
                socket.recv(60)
            assert socket.protocol.close_code == 1008
        _, key = add_api_key(server.keys, "line 5", ["plant-a/asr"])
        with listening(server, "model=plant-a/asr", key) as socket:
            socket.send(b"\0" * (2**20 + 2))
            with pytest.raises(ConnectionClosed):
                socket.recv(60)
            assert socket.protocol.close_code == 1009
        foreign = {"origin": "https://example.org", "authorization": f"Bearer {key}"}
        address = f"ws{server.url.removeprefix('http')}/v1/listen?model=plant-a/asr"
        with pytest.raises(InvalidStatus) as other:
            connect(address, additional_headers=foreign, proxy=None)
        assert said_by(other.value) == (403, "origin")
        refused = server.client.get("/v1/models", headers=foreign)
        assert (refused.status_code, refused.json()["error"]["code"]) == (403, "origin")
        own = {"origin": server.url, "authorization": f"Bearer {key}"}
        assert server.client.get("/v1/models", headers=own).status_code == 200
