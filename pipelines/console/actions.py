"""The routes that act: promote, roll back, retire, by the door that the API and MLflow's own pages use."""

from __future__ import annotations

from collections.abc import Mapping

from flask import Response, make_response, redirect, request, url_for
from mlflow.exceptions import MlflowException

from pipelines.console import forgery
from pipelines.console.pages import blueprint, show_slot
from pipelines.guard import door, server, who
from pipelines.guard.body import plain
from pipelines.guard.checks import number
from pipelines.settings import Slot

KINDS = ("promote", "rollback", "retire")
_LONGEST_REASON = 1000


@blueprint.post(f"/slots/<site>/<task>/<any({', '.join(KINDS)}):kind>")
def act(site: str, task: str, kind: str) -> Response:
    """Do what a form of the slot's page asks; a refusal shows the page again with the sentence."""
    slot = Slot(site, task)
    form = {
        "kind": kind,
        **{name: request.form.get(name, "").strip() for name in ("version", "champion", "reason", "by")},
    }
    fault = forgery.fault(request)
    if fault:
        return show_slot(slot, 403, fault, form)
    if not form["reason"] or len(form["reason"]) > _LONGEST_REASON:
        return show_slot(slot, 400, f"a reason of 1 to {_LONGEST_REASON} characters is needed; write one", form)
    if kind == "promote" and not form["version"].isdecimal():
        return show_slot(slot, 400, "no version was chosen; choose one", form)
    try:
        for name in ("reason", "by"):
            plain(name, form[name])
        moved = _ask(slot, kind, form)
    except MlflowException as error:
        return show_slot(slot, error.get_http_status_code(), error.message, form)
    if not moved.changed:
        return show_slot(slot, 409, f"v{moved.version} is the champion already: nothing was changed", form)
    return make_response(redirect(url_for(".slot_page", site=site, task=task, done=moved.seq), 303))


def _ask(slot: Slot, kind: str, form: Mapping[str, str]) -> door.Moved:
    store, caller, reason = server.registry(), who.caller(form["by"]), form["reason"]
    if kind == "promote":
        return door.promote(store, slot, number(form["version"]), caller, reason)
    # the page may be old: what it offered to end is what ends, or nothing
    seen = number(form["champion"])
    if kind == "rollback":
        return door.rollback(store, slot, None, caller, reason, seen=seen)
    return door.retire(store, slot, caller, reason, seen=seen)
