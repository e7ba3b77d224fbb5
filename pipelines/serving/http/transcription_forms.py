"""A transcript in the forms of OpenAI's transcription API (json, text, srt, verbose_json, vtt), and as a record."""

from __future__ import annotations

import math
import zlib
from collections.abc import Collection
from typing import Any

from starlette.responses import JSONResponse, PlainTextResponse, Response

from elp_core.subtitles import cues, srt, vtt
from elp_core.tasks import SpeechRecognition
from elp_core.transcript import Segment
from pipelines.registry.plain_json import plain
from pipelines.serving.http.speech_service import Transcribed

FORMS = ("json", "text", "srt", "verbose_json", "vtt", "elp_json")
DETAILS = ("segment", "word")


def transcription(answer: Transcribed, form: str, details: Collection[str]) -> Response:
    """Return a transcript in one of `FORMS`; `details` are the parts of ``verbose_json``, some of `DETAILS`."""
    found = answer.transcript
    if form == "json":
        return JSONResponse({"text": found.text})
    if form == "verbose_json":
        return JSONResponse(_verbose(answer, details))
    if form == "elp_json":
        # as `elp predict --format json` writes it
        return JSONResponse({"transcript": plain(found)})
    if form == "text":
        return PlainTextResponse(found.text + "\n")
    written = {"srt": srt, "vtt": vtt}[form](cues(found))
    return Response(written, media_type="text/vtt" if form == "vtt" else "application/x-subrip")


def _verbose(answer: Transcribed, details: Collection[str]) -> dict[str, Any]:
    found, by = answer.transcript, answer.by
    assert isinstance(by.task, SpeechRecognition)
    values: dict[str, Any] = {
        "task": "transcribe",
        "language": by.task.language.name.lower(),
        "duration": round(found.seconds, 3),
        "text": found.text,
        "model": str(by.slot),
        "version": by.version,
        "bundle_digest": by.digest,
    }
    if "segment" in details:
        values["segments"] = [_segment(number, segment) for number, segment in enumerate(found.segments)]
    if "word" in details:
        values["words"] = [
            {"word": word.text, "start": word.start, "end": word.end, "confidence": word.confidence}
            for word in found.words
        ]
    return values


def _segment(number: int, segment: Segment) -> dict[str, Any]:
    # those of Whisper that have no meaning here are empty or 0: OpenAI's schema has no null, and some clients check it
    raw = segment.text.encode()
    logs = [math.log(max(word.confidence, 1e-10)) for word in segment.words]
    return {
        "id": number,
        "seek": 0,
        "start": segment.start,
        "end": segment.end,
        "text": segment.text,
        "tokens": [],
        "temperature": 0.0,
        "avg_logprob": round(sum(logs) / len(logs), 4) if logs else 0.0,
        "compression_ratio": round(len(raw) / len(zlib.compress(raw)), 3),
        "no_speech_prob": 0.0,
        "confidence": round(math.exp(sum(logs) / len(logs)), 4) if logs else 0.0,
    }
