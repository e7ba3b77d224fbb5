"""The guard's routes under /elp/api/v1. JSON in, JSON out; errors look like MLflow's own.

A POST must say ``Content-Type: application/json``: a form on another site cannot.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from datetime import timedelta
from typing import Any

from flask import Blueprint, Response, jsonify, request
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import INVALID_PARAMETER_VALUE, RESOURCE_DOES_NOT_EXIST
from werkzeug.exceptions import HTTPException

from elp_core.errors import ElpError
from pipelines.guard import door, endings, override_requests, overrides, queries, server, statements
from pipelines.guard.checks import number
from pipelines.guard.who import caller, login_on
from pipelines.settings import Slot

ROUTE = "/elp/api/v1"
_PAGE, _PAGE_LIMIT = 100, 1000
_LONGEST = 1000
"""Characters of a reason."""
_DAYS, _MOST_DAYS = 7, 100_000
"""How long an override lasts where nothing is said; what is no number of days at all."""

blueprint = Blueprint("elp_api", __name__, url_prefix=ROUTE)


@blueprint.get("/status")
def status() -> Response:
    """Whether the guard stands, and how far the ledger has come."""
    store = server.registry()
    with store.ManagedSessionMaker() as session:
        head = queries.head(session)
    keys = [{"keyid": key.keyid, "name": key.name, "roles": key.roles, "state": key.state} for key in store.ring().keys]
    return jsonify({"guarded": True, "login": login_on(), "ledger": asdict(head), "keys": keys})


@blueprint.post("/statements")
def submit() -> Response:
    """Take in a signed statement: {model, version, envelope}; the envelope as text or as an object."""
    body = _body("model", "version", "envelope")
    envelope = body["envelope"]
    text = envelope if isinstance(envelope, str) else json.dumps(envelope)
    digest = statements.accept(server.registry(), str(body["model"]), number(body["version"]), text, _who(body))
    return jsonify({"digest": digest})


@blueprint.get("/statements")
def list_statements() -> Response:
    """Recorded statements, newest first, by any of the columns in `queries.FILTERS`."""
    wanted: dict[str, Any] = {name: request.args[name] for name in queries.FILTERS if name in request.args}
    unknown = sorted(set(request.args) - set(queries.FILTERS))
    if unknown or not wanted:
        raise _wrong(f"ask for statements by some of {', '.join(queries.FILTERS)}; got {', '.join(unknown) or 'none'}")
    if "version" in wanted:
        wanted["version"] = number(wanted["version"])
    with server.registry().ManagedSessionMaker() as session:
        return jsonify({"statements": queries.statements(session, wanted)})


@blueprint.get("/statements/<digest>")
def show_statement(digest: str) -> Response:
    """One statement by its digest."""
    with server.registry().ManagedSessionMaker() as session:
        found = queries.statements(session, {"digest": digest})
    if not found:
        raise MlflowException(f"no statement {digest[:64]} is recorded", error_code=RESOURCE_DOES_NOT_EXIST)
    return jsonify(found[0])


@blueprint.get("/ledger")
def show_ledger() -> Response:
    """Ledger entries after a number, in their order."""
    after, limit = number(request.args.get("after", 0)), number(request.args.get("limit", _PAGE))
    with server.registry().ManagedSessionMaker() as session:
        found = queries.ledger(
            session, request.args.get("slot"), request.args.get("event"), after, min(limit, _PAGE_LIMIT)
        )
        return jsonify({"entries": found, "head": asdict(queries.head(session))})


@blueprint.get("/champions")
def show_champions() -> Response:
    """Who is champion, or was at ``?at=`` (ISO 8601 with its offset)."""
    with server.registry().ManagedSessionMaker() as session:
        return jsonify({"champions": queries.champions(session, request.args.get("at"))})


@blueprint.post("/promote")
def promote() -> Response:
    """Promote a version: {slot, version, reason?, by?, again?}."""
    body = _body("slot", "version")
    moved = door.promote(
        server.registry(),
        _slot(body),
        number(body["version"]),
        _who(body),
        _reason(body),
        again=body.get("again") is True,
    )
    return jsonify(asdict(moved))


@blueprint.post("/rollback")
def rollback() -> Response:
    """Roll back: {slot, version?, reason?, by?}; without a version to the champion before."""
    body = _body("slot")
    version = None if body.get("version") is None else number(body["version"])
    return jsonify(asdict(door.rollback(server.registry(), _slot(body), version, _who(body), _reason(body))))


@blueprint.post("/retire")
def retire() -> Response:
    """Leave a slot without champion: {slot, reason, by?}."""
    body = _body("slot", "reason")
    return jsonify(asdict(door.retire(server.registry(), _slot(body), _who(body), _reason(body))))


@blueprint.post("/override")
def ask_override() -> Response:
    """Ask for an override: {slot, version, reason, days?}; a second person approves."""
    body = _body("slot", "version", "reason")
    lasting = _days(body.get("days", _DAYS))
    asked = overrides.ask(server.registry(), _slot(body), number(body["version"]), _reason(body), lasting)
    return jsonify(asdict(asked))


@blueprint.post("/approve")
def approve_override() -> Response:
    """The second person's word: {slot}."""
    return jsonify(asdict(overrides.approve(server.registry(), _slot(_body("slot")))))


@blueprint.post("/withdraw")
def withdraw_override() -> Response:
    """End an override, or the wish for one: {slot, reason?}."""
    body = _body("slot")
    return jsonify(asdict(endings.withdraw(server.registry(), _slot(body), _reason(body))))


@blueprint.get("/overrides")
def list_overrides() -> Response:
    """Overrides that wait for approval or are in force."""
    with server.registry().ManagedSessionMaker() as session:
        found = override_requests.open_requests(session)
    return jsonify({"overrides": [{**asdict(request), "in_force": request.in_force} for request in found]})


@blueprint.errorhandler(MlflowException)
def mlflow_error(error: MlflowException) -> Response:
    """As MLflow answers its own errors."""
    return Response(error.serialize_as_json(), error.get_http_status_code(), mimetype="application/json")


@blueprint.errorhandler(ElpError)
def our_error(error: ElpError) -> Response:
    """What was sent cannot be read."""
    return mlflow_error(_wrong(str(error)))


@blueprint.errorhandler(HTTPException)
def http_error(error: HTTPException) -> Response:
    """Such as a wrong method, in the same form."""
    told = {"error_code": (error.name or "ERROR").upper().replace(" ", "_"), "message": error.description}
    return Response(json.dumps(told), error.code or 500, mimetype="application/json")


def _body(*needed: str) -> Mapping[str, Any]:
    """The request's JSON object, with the fields that are needed.

    Raises:
        MlflowException: where it is none.
    """
    if request.mimetype != "application/json":
        raise _wrong(f"expected Content-Type application/json, got {request.mimetype or 'none'}")
    body = request.get_json(silent=True)
    if not isinstance(body, dict):
        raise _wrong("the body is no JSON object")
    missing = [name for name in needed if body.get(name) in (None, "")]
    if missing:
        raise _wrong(f"the body lacks {', '.join(missing)}")
    return body


def _slot(body: Mapping[str, Any]) -> Slot:
    return Slot.parse(str(body["slot"]))


def _who(body: Mapping[str, Any]) -> Any:
    return caller(str(body.get("by") or ""))


def _reason(body: Mapping[str, Any]) -> str:
    reason = str(body.get("reason") or "").strip()
    if len(reason) > _LONGEST:
        raise _wrong(f"the reason has {len(reason)} characters, expected at most {_LONGEST}")
    return reason


def _days(value: Any) -> timedelta:
    if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) < _MOST_DAYS:
        raise _wrong(f"days: expected a number, got {str(value)[:40]!r}")
    return timedelta(days=value)


def _wrong(message: str) -> MlflowException:
    return MlflowException(message, error_code=INVALID_PARAMETER_VALUE)
