"""The routes of `elp serve`. Requests and answers have the form of OpenAI's API where it has one."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from typing import Any

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from elp_core.class_answer import ClassAnswer
from pipelines.errors import RequestRefused, UsageError
from pipelines.registry.slot import Slot
from pipelines.serving.http.request_form import RequestForm, may_see, request_form, require_permission
from pipelines.serving.http.request_logger import RequestNames, request_names
from pipelines.serving.http.route_fields import CLASSIFY, ENROL, TRANSCRIBE, VERIFY
from pipelines.serving.http.served_set import ServedVersion, not_served
from pipelines.serving.http.speech_service import SpeechService
from pipelines.serving.http.transcription_forms import DETAILS, FORMS, transcription
from pipelines.serving.http.voice_service import VoiceService
from pipelines.serving.http.waiting_client import answer_waiting


def speech_routes(service: SpeechService, voices: VoiceService, threads: ThreadPoolExecutor) -> APIRouter:
    """Return the routes under ``/v1``; each request occupies a thread of `threads` while it is answered."""
    router = APIRouter(prefix="/v1")

    @router.post("/audio/transcriptions", openapi_extra=TRANSCRIBE.openapi)
    async def transcribe(request: Request) -> Response:
        """Write what a recording says."""
        async with request_form(request) as form:
            form.refuse_others(TRANSCRIBE.fields, TRANSCRIBE.files)
            slot, shape = form.slot(request), form.choice("response_format", FORMS, "json")
            details = form.all("timestamp_granularities") or DETAILS
            if strange := sorted(set(details) - set(DETAILS)):
                raise RequestRefused(
                    400, "timestamp_granularities", f"unknown granularity {strange[0]!r}; expected segment or word"
                )
            _refuse_unsupported(form.one)
            languages = (*form.all("language"), *form.all("languages"))
            hotwords = (*form.all("keywords"), *form.all("hotwords"))
            options: dict[str, Any] = {
                "channel": form.channel,
                "hotwords": hotwords,
                "languages": languages,
                "skip_silence": form.flag("vad", True),
                "names": (names := _names(request, form)),
            }
            recording = await form.recording("file")
        answer = await answer_waiting(request, threads, lambda t: service.transcribe(slot, recording, t, **options))
        return _signed(transcription(answer, shape, details), answer.by, names)

    @router.post("/classify", openapi_extra=CLASSIFY.openapi)
    async def classify(request: Request) -> Response:
        """Choose the class of a recording: an emotion (ser) or an intent (sic)."""
        async with request_form(request) as form:
            form.refuse_others(CLASSIFY.fields, CLASSIFY.files)
            slot, channel, names = form.slot(request), form.channel, _names(request, form)
            recording = await form.recording("file")
        answer = await answer_waiting(
            request, threads, lambda t: service.classify(slot, recording, t, channel, names=names)
        )
        values = {**_classified(answer.answer), "duration": round(answer.seconds, 3)}
        return _signed(JSONResponse({**values, **_identity(answer.by)}), answer.by, names)

    _add_verify(router, service, voices, threads)
    _add_enrol(router, voices, threads)
    _add_models(router, service)
    return router


def _add_verify(router: APIRouter, service: SpeechService, voices: VoiceService, threads: ThreadPoolExecutor) -> None:
    @router.post("/verify", openapi_extra=VERIFY.openapi)
    async def verify(request: Request) -> Response:
        """Compare a recording with one or more recordings of a speaker, or with an enrolled voice (asv)."""
        async with request_form(request) as form:
            form.refuse_others(VERIFY.fields, VERIFY.files)
            slot, channel, embeddings = form.slot(request), form.channel, form.flag("embeddings", False)
            names = _names(request, form)
            voice = form.one("voice")
            if voice and (embeddings or form.has_file("enrolment")):
                raise RequestRefused(
                    400, "voice", "an enrolled voice is compared without enrolment and embeddings; leave them out"
                )
            enrolment = [] if voice else await form.recordings("enrolment")
            test = await form.recording("file")
        if voice:
            by, found = await answer_waiting(
                request, threads, lambda t: voices.match(slot, voice, test, t, channel, names)
            )
            shown = {"score": found.score, "threshold": found.threshold, "accepted": found.accepted, "voice": voice}
            return _signed(JSONResponse({**shown, **_identity(by)}), by, names)
        answer = await answer_waiting(
            request, threads, lambda t: service.verify(slot, enrolment, test, t, channel, names=names)
        )
        identity, match = _identity(answer.by), answer.match
        values: dict[str, Any] = {"score": match.score, "threshold": match.threshold, "accepted": match.accepted}
        if embeddings:
            # each with its identity: an embedding of another bundle cannot be compared with it
            named = [{"embedding": one, **identity} for one in (*answer.enrolment, answer.test)]
            values |= {"enrolment": named[:-1], "test": named[-1]}
        return _signed(JSONResponse({**values, **identity}), answer.by, names)


def _add_enrol(router: APIRouter, voices: VoiceService, threads: ThreadPoolExecutor) -> None:
    @router.post("/enrol", openapi_extra=ENROL.openapi)
    async def enrol(request: Request) -> Response:
        """Enrol the speaker of some recordings (asv); the key needs a scope for that."""
        async with request_form(request) as form:
            form.refuse_others(ENROL.fields, ENROL.files)
            slot, name = form.slot(request, enrols=True), form.needed("voice")
            options: dict[str, Any] = {
                "consent": form.needed("consent"),
                "keep_audio": form.flag("keep_audio", False),
                "channel": form.channel,
                "by": f"API key {request.state.key.name}",
            }
            recordings = await form.recordings("file")
        by, done = await answer_waiting(request, threads, lambda t: voices.enrol(slot, name, recordings, t, **options))
        quality = done.template.quality
        values = {
            "voice": name,
            "id": done.template.voice,
            "recordings": quality.recordings,
            "repeated": done.repeated,
            "duration": quality.seconds,
            "cohesion": quality.cohesion,
            "audio_kept": quality.audio_kept,
            "consent": done.template.consent,
            "resembles": list(done.resembles),
        }
        return _signed(JSONResponse({**values, **_identity(by)}), by)


def _add_models(router: APIRouter, service: SpeechService) -> None:
    @router.get("/models")
    async def models(request: Request) -> Response:
        """List the slots that are served, with their versions."""
        found = [one for one in service.served.versions if may_see(request, one.slot)]
        return JSONResponse({"object": "list", "data": [_model(one) for one in found]})

    @router.get("/models/{model:path}")
    async def model(request: Request, model: str) -> Response:
        """Show one slot that is served."""
        try:
            slot = Slot.parse(model)
        except UsageError:
            raise not_served(model) from None
        require_permission(request.state.key, slot, closed=request.state.closed)
        found = service.served.find(slot)
        if found is None:
            raise not_served(slot)
        return _signed(JSONResponse(_model(found)), found)


def _classified(answer: ClassAnswer) -> dict[str, Any]:
    fitted = answer.calibration
    return {
        "label": answer.label,
        "none_of_these": answer.none_of_these,
        "likeliest": answer.likeliest,
        "probability": answer.probability,
        "calibrated": fitted is not None,
        "calibration": None if fitted is None else {"fitted_on": "validation", **asdict(fitted)},
        "classes": [{"label": label, "probability": value} for label, value in answer.probabilities.items()],
    }


def _refuse_unsupported(field: Callable[[str], str]) -> None:
    """Refuse fields of OpenAI's API that would change the answer there, and cannot here."""
    if field("prompt"):
        raise RequestRefused(400, "prompt", "a prompt changes nothing here; send the words to prefer as keywords")
    if field("stream").lower() not in ("", "false"):
        raise RequestRefused(400, "stream", "answers are not streamed; leave stream out, or use the websocket")
    if field("chunking_strategy") not in ("", "auto"):
        raise RequestRefused(400, "chunking_strategy", "long recordings are cut at pauses; leave it out, or send auto")
    temperature = field("temperature")
    if temperature not in ("", "0", "0.0"):
        raise RequestRefused(400, "temperature", f"answers are not sampled; temperature is {temperature}, expected 0")


def _identity(by: ServedVersion) -> dict[str, Any]:
    return {
        "model": str(by.slot),
        "version": by.version,
        "bundle_digest": by.digest,
        "fingerprint": by.fingerprint,
    }


def _model(by: ServedVersion) -> dict[str, Any]:
    return {"id": str(by.slot), "object": "model", "created": int(by.since), "owned_by": by.slot.site, **_identity(by)}


def _names(request: Request, form: RequestForm) -> RequestNames:
    """Return what the client names, for the log of requests."""
    key = request.state.key
    return request_names(form.one("session"), form.one("speaker"), key.name if key else "")


def _signed(response: Response, by: ServedVersion, names: RequestNames | None = None) -> Response:
    """Name the version that has answered in the headers, and the request."""
    if names:
        response.headers["elp-request-id"] = names.id
    response.headers["elp-model"] = str(by.slot)
    response.headers["elp-version"] = str(by.version)
    response.headers["elp-bundle-digest"] = by.digest
    return response
