"""What a server answers, without HTTP: transcripts, classes and comparisons of recordings by the served versions."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import CancelledError, Future
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from elp_core.audio import Waveform
from elp_core.channels import Channel
from elp_core.class_answer import ClassAnswer
from elp_core.decoding import DecodeConfig
from elp_core.errors import ConfigError
from elp_core.inference import Recogniser, Transcript, VoiceActivityConfig, transcribe
from elp_core.inference.windows import FrameTimes
from elp_core.inference.word_times import LogProbabilities
from elp_core.tasks import Comparing, SpeechRecognition
from elp_core.tasks.classification import ClipClassification
from elp_core.types import SAMPLE_RATE, Seconds
from pipelines.errors import RequestRefused
from pipelines.registry.slot import Slot
from pipelines.request_log.served_request import RequestAnswer
from pipelines.serving.hotwords import written_as_transcripts
from pipelines.serving.http.audio_batcher import AudioBatcher
from pipelines.serving.http.audio_room import AudioRoom
from pipelines.serving.http.decode_pool import DecodePool
from pipelines.serving.http.request_logger import Observation, RequestLogger, RequestNames
from pipelines.serving.http.request_ticket import CLIENT_CLOSED, Ticket
from pipelines.serving.http.resident_hosts import backbone_in
from pipelines.serving.http.served_set import ServedSet, ServedVersion
from pipelines.serving.silent_recordings import require_sound

if TYPE_CHECKING:
    from elp_core.metrics.verification import Match

BEAM = 50
"""Width of the search if a request has hotwords and the slot's settings have no width."""
DecodeSettings = Callable[[Slot], DecodeConfig]


@dataclass(frozen=True)
class Transcribed:
    """A transcript, and the version that wrote it."""

    by: ServedVersion
    transcript: Transcript


@dataclass(frozen=True)
class Classified:
    """The class of a recording, and the version that chose it."""

    by: ServedVersion
    answer: ClassAnswer
    seconds: Seconds


@dataclass(frozen=True)
class Verified:
    """The comparison of a recording with others of one speaker, and the version that compared them."""

    by: ServedVersion
    match: Match
    enrolment: tuple[list[float], ...]
    """Embeddings of the speaker's recordings. They mean nothing to another bundle than that of `by`."""
    test: list[float]


class SpeechService:
    """Answers requests. Every method may be called from many threads; each call waits for its answer.

    Args:
        served: The versions.
        batcher: Computes for all requests.
        decoders: Read the recordings.
        room: Counts the decoded audio of all requests in progress.
        decode: How letters become words, by slot: as `elp predict` does it.
        log: Is given the requests that are logged; None logs none.
    """

    def __init__(
        self,
        served: ServedSet,
        batcher: AudioBatcher,
        decoders: DecodePool,
        room: AudioRoom,
        decode: DecodeSettings | None = None,
        log: RequestLogger | None = None,
    ) -> None:
        self.served, self.batcher, self.decoders, self.room, self._log = served, batcher, decoders, room, log
        self._times: dict[str, FrameTimes] = {}
        self._decode = decode or (lambda _: DecodeConfig())

    def transcribe(
        self,
        slot: Slot,
        recording: bytes | Waveform,
        ticket: Ticket,
        *,
        channel: Channel = "same",
        hotwords: tuple[str, ...] = (),
        languages: tuple[str, ...] = (),
        skip_silence: bool = True,
        names: RequestNames | None = None,
        route: str = "transcriptions",
    ) -> Transcribed:
        """Return what a recording says. All of its windows are computed by one version.

        Raises RequestRefused for another task or language than the slot's, AudioError for the recording.
        """
        with self.served.lease(slot) as by:
            task = by.task
            if not isinstance(task, SpeechRecognition):
                raise other_task(by, "POST /v1/audio/transcriptions", "asr")
            own, name = task.language.code, task.language.name.lower()
            # clients name a region, too, such as en-US, or the language as verbose_json does
            asked = {one.replace("_", "-").partition("-")[0].lower() for one in languages}
            if languages and asked.isdisjoint((own, name)):
                raise RequestRefused(
                    400,
                    "language",
                    f"{slot} writes {task.language.name} ({own}), asked for was {', '.join(languages)}; leave out the "
                    "field language, or send the slot's own",
                )
            how, seen = self._how(slot, task, hotwords), self.observed(slot, route, names)
            times = self._times_of(by)
            with self.decoded([recording], channel, ticket) as (waveform,):
                found = transcribe(
                    waveform,
                    Recogniser(task, times, lambda waveforms: self.outputs(by, waveforms, ticket, seen)),
                    voice_activity=VoiceActivityConfig() if skip_silence else None,
                    decode=how,
                )
            self.logged(seen, by, waveform, RequestAnswer(text=found.text))
        return Transcribed(by, found)

    def classify(
        self,
        slot: Slot,
        recording: bytes | Waveform,
        ticket: Ticket,
        channel: Channel = "same",
        *,
        names: RequestNames | None = None,
        route: str = "classify",
    ) -> Classified:
        """Return the class of a recording with the probabilities of all classes, or that it is none of them.

        Raises RequestRefused for a task without classes, AudioError for the recording.
        """
        with self.served.lease(slot) as by:
            if not isinstance(by.task, ClipClassification):
                raise other_task(by, "POST /v1/classify", "ser or sic")
            seen = self.observed(slot, route, names)
            with self.decoded([recording], channel, ticket) as (waveform,):
                answer = by.task.decide(self.outputs(by, [waveform], ticket, seen)[0])
            self.logged(seen, by, waveform, RequestAnswer(label=answer.label or "", probability=answer.probability))
        return Classified(by, answer, len(waveform) / SAMPLE_RATE)

    def verify(
        self,
        slot: Slot,
        enrolment: Sequence[bytes | Waveform],
        test: bytes | Waveform,
        ticket: Ticket,
        channel: Channel = "same",
        *,
        names: RequestNames | None = None,
    ) -> Verified:
        """Return whether `test` is of the speaker of the recordings `enrolment`; one version embeds and compares them.

        Raises RequestRefused for a task that compares nothing, AudioError for a recording, also a silent one.
        """
        with self.served.lease(slot) as by:
            if not isinstance(by.task, Comparing):
                raise other_task(by, "POST /v1/verify", "asv")
            seen = self.observed(slot, "verify", names)
            with self.decoded((*enrolment, test), channel, ticket) as waveforms:
                require_sound(waveforms, recording_names(len(enrolment)))
                *known, other = self.outputs(by, waveforms, ticket, seen)
            match = replace(self.served.host.compare(by.hosted, known, other), threshold=by.threshold)
            if seen:
                # the recordings of the enrolment are known already
                del seen.outputs[:-1]
            self.logged(seen, by, waveforms[-1], RequestAnswer(score=match.score, accepted=match.accepted))
        return Verified(by, match, tuple(_floats(one) for one in known), _floats(other))

    @contextlib.contextmanager
    def decoded(
        self, recordings: Sequence[bytes | Waveform], channel: Channel, ticket: Ticket
    ) -> Iterator[list[Waveform]]:
        """Give the samples of recordings, if there is room for them next to those of other requests."""
        with self.room.place(ticket):
            waveforms: list[Waveform] = []
            for recording in recordings:
                if isinstance(recording, bytes):
                    waveform = self.decoders.decode(recording, channel, ticket)
                else:
                    waveform = recording
                ticket.require_wanted()
                self.room.hold(ticket, len(waveform))
                waveforms.append(waveform)
            yield waveforms

    def outputs(
        self, by: ServedVersion, waveforms: Sequence[Waveform], ticket: Ticket, seen: Observation | None = None
    ) -> list[LogProbabilities]:
        """Return what a version computes for each waveform, and keep it in `seen`, too.

        Raises RequestRefused (499) if the client has gone.
        """
        pooled = seen is not None
        ticket.require_wanted()
        waiting: list[Future[Any]] = [self.batcher.submit(by.hosted, one, ticket, pooled=pooled) for one in waveforms]
        try:
            found = [one.result() for one in waiting]
        except CancelledError:
            raise RequestRefused(CLIENT_CLOSED, "client_closed", "the client has gone") from None
        self.room.computed(ticket, sum(map(len, waveforms)))
        if seen is None:
            return found
        seen.add(waveforms, found)
        return [one.value for one in found]

    def _times_of(self, by: ServedVersion) -> FrameTimes:
        """Return the frame times of a version's backbone, computed once for each."""
        if by.fingerprint not in self._times:
            self._times[by.fingerprint] = FrameTimes.of(backbone_in(self.served.host, by.hosted))
        return self._times[by.fingerprint]

    def observed(self, slot: Slot, route: str, names: RequestNames | None) -> Observation | None:
        """Return the observation of a request that is among those that are logged; None for any other."""
        return self._log.begin(slot, route, names) if self._log and names else None

    def logged(self, seen: Observation | None, by: ServedVersion, waveform: Waveform, answer: RequestAnswer) -> None:
        """Give an answered request to the log; nothing happens for one that is not observed."""
        if self._log:
            self._log.finish(seen, by, waveform, answer)

    def _how(self, slot: Slot, task: SpeechRecognition, hotwords: tuple[str, ...]) -> DecodeConfig:
        own = self._decode(slot)
        if not hotwords:
            return own
        try:
            return replace(
                own, beam=own.beam or BEAM, hotwords=written_as_transcripts(hotwords, task.language.normalise)
            )
        except ConfigError as error:
            raise RequestRefused(400, "keywords", str(error)) from error


def recording_names(enrolled: int) -> list[str]:
    """Return what the recordings of a comparison are called in an error: those of the speaker, then the other one."""
    return [*(f"recording {number} of the speaker" for number in range(1, enrolled + 1)), "the recording"]


def other_task(by: ServedVersion, route: str, tasks: str) -> RequestRefused:
    """Return the answer for a slot that a route is not for."""
    return RequestRefused(400, "task", f"{route} is for SITE/{tasks.replace(' or ', ' and SITE/')}, got {by.slot}")


def _floats(embedding: Any) -> list[float]:
    values: list[float] = embedding.tolist()
    return values
