"""Requests as lines of JSON, so that a person can take them from the serving host to the control host.

A line is a record, its features, and its audio with the consent and the time at which it is removed, which stays the
same on the other host. The last line is the number of the others: a file that was cut is not taken for a whole one.
"""

from __future__ import annotations

import base64
import json
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from elp_core.audio import clip_id, load
from elp_core.errors import AudioError
from pipelines.errors import AttestationError, UsageError
from pipelines.number_text import count
from pipelines.registry.plain_json import shape_fault
from pipelines.registry.signing.canonical_json import moment
from pipelines.registry.slot import Slot
from pipelines.request_log.log_file import KeptAudio, add_requests, log_transaction, stamp
from pipelines.request_log.log_reading import LoggedRequest, find_audio
from pipelines.request_log.served_request import ServedRequest, features_bytes, parse_served, served_json

_TOGETHER = 100
_END = "requests"


def exported_lines(db: sqlite3.Connection, requests: Sequence[LoggedRequest]) -> Iterator[str]:
    """Yield the line of each request, then the last line."""
    for one in requests:
        audio = find_audio(db, one.record.id)
        values: dict[str, Any] = {
            "record": json.loads(served_json(one.record)),
            "features": base64.b64encode(features_bytes(one.record.features)).decode(),
        }
        if audio:
            flac = base64.b64encode(audio.flac).decode()
            values["audio"] = {"flac": flac, "consent": audio.consent, "until": audio.until}
        yield json.dumps(values, ensure_ascii=False, sort_keys=True)
    yield json.dumps({_END: len(requests)})


def import_lines(db: sqlite3.Connection, slot: Slot, lines: Iterable[bytes]) -> tuple[int, int]:
    """Add the requests of lines in UTF-8 to the log of a slot; return how many were new, and how many there were.

    Audio whose time is over is left out. Raises UsageError, with the number of the line, for what is no line of an
    export, is of another slot, or has another sound than its record names, and for lines without their end; then
    nothing is added.
    """
    new, read, whole, waiting = 0, 0, False, list[tuple[ServedRequest, KeptAudio | None]]()
    with log_transaction(db):
        for number, line in enumerate(lines, 1):
            values = _values(line, number)
            if whole := values == {_END: read}:
                continue
            waiting.append(_read_request(values, slot, number))
            read += 1
            if len(waiting) == _TOGETHER:
                new += add_requests(db, waiting)
                waiting = []
        new += add_requests(db, waiting)
        if not whole:
            raise UsageError(
                f"the file ends after {count(read, 'request')} without its last line, so others may be missing; copy "
                "it again, or write it again with elp requests export"
            )
    return new, read


def _values(line: bytes, number: int) -> dict[str, Any]:
    try:
        values = json.loads(line.decode())
        if not isinstance(values, dict):
            raise TypeError
    except (ValueError, RecursionError, TypeError) as error:
        raise _no_line(number, shape_fault(error)) from error
    return values


def _no_line(number: int, fault: object) -> UsageError:
    return UsageError(f"line {number} is no line of elp requests export: {fault}")


def _read_request(values: dict[str, Any], slot: Slot, number: int) -> tuple[ServedRequest, KeptAudio | None]:
    try:
        record = parse_served(json.dumps(values["record"]), base64.b64decode(values["features"], validate=True))
        record = replace(record, at=stamp(moment(record.at, "request")))
        audio = _read_audio(values["audio"], record) if "audio" in values else None
    except (AttestationError, AudioError) as error:
        raise _no_line(number, error) from error
    except (ValueError, KeyError, TypeError) as error:
        raise _no_line(number, shape_fault(error)) from error
    if record.slot != slot:
        raise UsageError(f"line {number} is a request of {record.slot}, expected {slot}; import it there")
    return record, audio


def _read_audio(values: dict[str, Any], record: ServedRequest) -> KeptAudio | None:
    flac, until = base64.b64decode(values["flac"], validate=True), stamp(moment(values["until"], "audio"))
    audio = KeptAudio(flac, str(values["consent"]), until)
    if not audio.consent.strip():
        raise ValueError("its audio has no consent")
    if audio.until <= stamp(datetime.now(UTC)):
        return None
    if clip_id(load(audio.flac)) != record.clip:
        raise ValueError("its audio is another sound than its record names")
    return audio
