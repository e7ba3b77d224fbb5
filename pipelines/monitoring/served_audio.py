"""The audio that `elp serve` has answered: the clips of a slot's request log, which were measured then."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from pipelines.monitoring.block_scores import ScoredClip
from pipelines.number_text import count, percent
from pipelines.registry.adapter_version import AdapterVersion
from pipelines.registry.signing.canonical_json import moment
from pipelines.registry.slot import Slot
from pipelines.request_log.log_reading import read_requests
from pipelines.request_log.served_request import ServedRequest

if TYPE_CHECKING:
    from elp_core.model import ElpModel

_LONGEST_SESSION = timedelta(days=1)


@dataclass(frozen=True)
class ServedAudio:
    """The requests of a slot that its present champion has answered, if a log of them is kept."""

    state: Path
    """State folder of the workspace."""
    slot: Slot
    log: Callable[[str], None] = print

    def measured(
        self, model: ElpModel, champion: AdapterVersion, unreadable: Callable[[str], None]
    ) -> list[ScoredClip]:
        """Return the logged clips with their session or speaker; others have no block that could be counted."""
        found, others, unnamed, speechless = list[ServedRequest](), 0, 0, 0
        for logged in read_requests(self.state, self.slot):
            record = logged.record
            if record.bundle != champion.bundle_digest:
                others += 1
            elif record.without_speech:
                speechless += 1
            elif not record.block:
                unnamed += 1
            else:
                found.append(record)
        # no score: golden sets have speech in every clip, so there is no reference to rank a share against
        if speechless:
            share = percent(speechless / (speechless + unnamed + len(found)))
            self.log(
                f"{count(speechless, 'request')} without speech ({share}) left out; if many, look at the microphone"
            )
        self.log(f"{count(len(found), 'logged request')} of {champion.name} v{champion.version}")
        if others:
            self.log(f"{count(others, 'request')} of other versions left out")
        if unnamed:
            self.log(f"{count(unnamed, 'request')} without a session or speaker left out")
        return clips_of_requests(found)


def clips_of_requests(requests: Sequence[ServedRequest]) -> list[ScoredClip]:
    """Return the clips of requests by time, each with the day of its block.

    That is the UTC day on which the session began. A session name that is still used, or used again, a day later is
    another session. Of a speaker without a session it is the day of the request.
    """
    began: dict[str, datetime] = {}
    clips = []
    for record in sorted(requests, key=lambda record: record.at):
        at = moment(record.at, f"request {record.id}").astimezone(UTC)
        if record.session:
            first = began.get(record.session)
            at = began[record.session] = at if first is None or at - first >= _LONGEST_SESSION else first
        day = at.date().isoformat()
        clips.append(ScoredClip(record.clip, record.block, record.measurements, record.features_array, day))
    return clips
