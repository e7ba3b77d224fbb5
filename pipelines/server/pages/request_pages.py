"""The pages about what `elp serve` has answered: a slot's logged requests, and one of them with its sound and fate.

The log is that of the workspace of this server. What another host has served is there after `elp requests import`.
"""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from flask import Response, abort, make_response, redirect, request, url_for

from elp_core.errors import ElpError
from pipelines.registry.names import normal_name
from pipelines.registry.slot import Slot
from pipelines.request_log.log_file import KeptAudio, opened_log, stamp
from pipelines.request_log.log_reading import LoggedRequest, RequestFilter, find_audio, find_request, request_page
from pipelines.request_log.request_corrections import RequestCorrection, find_correction, put_correction
from pipelines.request_log.served_request import ServedRequest
from pipelines.server.auth.principal import TRAIN, authorize, current_caller
from pipelines.server.pages.browser_security import csrf_fault
from pipelines.server.pages.data_access import data_root, open_data, read_slot, request_log
from pipelines.server.pages.data_page import Pager
from pipelines.server.pages.page_language import page_texts
from pipelines.server.pages.rendering import render_page
from pipelines.server.pages.sounds import sound_response
from pipelines.server.pages.views import asked_number, blueprint
from pipelines.server.refusal import Attempt
from pipelines.texts.english_records import in_english
from pipelines.texts.message_catalogue import Texts

_SHOWN = 50
"""Requests on one page."""
_LONGEST = 5000
"""Characters of a corrected transcript."""
_ID = "<string(length=32):identity>"
_FIELDS = ("text", "label", "speaker", "by")


@dataclass(frozen=True)
class RequestPage:
    """What is known of one logged request."""

    logged: LoggedRequest
    audio: KeptAudio | None
    correction: RequestCorrection | None
    classes: tuple[str, ...]
    """Labels of the slot's newest dataset version, for a task with classes."""


@blueprint.get("/requests/<site>/<task>")
def requests_page(site: str, task: str) -> Response:
    """List the logged requests of a slot: the newest, or those with the lowest confidence."""
    slot, fault = read_slot(site, task), ""
    query = {name: request.args.get(name, "")[:40].strip() for name in ("since", "until", "below", "order")}
    try:
        wanted = _filter(page_texts(request), query)
    except ValueError as error:
        wanted, fault = RequestFilter(), str(error)
    first, total, rows = asked_number("first"), 0, list[LoggedRequest]()
    with _opened(slot) as db:
        if db:
            total, rows = request_page(db, wanted, first, _SHOWN)
            sounds = {one.record.id for one in rows if find_audio(db, one.record.id)}
            corrected = {one.record.id: found for one in rows if (found := find_correction(db, one.record.id))}
        else:
            sounds, corrected = set(), {}
    return render_page(
        "requests.html",
        status=400 if fault else 200,
        slot=slot,
        rows=rows,
        sounds=sounds,
        corrected=corrected,
        query=query,
        fault=fault,
        pager=Pager(first, len(rows), total, {name: value for name, value in query.items() if value}),
    )


@blueprint.get(f"/requests/<site>/<task>/{_ID}")
def logged_request(site: str, task: str, identity: str) -> Response:
    """Show one logged request."""
    return _show(read_slot(site, task), identity)


@blueprint.get(f"/requests/<site>/<task>/{_ID}/sound")
def request_sound(site: str, task: str, identity: str) -> Response:
    """Answer the sound of a logged request, if it was kept."""
    slot = read_slot(site, task)
    with _opened(slot) as db:
        audio = find_audio(db, identity) if db else None
    from pipelines.datasets.clip_sound import sound_wav

    return sound_response(sound_wav(audio.flac) if audio else None)


@blueprint.post(f"/requests/<site>/<task>/{_ID}/<any(correct, take):kind>")
def act_on_request(site: str, task: str, identity: str, kind: str) -> Response:
    """Keep a correction; with `take`, put the request into the inbox of its slot, too."""
    slot = read_slot(site, task)
    authorize(TRAIN, Attempt("correct a logged request", slot.model_name))
    form, texts = {name: request.form.get(name, "").strip() for name in _FIELDS}, page_texts(request)
    if fault := csrf_fault(request, texts):
        return _show(slot, identity, 403, fault, form)
    if fault := _fault(texts, form, slot):
        return _show(slot, identity, 400, fault, form)
    with _opened(slot) as db:
        found = find_request(db, identity) if db else None
        if db is None or found is None:
            abort(404)
        now, before = stamp(datetime.now(UTC)), find_correction(db, identity)
        caller = current_caller(form["by"]).name
        words = {"text": form["text"], "label": form["label"], "speaker": normal_name(form["speaker"])}
        said = replace(before or RequestCorrection(), **words, by=caller, at=now)
        if kind == "take":
            audio = find_audio(db, identity)
            if audio is None:
                fault = texts.say("its audio was not kept or its time is over, so it cannot go into a dataset version")
                return _show(slot, identity, 409, fault, form)
            try:
                said = replace(said, delivery=_delivered(found, said, audio), taken_by=caller, taken_at=now)
            except ElpError as error:
                return _show(slot, identity, 409, in_english(texts, str(error)), form)
        put_correction(db, identity, said)
    # 303, so that reloading the next page does not send the form again
    return make_response(redirect(url_for(".logged_request", site=site, task=task, identity=identity, done=kind), 303))


def _delivered(found: LoggedRequest, said: RequestCorrection, audio: KeptAudio) -> str:
    from pipelines.inbox.request_delivery import deliver_request

    return deliver_request(data_root() or abort(404), found.record, said, audio)


def _show(
    slot: Slot, identity: str, status: int = 200, refused: str = "", form: dict[str, str] | None = None
) -> Response:
    with _opened(slot) as db:
        found = find_request(db, identity) if db else None
        if db is None or found is None:
            abort(404)
        page = RequestPage(found, find_audio(db, identity), find_correction(db, identity), _classes(slot))
    said, record = page.correction, page.logged.record
    values = {
        "text": said.text if said else record.answer.text,
        "label": said.label if said else record.answer.label,
        "speaker": said.speaker if said else record.speaker,
        "by": "",
    }
    return render_page(
        "request.html",
        status=status,
        slot=slot,
        page=page,
        record=record,
        form={**values, **(form or {})},
        refused=refused,
        done=request.args.get("done", "") if not refused else "",
        delivery=_delivery(slot, said.delivery) if said and said.delivery else None,
        known=_known(slot, record),
    )


def _delivery(slot: Slot, name: str) -> Any:
    """Return what became of a delivery; a sentence if that is not known."""
    from pipelines.inbox.request_delivery import DeliveryState, delivery_state

    try:
        return delivery_state(data_root() or abort(404), slot, name)
    except ElpError as error:
        return DeliveryState("gone", str(error))


def _known(slot: Slot, record: ServedRequest) -> str:
    """Return where the sound is in the slot's data: ``clip``, why it is in quarantine, or nothing."""
    data = open_data(slot)
    if data is None:
        return ""
    if data.history(record.clip) is not None:
        return "clip"
    own = (one for one in data.quarantine if Path(one.path).name == f"{record.id}.flac")
    return next((f"{one.reason.replace('_', ' ')}: {one.detail}" for one in own), "")


def _classes(slot: Slot) -> tuple[str, ...]:
    data = open_data(slot) if slot.task in ("ser", "sic") else None
    return tuple(sorted(line.name for line in data.clips.figures.labels)) if data else ()


def _fault(said: Texts, form: dict[str, str], slot: Slot) -> str:
    """Return what is wrong with a form, in a sentence; empty if it is right."""
    wanted = {"asr": "text", "asv": "speaker"}.get(slot.task, "label")
    if not form[wanted]:
        return {
            "text": said.say("the transcript is missing; write what is right"),
            "speaker": said.say("the speaker is missing; write what is right"),
            "label": said.say("the label is missing; write what is right"),
        }[wanted]
    for name, longest in (("text", _LONGEST), ("label", 200), ("speaker", 200), ("by", 200)):
        if len(form[name]) > longest or not form[name].replace("\n", " ").replace("\r", " ").isprintable():
            return said.say(
                "%(name)s is longer than %(longest)s characters or has unprintable ones", name=name, longest=longest
            )
    return ""


def _filter(said: Texts, query: dict[str, str]) -> RequestFilter:
    """Return the filter of an address; raises ValueError, with a sentence, for what is none."""
    below = None
    if query["below"]:
        try:
            below = float(query["below"])
        except ValueError:
            raise ValueError(_no_confidence(said, query["below"])) from None
        if not 0 <= below <= 1:
            raise ValueError(_no_confidence(said, query["below"]))
    times = {name: _moment(said, query[name]) for name in ("since", "until")}
    return RequestFilter(times["since"], times["until"], below, query["order"] == "confidence")


def _no_confidence(said: Texts, text: str) -> str:
    return said.say("%(text)s is no confidence; write a number from 0 to 1", text=repr(text))


def _moment(said: Texts, text: str) -> str:
    if not text:
        return ""
    try:
        found = datetime.fromisoformat(text)
        return stamp(found if found.tzinfo else found.replace(tzinfo=UTC))
    except (ValueError, OverflowError):
        # in UTC, a moment of the first or the last year may have no year
        example = "2026-11-29T14:30"
        fault = said.say("%(text)s is no moment; write one such as %(example)s (UTC)", text=repr(text), example=example)
        raise ValueError(fault) from None


@contextlib.contextmanager
def _opened(slot: Slot) -> Iterator[sqlite3.Connection | None]:
    """Give the log of a slot; None if this server knows none."""
    path = request_log(slot)
    if path is None:
        yield None
        return
    with opened_log(path) as db:
        yield db
