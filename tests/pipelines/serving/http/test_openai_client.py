"""The official client of OpenAI's API, unchanged, against a running server."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from openai.types.audio import TranscriptionVerbose
from pydantic import TypeAdapter

from elp_core.bundle import bundle_digest
from elp_core.inference import Recogniser, Transcript, transcribe
from elp_core.subtitles import cues, srt, vtt
from tests.support.clips import voice, wav
from tests.support.speech_server import SpeechServer, loaded

if TYPE_CHECKING:
    import openai

pytestmark = pytest.mark.integration
RECORDING = wav(voice(1.5, 300.0, 1))


@pytest.fixture
def client(server: SpeechServer) -> Iterator[openai.OpenAI]:
    import openai

    with openai.OpenAI(api_key="none", base_url=f"{server.url}/v1", max_retries=0) as made:
        yield made


@pytest.fixture(scope="module")
def expected(bundles: dict[tuple[str, int], Path]) -> Transcript:
    from elp_core.audio import load

    return transcribe(load(RECORDING), Recogniser.of(loaded(bundles["asr", 1])))


def test_a_transcript_in_every_form(client: openai.OpenAI, expected: Transcript) -> None:
    assert expected.text
    create = client.audio.transcriptions.create
    options = {"model": "plant-a/asr", "file": ("call.wav", RECORDING)}
    assert create(**options).text == expected.text
    assert create(**options, response_format="text") == expected.text + "\n"
    assert create(**options, response_format="srt") == srt(cues(expected))
    assert create(**options, response_format="vtt") == vtt(cues(expected))


def test_words_have_times_and_confidence(client: openai.OpenAI, expected: Transcript) -> None:
    found = client.audio.transcriptions.create(
        model="plant-a/asr",
        file=("call.wav", RECORDING),
        response_format="verbose_json",
        timestamp_granularities=["word", "segment"],
        language="english",
        temperature=0,
    )
    # OpenAI's clients in other languages check the types: no number may be null
    TypeAdapter(TranscriptionVerbose).validate_python(found.model_dump(), strict=True)
    assert (found.text, found.language, found.duration) == (expected.text, "english", 1.5)
    assert found.words
    assert [(one.word, one.start, one.end) for one in found.words] == [
        (word.text, word.start, word.end) for word in expected.words
    ]
    confidences = [one.model_dump()["confidence"] for one in found.words]
    assert confidences == pytest.approx([word.confidence for word in expected.words], abs=1e-3)
    assert found.segments
    assert [one.text for one in found.segments] == [segment.text for segment in expected.segments]
    only = client.audio.transcriptions.create(
        model="plant-a/asr",
        file=("call.wav", RECORDING),
        response_format="verbose_json",
        timestamp_granularities=["word"],
    )
    assert only.segments is None
    assert only.words == found.words


def test_the_version_is_in_the_headers_and_in_the_list(
    client: openai.OpenAI, bundles: dict[tuple[str, int], Path]
) -> None:
    answer = client.audio.transcriptions.with_raw_response.create(model="plant-a/asr", file=("call.wav", RECORDING))
    digest = bundle_digest(bundles["asr", 1])
    assert answer.headers["elp-model"] == "plant-a/asr"
    assert (answer.headers["elp-version"], answer.headers["elp-bundle-digest"]) == ("1", digest)
    listed = client.models.list().data
    assert [one.id for one in listed] == ["plant-a/asr", "plant-a/asv", "plant-a/ser", "plant-a/sic"]
    assert client.models.retrieve("plant-a/asr").model_dump()["bundle_digest"] == digest


def test_the_client_raises_its_own_errors(client: openai.OpenAI) -> None:
    import openai

    with pytest.raises(openai.NotFoundError, match="no champion of plant-b/asr is served here") as missing:
        client.audio.transcriptions.create(model="plant-b/asr", file=("call.wav", RECORDING))
    assert missing.value.code == "model_not_found"
    with pytest.raises(openai.BadRequestError, match="cannot be read as audio"):
        client.audio.transcriptions.create(model="plant-a/asr", file=("call.wav", b"no audio"))
    with pytest.raises(openai.BadRequestError, match=r"plant-a/asr writes English \(en\), asked for was de"):
        client.audio.transcriptions.create(model="plant-a/asr", file=("call.wav", RECORDING), language="de")
    with pytest.raises(openai.BadRequestError, match="send the words to prefer as keywords"):
        client.audio.transcriptions.create(model="plant-a/asr", file=("call.wav", RECORDING), prompt="valve")
    with pytest.raises(openai.BadRequestError, match=r"temperature is 0\.5, expected 0"):
        client.audio.transcriptions.create(model="plant-a/asr", file=("call.wav", RECORDING), temperature=0.5)


def test_keywords_are_hotwords(client: openai.OpenAI) -> None:
    import openai

    options = {"model": "plant-a/asr", "file": ("call.wav", RECORDING)}
    plain = client.audio.transcriptions.create(**options).text
    steered = client.audio.transcriptions.create(**options, keywords=["PQ", "pt"]).text
    assert plain != steered == "pt pt"
    with pytest.raises(openai.BadRequestError, match="has no letter that a transcript keeps"):
        client.audio.transcriptions.create(**options, keywords=["…"])
