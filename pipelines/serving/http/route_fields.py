"""The fields that the routes take, with a sentence for each. The OpenAPI page shows them; other fields are refused."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

_CHANNEL = "What is taken of a file whose channels differ: left, right or mix. Without it, such a file is refused."
_NAMES = {
    "session": "Name of the call or shift, for the log of requests and the monitor.",
    "speaker": "Name of the speaker, for the log of requests; an erasure finds it.",
}
_MODEL = "The slot, such as plant-a/asr."


@dataclass(frozen=True)
class RouteFields:
    """The form of one route."""

    files: Mapping[str, str]
    """Name of a file field -> what it is."""
    fields: Mapping[str, str]
    """Name of a field -> what it is."""
    answer: str
    """What is returned."""
    required: tuple[str, ...] = ("file", "model")
    """Files and fields without which a request is refused."""

    @property
    def openapi(self) -> dict[str, Any]:
        """The description of the body and the answers in OpenAPI."""
        binary = {
            name: {"type": "string", "format": "binary", "description": text} for name, text in self.files.items()
        }
        texts = {name: {"type": "string", "description": text} for name, text in self.fields.items()}
        schema = {"type": "object", "required": list(self.required), "properties": {**binary, **texts}}
        return {
            "requestBody": {"required": True, "content": {"multipart/form-data": {"schema": schema}}},
            "responses": {"200": {"description": self.answer}},
        }


TRANSCRIBE = RouteFields(
    files={"file": "The recording: WAV, FLAC, MP3, OGG; others if PyAV is installed on the server."},
    fields={
        "model": _MODEL,
        "response_format": "json (the default), text, srt, verbose_json, vtt, or elp_json: the words of each segment.",
        "timestamp_granularities": "verbose_json: word, segment, or both (the default). A list.",
        "language": "If given, it has to be the code of the slot's language.",
        "languages": "If given, one of them has to be the code of the slot's language. A list.",
        "keywords": "Words to prefer, such as names. A list.",
        "hotwords": "The same as keywords.",
        "channel": _CHANNEL,
        "vad": "false transcribes all of a recording, not only its speech.",
        "temperature": "0: answers are not sampled.",
        "prompt": "Has to be empty.",
        "stream": "Has to be false.",
        "chunking_strategy": "auto: long recordings are cut at pauses.",
        **_NAMES,
    },
    answer="The transcript. The headers elp-version and elp-bundle-digest name the version that wrote it.",
)
CLASSIFY = RouteFields(
    files={"file": "The recording."},
    fields={"model": "The slot, such as plant-a/sic.", "channel": _CHANNEL, **_NAMES},
    answer="The class, or null if the recording is none of them (none_of_these); the likeliest one with its "
    "probability, those of all classes, and the calibration: temperature, floor, and the number of validation clips.",
)
VERIFY = RouteFields(
    files={
        "enrolment": "One or more recordings of the speaker; or send the field voice.",
        "file": "The recording that is compared with them.",
    },
    fields={
        "model": "The slot, such as plant-a/asv.",
        "voice": "The name of an enrolled voice, instead of enrolment.",
        "channel": _CHANNEL,
        "embeddings": "true returns the embeddings, each with the digest of its bundle and the fingerprint.",
        **_NAMES,
    },
    answer="The score, the threshold of the version, and whether the score reaches it.",
)
ENROL = RouteFields(
    files={"file": "One or more recordings of the speaker, 2 s of sound together or more."},
    fields={
        "model": "The slot, such as plant-a/asv. The key needs the scope of enrolling in it.",
        "voice": "The name of the speaker, such as anna.",
        "consent": "The reference of the speaker's consent, such as the number of a form.",
        "keep_audio": "true keeps the recordings, encrypted, on this server, so that the voice can be renewed.",
        "channel": _CHANNEL,
    },
    answer="The quality of the recordings, and which enrolled voices the new one would be accepted as, too.",
    required=("file", "model", "voice", "consent"),
)
