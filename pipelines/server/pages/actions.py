"""The routes of the forms. They use the same champion transition as the API and MLflow's own pages."""

from collections.abc import Mapping
from datetime import timedelta

from flask import Response, make_response, redirect, request, url_for
from mlflow.exceptions import MlflowException

from pipelines.registry.ledger.entry import MOVES
from pipelines.registry.slot import Slot
from pipelines.server.auth.principal import current_caller
from pipelines.server.overrides import approve_override, ask_override, withdraw_override
from pipelines.server.pages.browser_security import csrf_fault
from pipelines.server.pages.page_language import page_texts
from pipelines.server.pages.views import REQUESTS, blueprint, show_slot
from pipelines.server.read_models.signed_records import slot_entries
from pipelines.server.request_body import LONGEST_REASON, plain_text
from pipelines.server.stores.registry_store import registry
from pipelines.server.stores.write_checks import parse_number
from pipelines.server.transitions.champion_transition import move_champion, retire_champion, roll_back
from pipelines.texts.english_records import in_english
from pipelines.texts.message_catalogue import Texts

KINDS = ("promote", "rollback", "retire", "override", "approve", "withdraw")
_FIELDS = ("version", "champion", "request", "days", "again", "reason", "by")
_DIGITS = 5
"""Digits of a number of days, at most."""


@blueprint.post(f"/slots/<site>/<task>/<any({', '.join(KINDS)}):kind>")
def act(site: str, task: str, kind: str) -> Response:
    """Execute a form of the slot's page. After a refusal, the page is shown again with the sentence."""
    slot, said = Slot(site, task), page_texts(request)
    form = {"kind": kind, **{name: request.form.get(name, "").strip() for name in _FIELDS}}
    if fault := csrf_fault(request, said):
        return show_slot(slot, 403, fault, form)
    if fault := _incomplete(said, form):
        return show_slot(slot, 400, fault, form)
    try:
        for name in ("reason", "by"):
            plain_text(name, form[name])
        entry = _execute(slot, form)
    except MlflowException as error:
        return show_slot(slot, error.get_http_status_code(), in_english(said, error.message), form)
    if not entry:
        return show_slot(slot, 409, said.say("this version is the champion already: nothing was changed"), form)
    # 303, so that reloading the next page does not send the form again
    return make_response(redirect(url_for(".slot_page", site=site, task=task, done=entry), 303))


def _incomplete(said: Texts, form: Mapping[str, str]) -> str:
    """Return what is missing in the form, in a sentence; empty if it is complete."""
    kind, reason = form["kind"], form["reason"]
    # an approval repeats the reason of the request
    if kind != "approve" and not 0 < len(reason) <= LONGEST_REASON:
        return said.say("a reason of 1 to %(most)s characters is needed; write one", most=LONGEST_REASON)
    if kind in ("promote", "override") and not form["version"].isdecimal():
        return said.say("no version was chosen; choose one")
    days = form["days"]
    if kind == "override" and not (days.isascii() and days.isdecimal() and len(days) <= _DIGITS):
        return said.say("say for how many days, as a whole number")
    return ""


def _execute(slot: Slot, form: Mapping[str, str]) -> int:
    """Do what a complete form says; return the number of the ledger entry, 0 if nothing was changed."""
    store, kind, reason = registry(), form["kind"], form["reason"]
    # the page may be old: only the champion or the request that it showed is ended
    if kind == "promote":
        version, principal, again = parse_number(form["version"]), current_caller(form["by"]), form["again"] == "yes"
        return move_champion(store, slot, version, principal, reason, "promote", again=again).seq
    if kind == "rollback":
        seen = parse_number(form["champion"])
        return roll_back(store, slot, None, current_caller(form["by"]), reason, seen=seen).seq
    if kind == "retire":
        return retire_champion(store, slot, current_caller(form["by"]), reason, seen=parse_number(form["champion"])).seq
    if kind == "override":
        ask_override(store, slot, parse_number(form["version"]), reason, timedelta(days=int(form["days"])))
    elif kind == "approve":
        approve_override(store, slot, seen=parse_number(form["request"]))
    else:
        withdraw_override(store, slot, reason, seen=parse_number(form["request"]))
    with store.engine.connect() as connection:
        return slot_entries(connection, slot, (*MOVES, *REQUESTS), limit=1)[0].seq
