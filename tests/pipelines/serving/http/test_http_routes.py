from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from elp_core.audio import load
from elp_core.bundle import bundle_digest
from elp_core.class_answer import ClassCalibration
from elp_core.inference import classify, predict
from pipelines.registry.slot import Slot
from tests.support.clips import voice, wav
from tests.support.speech_server import (
    BACKBONE,
    FolderChampions,
    SpeechServer,
    loaded,
    speech_server,
    write_varied,
)

pytestmark = pytest.mark.integration
ONE, TWO = wav(voice(0.5, 200.0, 1)), wav(voice(0.6, 900.0, 2))
SILENT = wav(np.zeros(8000, np.float32))


@pytest.mark.parametrize("task", ["ser", "sic"])
def test_a_recording_gets_its_class_with_probabilities(
    task: str, server: SpeechServer, bundles: dict[tuple[str, int], Path]
) -> None:
    answer = server.ask("classify", f"plant-a/{task}", ONE).json()
    assert answer["label"] == predict(loaded(bundles[task, 1]), [load(ONE)])[0]
    assert {one["label"] for one in answer["classes"]} == {"agree", "refuse"}
    assert sum(one["probability"] for one in answer["classes"]) == pytest.approx(1.0, abs=1e-5)
    assert answer["probability"] == answer["classes"][0]["probability"] >= 0.5
    # neither was fitted for this bundle, so nothing is claimed
    assert (answer["calibrated"], answer["calibration"], answer["none_of_these"]) == (False, None, None)
    assert (answer["model"], answer["version"]) == (f"plant-a/{task}", 1)


def test_a_recording_of_no_class_gets_none_and_the_evidence_for_that(tmp_path: Path) -> None:
    slot, fitted = Slot("plant-a", "sic"), ClassCalibration(4.0, 0.9999, 60)
    folder = write_varied(tmp_path / "bundle", slot, 1, fitted)
    with speech_server(FolderChampions({slot: (1, folder)}), tmp_path) as server:
        answer = server.ask("classify", str(slot), ONE).json()
    assert (answer["label"], answer["none_of_these"], answer["calibrated"]) == (None, True, True)
    assert answer["calibration"] == {"fitted_on": "validation", "temperature": 4.0, "floor": 0.9999, "clips": 60}
    (own,) = classify(loaded(folder), [load(ONE)])
    assert (answer["likeliest"], answer["probability"]) == (own.likeliest, pytest.approx(own.probability, abs=1e-5))


def test_two_recordings_are_compared_and_each_embedding_is_named(
    server: SpeechServer, bundles: dict[tuple[str, int], Path]
) -> None:
    files = [("enrolment", ("a.wav", ONE)), ("enrolment", ("b.wav", TWO)), ("file", ("c.wav", TWO))]
    answer = server.client.post("/v1/verify", data={"model": "plant-a/asv", "embeddings": "true"}, files=files).json()
    model = loaded(bundles["asv", 1])
    one, two = predict(model, [load(ONE), load(TWO)])
    assert answer["score"] == pytest.approx(model.task.compare(model.head, [one, two], two).score, abs=1e-5)
    assert (answer["threshold"], answer["accepted"]) == (0.5, answer["score"] >= 0.5)
    assert answer["enrolment"][0]["embedding"] == pytest.approx(one.tolist(), abs=1e-5)
    for embedding in (*answer["enrolment"], answer["test"]):
        assert embedding["bundle_digest"] == bundle_digest(bundles["asv", 1])
        assert embedding["fingerprint"] == BACKBONE.fingerprint
    same = server.client.post("/v1/verify", data={"model": "plant-a/asv"}, files=[files[0], ("file", ("a.wav", ONE))])
    assert same.json()["score"] == pytest.approx(1.0, abs=1e-5)
    assert "test" not in same.json()


@pytest.mark.parametrize(
    ("route", "fields", "files", "status", "code", "message"),
    [
        ("audio/transcriptions", {}, {"file": ONE}, 400, "model", "the field model is missing; expected SITE/TASK"),
        ("audio/transcriptions", {"model": "plant-a/asr"}, {"f": ONE}, 400, "f", "unknown file 'f'; expected file"),
        ("audio/transcriptions", {"model": "plant-a/asr", "x": "1"}, {"file": ONE}, 400, "x", "unknown field 'x'"),
        ("audio/transcriptions", {"model": "plant-a/ser"}, {"file": ONE}, 400, "task", "is for SITE/asr"),
        ("audio/transcriptions", {"model": "whisper-1"}, {"file": ONE}, 404, "model_not_found", "no champion of"),
        ("audio/transcriptions", {"model": "plant-a/asr"}, {"file": b""}, 400, "empty", "the audio has no bytes"),
        (
            "audio/transcriptions",
            {"model": "plant-a/asr", "response_format": "xml"},
            {"file": ONE},
            400,
            "response_format",
            "is 'xml', expected one of json, text, srt",
        ),
        ("audio/transcriptions", {"model": "plant-a/asr", "stream": "true"}, {"file": ONE}, 400, "stream", "streamed"),
        ("classify", {"model": "plant-a/asr"}, {"file": ONE}, 400, "task", "is for SITE/ser and SITE/sic"),
        ("verify", {"model": "plant-a/asv"}, {"file": ONE}, 400, "enrolment", "the file enrolment is missing"),
        ("verify", {"model": "plant-a/sic"}, {"enrolment": ONE, "file": ONE}, 400, "task", "is for SITE/asv"),
        ("verify", {"model": "plant-a/asv"}, {"enrolment": SILENT, "file": ONE}, 400, "silent", "1 of the speaker has"),
        (
            "verify",
            {"model": "plant-a/asv"},
            {"enrolment": ONE, "file": SILENT},
            400,
            "silent",
            "has no sound",
        ),
    ],
)
def test_what_is_not_understood_is_refused(
    route: str,
    fields: dict[str, str],
    files: dict[str, bytes],
    status: int,
    code: str,
    message: str,
    server: SpeechServer,
) -> None:
    sent = {name: ("clip.wav", content) for name, content in files.items()}
    answer = server.client.post(f"/v1/{route}", data=fields, files=sent)
    error = answer.json()["error"]
    assert (answer.status_code, error["code"]) == (status, code)
    assert message in error["message"]
    assert error["type"] in ("invalid_request_error", "not_found_error")


def test_bodies_that_are_no_form_are_refused(server: SpeechServer) -> None:
    path, kind = "/v1/classify", "multipart/form-data"
    for headers, content, status in [
        ({"content-type": "application/json"}, b"{}", 415),
        ({"content-type": kind}, b"abc", 400),
        ({"content-type": f"{kind}; boundary=x"}, b"abc", 400),
    ]:
        answer = server.client.post(path, content=content, headers=headers)
        assert answer.status_code == status
        assert answer.json()["error"]["message"]
    form = server.client.build_request("POST", path, data={"model": "plant-a/ser"}, files={"file": ("a.wav", ONE)})
    form.headers["content-type"] = form.headers["content-type"].replace(kind, "Multipart/Form-Data")
    assert server.client.send(form).status_code == 200
    assert server.ask("audio/transcriptions", "plant-a/asr", ONE, language="en-US").status_code == 200
    other = server.ask("audio/transcriptions", "plant-a/asr", ONE, language="de-DE")
    assert other.json()["error"]["code"] == "language"
    assert server.client.get("/v1/nothing").json()["error"]["code"] == "unknown_url"
    assert server.client.get("/v1/classify").status_code == 405


def test_channels_that_differ_are_refused_until_one_is_named(server: SpeechServer) -> None:
    import numpy as np

    left, right = voice(0.5, 200.0, 1), voice(0.5, 900.0, 2)
    both = wav(np.stack([left, right], axis=1))
    refused = server.ask("classify", "plant-a/ser", both)
    assert refused.json()["error"]["code"] == "channels_differ"
    answers = [server.ask("classify", "plant-a/ser", both, channel=c).json() for c in ("left", "right")]
    alone = [server.ask("classify", "plant-a/ser", wav(one)).json() for one in (left, right)]
    assert [a["probability"] for a in answers] == pytest.approx([a["probability"] for a in alone], abs=1e-5)


def test_probes_and_metrics(server: SpeechServer) -> None:
    server.ask("classify", "plant-a/sic", ONE)
    assert server.client.get("/healthz").json() == {"status": "ok"}
    ready: dict[str, Any] = server.client.get("/readyz").json()
    assert ready["status"] == "ready"
    assert ready["source"]["reachable"] is True
    assert ready["serving"] == {f"plant-a/{task}": 1 for task in ("asr", "asv", "ser", "sic")}
    text = server.client.get("/metrics").text
    counted = re.search(r'elp_serve_requests_total\{route="/v1/classify",slot="plant-a/sic",status="200"\} (\d+)', text)
    assert counted
    assert int(counted[1]) >= 1
    assert 'elp_serve_version{slot="plant-a/asr"} 1.0' in text
    assert "elp_serve_source_up 1.0" in text


def test_the_page_of_the_routes_needs_no_other_server(server: SpeechServer) -> None:
    page = server.client.get("/docs").text
    assert "POST /v1/audio/transcriptions" in page
    assert "timestamp_granularities" in page
    assert not re.search(r"(src|href)=.?(https?:)?//", page)
    described = server.client.get("/openapi.json").json()["paths"]
    assert described["/v1/verify"]["post"]["requestBody"]["required"] is True
