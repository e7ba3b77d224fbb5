"""The guard's routes under /elp/api/v1. JSON in, JSON out; errors look like MLflow's own.

A POST must say ``Content-Type: application/json``: a form on another site cannot.
"""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any

from flask import Blueprint, Response, jsonify, request
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import PERMISSION_DENIED, RESOURCE_DOES_NOT_EXIST
from werkzeug.exceptions import HTTPException

from elp_core.errors import ElpError
from pipelines.server.auth.principal import login_on
from pipelines.server.overrides import expiry as endings
from pipelines.server.overrides import override as overrides
from pipelines.server.overrides import requests as override_requests
from pipelines.server.read_models.adapter_history import champion_periods, champions_at, registered_adapters
from pipelines.server.read_models.ledger_records import ledger_head, ledger_rows_after
from pipelines.server.read_models.statement_records import FILTERS, statement_rows
from pipelines.server.request_body import days_of, plain, read_body, reason_of, slot_of, who_of, wrong
from pipelines.server.stores import current as server
from pipelines.server.stores.write_checks import number
from pipelines.server.transitions import champion_transition as door
from pipelines.server.transitions import record_statement as statements

ROUTE = "/elp/api/v1"
_PAGE, _PAGE_LIMIT, _ADAPTERS_LIMIT = 100, 1000, 10_000

blueprint = Blueprint("elp_api", __name__, url_prefix=ROUTE)


@blueprint.before_request
def own_site_only() -> Response | None:
    """What a page of another site sends is refused, by the same settings as MLflow's own routes."""
    from mlflow.server.security import get_allowed_origins
    from mlflow.server.security_utils import CORS_BLOCKED_MSG, should_block_cors_request

    origin = request.headers.get("Origin")
    if not should_block_cors_request(origin, request.method, get_allowed_origins()):
        return None
    return mlflow_error(MlflowException(CORS_BLOCKED_MSG, error_code=PERMISSION_DENIED))


@blueprint.before_request
def plain_questions_only() -> None:
    """A control character in a question is no name of anything, and not every database takes it."""
    for name, value in request.args.items(multi=True):
        plain(f"the parameter {ascii(name)[:40]}", value)


@blueprint.get("/status")
def status() -> Response:
    """Whether the guard stands, and how far the ledger has come."""
    store = server.registry()
    with store.ManagedSessionMaker() as session:
        head = ledger_head(session)
    keys = [{"keyid": key.keyid, "name": key.name, "roles": key.roles, "state": key.state} for key in store.ring().keys]
    return jsonify({"guarded": True, "login": login_on(), "ledger": asdict(head), "keys": keys})


@blueprint.post("/statements")
def submit() -> Response:
    """Take in a signed statement: {model, version, envelope}; the envelope as text or as an object."""
    body = read_body(("model", "version", "envelope"), ("by",))
    envelope = body["envelope"]
    text = envelope if isinstance(envelope, str) else json.dumps(envelope)
    model = plain("model", str(body["model"]))
    digest = statements.accept(server.registry(), model, number(body["version"]), text, who_of(body))
    return jsonify({"digest": digest})


@blueprint.get("/statements")
def list_statements() -> Response:
    """Recorded statements, newest first, by any of the columns in `FILTERS`; `before`, `limit` make pages."""
    wanted: dict[str, Any] = {name: request.args[name] for name in FILTERS if name in request.args}
    unknown = sorted(set(request.args) - {*FILTERS, "before", "limit"})
    if unknown or not wanted:
        raise wrong(f"ask for statements by some of {', '.join(FILTERS)}; got {', '.join(unknown) or 'none'}")
    if "version" in wanted:
        wanted["version"] = number(wanted["version"])
    before, limit = (number(request.args[name]) if name in request.args else None for name in ("before", "limit"))
    with server.registry().ManagedSessionMaker() as session:
        return jsonify({"statements": statement_rows(session, wanted, before, limit)})


@blueprint.get("/statements/<digest>")
def show_statement(digest: str) -> Response:
    """One statement by its digest."""
    with server.registry().ManagedSessionMaker() as session:
        found = statement_rows(session, {"digest": digest})
    if not found:
        raise MlflowException(f"no statement {digest[:64]} is recorded", error_code=RESOURCE_DOES_NOT_EXIST)
    return jsonify(found[0])


@blueprint.get("/ledger")
def show_ledger() -> Response:
    """Ledger entries after a number, in their order."""
    after, limit = number(request.args.get("after", 0)), number(request.args.get("limit", _PAGE))
    with server.registry().ManagedSessionMaker() as session:
        found = ledger_rows_after(
            session, request.args.get("slot"), request.args.get("event"), after, min(limit, _PAGE_LIMIT)
        )
        return jsonify({"entries": found, "head": asdict(ledger_head(session))})


@blueprint.get("/champions")
def show_champions() -> Response:
    """Return the champions of now, or at ``?at=`` (ISO 8601 with an offset), and the slots that had none then."""
    with server.registry().engine.connect() as connection:
        found, without = champions_at(connection, request.args.get("at"), request.args.get("slot", ""))
    return jsonify({"champions": [vars(period) for period in found], "without": without})


@blueprint.get("/champion-periods")
def show_champion_periods() -> Response:
    """Return every champion period of one slot (``?slot=``) or of all slots."""
    with server.registry().engine.connect() as connection:
        found = champion_periods(connection, request.args.get("slot", ""))
    return jsonify({"champion_periods": [vars(period) for period in found]})


@blueprint.get("/adapters")
def show_adapters() -> Response:
    """Return every adapter that was ever registered, by slot and fingerprint; `after` and `limit` make pages."""
    after, limit = number(request.args.get("after", 0)), number(request.args.get("limit", _ADAPTERS_LIMIT))
    slot, fingerprint = request.args.get("slot", ""), request.args.get("fingerprint", "")
    with server.registry().engine.connect() as connection:
        found, last = registered_adapters(connection, slot, fingerprint, after, min(limit, _ADAPTERS_LIMIT))
    return jsonify({"adapters": [vars(adapter) for adapter in found], "last": last})


@blueprint.post("/promote")
def promote() -> Response:
    """Promote a version: {slot, version, reason?, by?, again?}."""
    body = read_body(("slot", "version"), ("reason", "by", "again"))
    moved = door.promote(
        server.registry(),
        slot_of(body),
        number(body["version"]),
        who_of(body),
        reason_of(body),
        again=body.get("again") is True,
    )
    return jsonify(asdict(moved))


@blueprint.post("/rollback")
def rollback() -> Response:
    """Roll back: {slot, version?, reason?, by?}; without a version to the champion before."""
    body = read_body(("slot",), ("version", "reason", "by"))
    version = None if body.get("version") is None else number(body["version"])
    return jsonify(asdict(door.rollback(server.registry(), slot_of(body), version, who_of(body), reason_of(body))))


@blueprint.post("/retire")
def retire() -> Response:
    """Leave a slot without champion: {slot, reason, by?}."""
    body = read_body(("slot", "reason"), ("by",))
    return jsonify(asdict(door.retire(server.registry(), slot_of(body), who_of(body), reason_of(body))))


@blueprint.post("/override")
def ask_override() -> Response:
    """Ask for an override: {slot, version, reason, days?}; a second person approves."""
    body = read_body(("slot", "version", "reason"), ("days",))
    lasting = days_of(body, overrides.USUAL_DAYS)
    asked = overrides.ask(server.registry(), slot_of(body), number(body["version"]), reason_of(body), lasting)
    return jsonify(asdict(asked))


@blueprint.post("/approve")
def approve_override() -> Response:
    """The second person's word: {slot}."""
    return jsonify(asdict(overrides.approve(server.registry(), slot_of(read_body(("slot",))))))


@blueprint.post("/withdraw")
def withdraw_override() -> Response:
    """End an override, or the wish for one: {slot, reason?}."""
    body = read_body(("slot",), ("reason",))
    return jsonify(asdict(endings.withdraw(server.registry(), slot_of(body), reason_of(body))))


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
    return mlflow_error(wrong(str(error)))


@blueprint.errorhandler(HTTPException)
def http_error(error: HTTPException) -> Response:
    """Such as a wrong method, in the same form."""
    told = {"error_code": (error.name or "ERROR").upper().replace(" ", "_"), "message": error.description}
    return Response(json.dumps(told), error.code or 500, mimetype="application/json")
