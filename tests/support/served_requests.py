"""Logged requests, by hand and as a server wrote them."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from pipelines.registry.slot import Slot
from pipelines.request_log.log_file import KeptAudio, stamp
from pipelines.request_log.log_reading import read_requests
from pipelines.request_log.served_request import RequestAnswer, ServedRequest

NOON = datetime(2026, 11, 29, 12, tzinfo=UTC)
ASR = Slot("plant-a", "asr")


def served(number: int, slot: Slot = ASR, at: datetime | None = None, **changes: Any) -> ServedRequest:
    """Return the request of this number: one a minute, with a clip and a confidence of its own."""
    record = ServedRequest(
        id=f"{number:032x}",
        at=stamp(at or NOON + timedelta(minutes=number)),
        slot=slot,
        version=3,
        bundle="sha256:" + "b" * 64,
        fingerprint="f" * 64,
        route="transcriptions",
        session=f"call-{number // 4}",
        speaker="anna" if number % 2 else "béla",
        client="line-4",
        clip=f"{number + 1:064x}",
        seconds=1.5,
        measurements={"confidence": 1 - number / 100, "blank_share": 0.5, "snr_db": 20.0, "seconds": 1.5},
        features=(0.5, -1.25, float(number)),
        answer=RequestAnswer(text=f"water pump {number}"),
    )
    return replace(record, **changes)


def kept(flac: bytes = b"fLaC secret voice", until: datetime = NOON + timedelta(days=7)) -> KeptAudio:
    """Return audio under a consent."""
    return KeptAudio(flac, "agreement 2026-14", stamp(until))


def logged(state: Path, slot: Slot, id_: str) -> ServedRequest:
    """Return the record of a request when the log has it."""
    # this imports torch, which a process that writes requests only has no need of
    from tests.support.speech_server import wait_until

    found: list[ServedRequest] = []

    def there() -> bool:
        found[:] = [one.record for one in read_requests(state, slot) if one.record.id == id_]
        return bool(found)

    wait_until(there)
    return found[0]
