"""The log of requests on a running server: records as the monitor measures them, audio with consent only, bounds."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest

from elp_core.audio import load, to_int16
from elp_core.bundle import bundle_digest
from elp_core.inference.measure_clips import measure_waveforms
from pipelines.monitoring.clip_scores import scored_clip
from pipelines.registry.monitor_names import UNITS
from pipelines.registry.slot import Slot
from pipelines.request_log.log_file import add_requests, log_path, log_transaction, opened_log, stamp
from pipelines.request_log.log_policy import RequestLogPolicy
from pipelines.request_log.log_reading import SpeechlessCount, count_speechless, find_audio, read_requests
from pipelines.request_log.served_request import RequestAnswer
from pipelines.serving.http import request_logger
from pipelines.serving.http.api_keys import ApiKeyFile
from pipelines.serving.http.request_logger import RequestLogger, RequestNames
from pipelines.serving.http.request_ticket import Ticket
from pipelines.serving.http.serve_options import ServeOptions
from pipelines.serving.http.served_set import ServedVersion
from pipelines.serving.http.wyoming_events import WyomingEvent
from pipelines.serving.http.wyoming_server import WyomingSession
from tests.support.clips import voice, wav
from tests.support.served_requests import kept, logged, served
from tests.support.speech_server import FolderChampions, SpeechServer, loaded, speech_server, wait_until

ONE, TWO = wav(voice(0.5, 200.0, 1)), wav(voice(0.6, 900.0, 2))
ASR, SIC, ASV, SER = (Slot("plant-a", task) for task in ("asr", "sic", "asv", "ser"))
CONSENT = {"requests": {"share": 1.0, "audio_consent": "agreement 2026-14", "audio_days": 2.0}}
SLOTS = {"plant-a/asr": CONSENT, "plant-a/sic": {"requests": {"share": 1.0}}, "plant-a/asv": {"requests": {"share": 1}}}


@pytest.fixture(scope="module")
def logging_server(
    champions: FolderChampions, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[SpeechServer, Path]]:
    folder = tmp_path_factory.mktemp("logging")
    options = ServeOptions(every=0.05, decoders=1, log_state=folder / "state")
    with speech_server(champions, folder, options, slots=SLOTS) as running:
        yield running, folder / "state"


@pytest.mark.integration
@pytest.mark.parametrize(("slot", "route"), [(ASR, "audio/transcriptions"), (SIC, "classify")])
def test_a_record_has_what_the_monitor_measures_itself(
    logging_server: tuple[SpeechServer, Path], bundles: dict[tuple[str, int], Path], slot: Slot, route: str
) -> None:
    server, state = logging_server
    answer = server.ask(route, str(slot), ONE, session="call 7", speaker="Anna ")
    record = logged(state, slot, answer.headers["elp-request-id"])
    waveform = load(ONE)
    [measured] = measure_waveforms(loaded(bundles[slot.task, 1]), [waveform])
    expected = scored_clip(record.clip, "call 7", measured)
    assert (record.block, record.speaker, record.route) == ("call 7", "Anna", route.rpartition("/")[2])
    assert record.measurements == pytest.approx(dict(expected.measurements), abs=1e-4)
    assert set(record.measurements) <= set(UNITS)
    assert expected.features is not None
    np.testing.assert_allclose(record.features_array, expected.features, atol=1e-5)
    assert (record.version, record.bundle) == (1, bundle_digest(bundles[slot.task, 1]))
    body = answer.json()
    assert record.answer == RequestAnswer(body.get("text", ""), body.get("label") or "", body.get("probability"))


@pytest.mark.integration
def test_a_comparison_of_voices_logs_the_recording_in_question(logging_server: tuple[SpeechServer, Path]) -> None:
    server, state = logging_server
    files = [("enrolment", ("a.wav", ONE)), ("file", ("c.wav", TWO))]
    answer = server.client.post("/v1/verify", data={"model": "plant-a/asv"}, files=files)
    record = logged(state, ASV, answer.headers["elp-request-id"])
    assert record.seconds == pytest.approx(0.6)
    assert (record.answer.score, record.answer.accepted) == (answer.json()["score"], answer.json()["accepted"])
    assert record.confidence is None


@pytest.mark.integration
def test_a_voice_assistant_is_logged_with_the_names_that_it_gives(logging_server: tuple[SpeechServer, Path]) -> None:
    server, state = logging_server
    session = WyomingSession(server.opened.parts.service, ApiKeyFile(state / "keys.json"), 60.0, lambda size: None)
    samples = to_int16(load(ONE)).tobytes()
    for event in (
        WyomingEvent("transcribe", {"name": "plant-a/asr", "session": "shift 7", "speaker": "Anna"}),
        WyomingEvent("audio-start", {"rate": 16000, "width": 2, "channels": 1}),
        WyomingEvent("audio-chunk", {}, samples),
    ):
        assert list(session.answers(event, Ticket())) == []
    (heard,) = session.answers(WyomingEvent("audio-stop"), Ticket())
    record = logged(state, ASR, heard.data["request_id"])
    assert (record.route, record.session, record.speaker) == ("wyoming", "shift 7", "Anna")
    assert (record.answer.text, record.version) == (heard.data["text"], heard.data["version"])


@pytest.mark.integration
def test_audio_is_kept_with_a_consent_only(logging_server: tuple[SpeechServer, Path]) -> None:
    server, state = logging_server
    agreed = logged(state, ASR, server.ask("audio/transcriptions", str(ASR), ONE).headers["elp-request-id"])
    other = logged(state, SIC, server.ask("classify", str(SIC), TWO).headers["elp-request-id"])
    with opened_log(log_path(state, ASR)) as db:
        audio = find_audio(db, agreed.id)
    assert audio is not None
    np.testing.assert_allclose(load(audio.flac), load(ONE), atol=2**-14)
    assert (audio.consent, audio.until) == (
        "agreement 2026-14",
        stamp(datetime.fromisoformat(agreed.at) + timedelta(days=2)),
    )
    with opened_log(log_path(state, SIC)) as db:
        assert find_audio(db, other.id) is None
        assert db.execute("SELECT COUNT(*) FROM audio").fetchone() == (0,)


@pytest.mark.integration
def test_a_recording_without_speech_is_logged_by_its_measurements(logging_server: tuple[SpeechServer, Path]) -> None:
    """A dead microphone: the backbone computed nothing, and the log says so."""
    server, state = logging_server
    silence = wav(np.full(16_000, 1e-4, np.float32))
    begun = stamp(datetime.now(UTC))
    answer = server.ask("audio/transcriptions", str(ASR), silence, session="call 8")
    record = logged(state, ASR, answer.headers["elp-request-id"])
    assert (record.without_speech, record.features, record.confidence, record.answer) == (
        True,
        (),
        None,
        RequestAnswer(),
    )
    assert set(record.measurements) == {"snr_db", "level_db", "seconds"}
    assert record.measurements["level_db"] < -70
    assert 'outcome="no speech",slot="plant-a/asr"} 1.0' in server.client.get("/metrics").text
    spoken = logged(state, ASR, server.ask("audio/transcriptions", str(ASR), ONE).headers["elp-request-id"])
    with opened_log(log_path(state, ASR)) as db:
        # the consent of the slot is for recordings that can be corrected
        assert find_audio(db, record.id) is None
        assert count_speechless(db, begun, stamp(datetime.now(UTC) + timedelta(days=1))) == SpeechlessCount(2, 1)
    assert not spoken.without_speech


@pytest.mark.integration
def test_a_slot_without_a_share_has_no_log(logging_server: tuple[SpeechServer, Path]) -> None:
    server, state = logging_server
    assert server.ask("classify", str(SER), ONE).status_code == 200
    assert not log_path(state, SER).parent.exists()


@pytest.mark.integration
def test_names_that_cannot_be_stored_are_refused(logging_server: tuple[SpeechServer, Path]) -> None:
    server, _ = logging_server
    answer = server.ask("classify", str(SIC), ONE, session="x" * 201)
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "session")
    assert server.ask("classify", str(SIC), ONE, speaker="a\x00b").status_code == 400


@pytest.mark.integration
def test_what_is_over_its_time_goes_while_the_server_answers(
    logging_server: tuple[SpeechServer, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    server, state = logging_server
    past = datetime.now(UTC) - timedelta(days=3)
    old = served(900, at=past)
    with opened_log(log_path(state, ASR), create=True) as db, log_transaction(db):
        add_requests(db, [(old, kept(b"fLaC voice of last week", past + timedelta(days=2)))])
    server.ask("audio/transcriptions", str(ASR), ONE)
    wait_until(lambda: b"voice of last week" not in log_path(state, ASR).read_bytes())
    assert any(one.record.id == old.id for one in read_requests(state, ASR)), "the record is kept for 30 days"


@pytest.mark.integration
def test_a_log_that_cannot_be_written_fails_no_request(logging_server: tuple[SpeechServer, Path]) -> None:
    server, state = logging_server
    path = log_path(state, SIC)
    logged(state, SIC, server.ask("classify", str(SIC), ONE).headers["elp-request-id"])
    whole = path.read_bytes()
    path.write_bytes(b"damaged " * 1000)
    assert server.ask("classify", str(SIC), ONE).status_code == 200
    failed = 'elp_serve_logged_requests_total{outcome="failed",slot="plant-a/sic"} 1.0'
    wait_until(lambda: failed in server.client.get("/metrics").text)
    path.write_bytes(whole)
    logged(state, SIC, server.ask("classify", str(SIC), ONE).headers["elp-request-id"])


class Counted:
    """Outcomes that a logger counts."""

    def __init__(self) -> None:
        self.outcomes: dict[str, int] = {}

    def __call__(self, slot: Slot, outcome: str, number: int) -> None:
        if number:
            self.outcomes[outcome] = self.outcomes.get(outcome, 0) + number


def version(bundles: dict[tuple[str, int], Path]) -> ServedVersion:
    folder = bundles["sic", 1]
    return ServedVersion(SIC, 1, bundle_digest(folder), "f" * 64, loaded(folder).task, None, 0.0)


def finish(logger: RequestLogger, by: ServedVersion, number: int) -> None:
    from elp_core.inference.host_request import PooledOutput

    waveform = load(ONE)
    seen = logger.begin(SIC, "classify", RequestNames(id=f"{number:032x}"))
    assert seen is not None
    seen.add([waveform], [PooledOutput(np.array([0.25, 0.75], np.float32), np.ones(4, np.float32))])
    logger.finish(seen, by, waveform, RequestAnswer(label="agree", probability=0.75))


def test_a_full_queue_drops_requests_and_counts_them(tmp_path: Path, bundles: dict[tuple[str, int], Path]) -> None:
    counted, by = Counted(), version(bundles)
    logger = RequestLogger(tmp_path, lambda _: RequestLogPolicy(share=1.0), counted)
    # the thread does not run yet: as if the disk stood still
    for number in range(request_logger._QUEUED + 10):
        finish(logger, by, number)
    assert counted.outcomes == {"queue full": 10}
    closing = threading.Thread(target=lambda: (logger.start(), logger.close()))
    closing.start()
    closing.join()
    assert counted.outcomes == {"queue full": 10, "written": 256}
    assert len(list(read_requests(tmp_path, SIC))) == 256


def test_audio_that_waits_is_bounded(
    tmp_path: Path, bundles: dict[tuple[str, int], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(request_logger, "_QUEUED_SECONDS", 1.2)
    counted, by = Counted(), version(bundles)
    logger = RequestLogger(tmp_path, lambda _: RequestLogPolicy(share=1.0), counted)
    for number in range(4):
        finish(logger, by, number)
    assert counted.outcomes == {"queue full": 2}
    logger.start()
    logger.close()
    assert counted.outcomes["written"] == 2


def test_the_share_is_chosen_by_chance(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    logger = RequestLogger(tmp_path, lambda _: RequestLogPolicy(share=0.25), Counted())
    draws = iter([0.1, 0.24, 0.25, 0.9])
    monkeypatch.setattr(request_logger.random, "random", lambda: next(draws))
    chosen = [logger.begin(SIC, "classify", RequestNames()) is not None for _ in range(4)]
    assert chosen == [True, True, False, False]
    off = RequestLogger(tmp_path, lambda _: RequestLogPolicy(), Counted())
    assert off.begin(SIC, "classify", RequestNames()) is None


def test_a_long_recording_is_averaged_over_its_windows(tmp_path: Path, bundles: dict[tuple[str, int], Path]) -> None:
    from elp_core.inference.host_request import PooledOutput

    by = replace(version(bundles), slot=ASR, task=loaded(bundles["asr", 1]).task)
    logger, waveform = RequestLogger(tmp_path, lambda _: RequestLogPolicy(share=1.0), Counted()), load(ONE)
    seen = logger.begin(ASR, "transcriptions", RequestNames())
    assert seen is not None
    sure = np.log(np.array([[0.98, 0.01, 0.01]], np.float32)).repeat(4, axis=0)
    seen.add([waveform[:6000]], [PooledOutput(sure, np.zeros(4, np.float32))])
    seen.add([waveform[:2000]], [PooledOutput(sure, np.ones(4, np.float32))])
    logger.finish(seen, by, waveform, RequestAnswer())
    logger.start()
    logger.close()
    [found] = read_requests(tmp_path, ASR)
    assert found.record.features == pytest.approx((0.25,) * 4)
    assert found.record.measurements["blank_share"] == 1.0
