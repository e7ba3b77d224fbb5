"""Enrolled voices over HTTP: the functions of `elp enrol add` and `elp enrol match`, with the served versions."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence

from elp_core.channels import Channel
from elp_core.tasks import Comparing
from pipelines.errors import RequestRefused
from pipelines.registry.slot import Slot
from pipelines.request_log.served_request import RequestAnswer
from pipelines.serving.http.request_logger import Observation, RequestNames
from pipelines.serving.http.request_ticket import Ticket
from pipelines.serving.http.served_set import ServedVersion
from pipelines.serving.http.speech_service import SpeechService, other_task
from pipelines.serving.silent_recordings import require_sound
from pipelines.serving.voices.enrolment import Enrolled, enrol_voice
from pipelines.serving.voices.matching import VoiceMatch, match_voice
from pipelines.serving.voices.verifier import Verifier, require_threshold
from pipelines.serving.voices.voice_place import VoicePlace


class VoiceService:
    """Enrols voices and compares recordings with them. Every method may be called from many threads.

    Args:
        speech: Computes the embeddings.
        place: None for a server without a place for enrolled voices.
    """

    def __init__(self, speech: SpeechService, place: VoicePlace | None) -> None:
        self._speech, self._place = speech, place

    def enrol(
        self,
        slot: Slot,
        name: str,
        recordings: Sequence[bytes],
        ticket: Ticket,
        *,
        consent: str,
        keep_audio: bool,
        channel: Channel,
        by: str,
    ) -> tuple[ServedVersion, Enrolled]:
        """Enrol the speaker of the recordings for the version that answers; errors are those of `enrol_voice`."""
        place = self._required()
        with (
            self._verifier(slot, ticket, "POST /v1/enrol") as (served, verifier),
            self._speech.decoded(recordings, channel, ticket) as waveforms,
        ):
            require_sound(
                waveforms, [f"recording {number} of {len(waveforms)}" for number in range(1, len(waveforms) + 1)]
            )
            done = enrol_voice(
                name,
                waveforms,
                verifier,
                place,
                consent=consent,
                keep_audio=keep_audio,
                by=by,
            )
            return served, done

    def match(
        self, slot: Slot, name: str, recording: bytes, ticket: Ticket, channel: Channel, names: RequestNames
    ) -> tuple[ServedVersion, VoiceMatch]:
        """Compare a recording with an enrolled voice; errors are those of `match_voice`."""
        place, seen = self._required(), self._speech.observed(slot, "verify", names)
        with (
            self._verifier(slot, ticket, "POST /v1/verify", seen) as (served, verifier),
            self._speech.decoded([recording], channel, ticket) as (waveform,),
        ):
            require_sound([waveform], ["the recording"])
            found = match_voice(name, waveform, verifier, place)
            self._speech.logged(seen, served, waveform, RequestAnswer(score=found.score, accepted=found.accepted))
            return served, found

    @contextlib.contextmanager
    def _verifier(
        self, slot: Slot, ticket: Ticket, route: str, seen: Observation | None = None
    ) -> Iterator[tuple[ServedVersion, Verifier]]:
        """Give the present version of a slot as what `elp enrol` loads; its embeddings are computed in batches."""
        speech = self._speech
        with speech.served.lease(slot) as by:
            if not isinstance(by.task, Comparing):
                raise other_task(by, route, "asv")
            yield (
                by,
                Verifier(
                    slot=slot,
                    version=by.version,
                    bundle=by.digest,
                    fingerprint=by.fingerprint,
                    threshold=require_threshold(by.threshold, f"{slot} v{by.version}", slot),
                    embed=lambda waveforms: speech.outputs(by, waveforms, ticket, seen),
                    compare=lambda enrolled, test: speech.served.host.compare(by.hosted, enrolled, test),
                ),
            )

    def _required(self) -> VoicePlace:
        if self._place is None:
            raise RequestRefused(
                400,
                "voice",
                "this server has no place for enrolled voices; send recordings of the speaker as enrolment",
            )
        return self._place
