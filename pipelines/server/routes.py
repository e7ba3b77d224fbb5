"""The guard's routes under /elp/api/v1. JSON in, JSON out; errors have the form of MLflow's own.

A POST must have ``Content-Type: application/json``: a form on another site cannot send that.
"""

import json
from dataclasses import asdict
from typing import Any

from flask import Blueprint, Response, jsonify, request
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import PERMISSION_DENIED, RESOURCE_DOES_NOT_EXIST
from sqlalchemy.exc import OperationalError
from werkzeug.exceptions import HTTPException

from elp_core.errors import ElpError
from pipelines.registry.holds import HeldSubject
from pipelines.server.auth.principal import login_on
from pipelines.server.backbone_routes import blueprint as backbone_blueprint
from pipelines.server.database_outage import answer_outage
from pipelines.server.delivery.box_routes import blueprint as box_blueprint
from pipelines.server.delivery.delivery_routes import blueprint as delivery_blueprint
from pipelines.server.delivery.serving_routes import blueprint as serving_blueprint
from pipelines.server.holds import end_hold, make_hold, stored_holds
from pipelines.server.overrides import USUAL_DAYS, approve_override, ask_override, withdraw_override
from pipelines.server.read_models.adapter_history import champion_periods, champions_at, registered_adapters
from pipelines.server.read_models.drift import read_drifts
from pipelines.server.read_models.signed_records import (
    FILTERS,
    last_gated,
    ledger_head,
    ledger_rows_after,
    statement_rows,
)
from pipelines.server.request_body import (
    bad_request,
    caller_of,
    days_of,
    plain_text,
    read_body,
    reason_of,
    slot_of,
    text_of,
)
from pipelines.server.storage.override_requests import open_requests
from pipelines.server.stores.registry_store import registry
from pipelines.server.stores.write_checks import parse_number
from pipelines.server.transitions.champion_transition import move_champion, retire_champion, roll_back
from pipelines.server.transitions.record_statement import record_statement
from pipelines.server.voice_routes import blueprint as voice_blueprint
from pipelines.server.worker_routes import blueprint as worker_blueprint

ROUTE = "/elp/api/v1"
_PAGE, _PAGE_LIMIT, _ADAPTERS_LIMIT = 100, 1000, 10_000

blueprint = Blueprint("elp_api", __name__, url_prefix=ROUTE)
blueprint.register_blueprint(worker_blueprint)
blueprint.register_blueprint(delivery_blueprint)
blueprint.register_blueprint(box_blueprint)
blueprint.register_blueprint(serving_blueprint)
blueprint.register_blueprint(voice_blueprint)
blueprint.register_blueprint(backbone_blueprint)


@blueprint.before_request
def refuse_other_sites() -> Response | None:
    """Refuse what a page of another site sends, by the same settings as MLflow's own routes."""
    from mlflow.server.security import get_allowed_origins
    from mlflow.server.security_utils import CORS_BLOCKED_MSG, should_block_cors_request

    origin = request.headers.get("Origin")
    if not should_block_cors_request(origin, request.method, get_allowed_origins()):
        return None
    return mlflow_error(MlflowException(CORS_BLOCKED_MSG, error_code=PERMISSION_DENIED))


@blueprint.before_request
def refuse_control_characters() -> None:
    """Refuse a query parameter with a control character: no name has one, and not every database accepts it."""
    for name, value in request.args.items(multi=True):
        plain_text(f"the parameter {ascii(name)[:40]}", value)


@blueprint.get("/status")
def get_status() -> Response:
    """Answer that the server is guarded, how far the ledger has come, and which keys it trusts."""
    store = registry()
    with store.ManagedSessionMaker() as session:
        head = ledger_head(session)
    trusted = store.trusted_keys().keys
    keys = [{"keyid": key.keyid, "name": key.name, "roles": key.roles, "state": key.state} for key in trusted]
    return jsonify({"guarded": True, "login": login_on(), "ledger": asdict(head), "keys": keys})


@blueprint.post("/statements")
def post_statement() -> Response:
    """Record a signed statement: {model, version, envelope}; the envelope as text or as an object."""
    body = read_body(("model", "version", "envelope"), ("by",))
    envelope = body["envelope"]
    text = envelope if isinstance(envelope, str) else json.dumps(envelope)
    model = plain_text("model", str(body["model"]))
    digest = record_statement(registry(), model, parse_number(body["version"]), text, caller_of(body))
    return jsonify({"digest": digest})


@blueprint.get("/statements")
def get_statements() -> Response:
    """List recorded statements, newest first, by any column in `FILTERS`; `before` and `limit` page."""
    wanted: dict[str, Any] = {name: request.args[name] for name in FILTERS if name in request.args}
    unknown = sorted(set(request.args) - {*FILTERS, "before", "limit"})
    if unknown or not wanted:
        raise bad_request(f"ask for statements by some of {', '.join(FILTERS)}; got {', '.join(unknown) or 'none'}")
    if "version" in wanted:
        wanted["version"] = parse_number(wanted["version"])
    before, limit = (parse_number(request.args[name]) if name in request.args else None for name in ("before", "limit"))
    with registry().ManagedSessionMaker() as session:
        return jsonify({"statements": [row._asdict() for row in statement_rows(session, wanted, before, limit)]})


@blueprint.get("/statements/<digest>")
def get_statement(digest: str) -> Response:
    """Answer one statement by its digest."""
    with registry().ManagedSessionMaker() as session:
        found = statement_rows(session, {"digest": digest})
    if not found:
        raise MlflowException(f"no statement {digest[:64]} is recorded", error_code=RESOURCE_DOES_NOT_EXIST)
    return jsonify(found[0]._asdict())


@blueprint.get("/ledger")
def get_ledger() -> Response:
    """List ledger entries after a number, in their order, of one slot or event or of all."""
    after, limit = (parse_number(request.args.get(*default)) for default in (("after", 0), ("limit", _PAGE)))
    slot, event = request.args.get("slot"), request.args.get("event")
    with registry().ManagedSessionMaker() as session:
        entries = ledger_rows_after(session, slot, event, after, min(limit, _PAGE_LIMIT))
        return jsonify({"entries": entries, "head": asdict(ledger_head(session))})


@blueprint.get("/champions")
def get_champions() -> Response:
    """List the champions of now, or of ``?at=`` (ISO 8601 with its offset), and the slots without one then."""
    with registry().engine.connect() as connection:
        found, without = champions_at(connection, request.args.get("at"), request.args.get("slot", ""))
    return jsonify({"champions": [vars(period) for period in found], "without": without})


@blueprint.get("/champion-periods")
def get_champion_periods() -> Response:
    """List every champion period, of one slot or of all."""
    with registry().engine.connect() as connection:
        found = champion_periods(connection, request.args.get("slot", ""))
    return jsonify({"champion_periods": [vars(period) for period in found]})


@blueprint.get("/adapters")
def get_adapters() -> Response:
    """List every adapter that was ever registered, by slot and fingerprint; `after` and `limit` page."""
    after, limit = (parse_number(request.args.get(*given)) for given in (("after", 0), ("limit", _ADAPTERS_LIMIT)))
    slot, fingerprint = request.args.get("slot", ""), request.args.get("fingerprint", "")
    with registry().engine.connect() as connection:
        found, last = registered_adapters(connection, slot, fingerprint, after, min(limit, _ADAPTERS_LIMIT))
    return jsonify({"adapters": [adapter.to_json() for adapter in found], "last": last})


@blueprint.get("/drifts")
def get_drifts() -> Response:
    """List how much each champion's metric has changed since its promotion, of one slot or of all."""
    with registry().engine.connect() as connection:
        found = read_drifts(connection, request.args.get("slot", ""))
    return jsonify({"drifts": [drift.to_json() for drift in found]})


@blueprint.get("/last-verdicts")
def get_last_verdicts() -> Response:
    """List the newest verdict of each slot that has one."""
    with registry().engine.connect() as connection:
        found = last_gated(connection)
    rows = [
        {"slot": slot, "version": entry.after, "outcome": entry.detail.get("outcome", ""), "at": entry.at}
        for slot, entry in sorted(found.items())
    ]
    return jsonify({"verdicts": rows})


@blueprint.post("/promote")
def post_promote() -> Response:
    """Promote a version: {slot, version, reason?, by?, again?}."""
    body = read_body(("slot", "version"), ("reason", "by", "again"))
    # only JSON's true: the text "false" is truthy
    slot, version, again = slot_of(body), parse_number(body["version"]), body.get("again") is True
    change = move_champion(registry(), slot, version, caller_of(body), reason_of(body), "promote", again=again)
    return jsonify(asdict(change))


@blueprint.post("/rollback")
def post_rollback() -> Response:
    """Roll back: {slot, version?, reason?, by?}; without a version to the champion before."""
    body = read_body(("slot",), ("version", "reason", "by"))
    version = None if body.get("version") is None else parse_number(body["version"])
    return jsonify(asdict(roll_back(registry(), slot_of(body), version, caller_of(body), reason_of(body))))


@blueprint.post("/retire")
def post_retire() -> Response:
    """Leave a slot without a champion: {slot, reason, by?}."""
    body = read_body(("slot", "reason"), ("by",))
    return jsonify(asdict(retire_champion(registry(), slot_of(body), caller_of(body), reason_of(body))))


@blueprint.post("/override")
def post_override() -> Response:
    """Ask for an override: {slot, version, reason, days?}; a second person approves it."""
    body = read_body(("slot", "version", "reason"), ("days",))
    lasting, version = days_of(body, USUAL_DAYS), parse_number(body["version"])
    return jsonify(asdict(ask_override(registry(), slot_of(body), version, reason_of(body), lasting)))


@blueprint.post("/approve")
def post_approve() -> Response:
    """Approve an override as the second person: {slot}."""
    return jsonify(asdict(approve_override(registry(), slot_of(read_body(("slot",))))))


@blueprint.post("/withdraw")
def post_withdraw() -> Response:
    """End an override, or withdraw the request for one: {slot, reason?}."""
    body = read_body(("slot",), ("reason",))
    return jsonify(asdict(withdraw_override(registry(), slot_of(body), reason_of(body))))


@blueprint.get("/overrides")
def get_overrides() -> Response:
    """List the overrides that wait for approval or are in force."""
    with registry().ManagedSessionMaker() as session:
        found = open_requests(session)
    return jsonify({"overrides": [{**asdict(request), "in_force": request.in_force} for request in found]})


@blueprint.post("/hold")
def post_hold() -> Response:
    """Hold a slot, a version or a speaker: {subject, until, reason, by?}."""
    body = read_body(("subject", "until", "reason"), ("by",))
    subject = HeldSubject.parse(text_of(body, "subject"))
    return jsonify(asdict(make_hold(registry(), subject, text_of(body, "until"), reason_of(body), caller_of(body))))


@blueprint.post("/end-hold")
def post_end_hold() -> Response:
    """End a hold before its date: {hold, reason, by?}."""
    body = read_body(("hold", "reason"), ("by",))
    return jsonify(asdict(end_hold(registry(), parse_number(body["hold"]), reason_of(body), caller_of(body))))


@blueprint.get("/holds")
def get_holds() -> Response:
    """List the holds in force."""
    with registry().ManagedSessionMaker() as session:
        found = stored_holds(session)
    return jsonify({"holds": [asdict(hold) for hold in found]})


blueprint.register_error_handler(OperationalError, answer_outage)


@blueprint.errorhandler(MlflowException)
def mlflow_error(error: MlflowException) -> Response:
    """Answer as MLflow answers its own errors."""
    return Response(error.serialize_as_json(), error.get_http_status_code(), mimetype="application/json")


@blueprint.errorhandler(ElpError)
def elp_error(error: ElpError) -> Response:
    """Answer 400: what was sent cannot be read."""
    return mlflow_error(bad_request(str(error)))


@blueprint.errorhandler(HTTPException)
def http_error(error: HTTPException) -> Response:
    """Answer an error of Flask, such as a wrong method, in the same form."""
    values = {"error_code": (error.name or "ERROR").upper().replace(" ", "_"), "message": error.description}
    return Response(json.dumps(values), error.code or 500, mimetype="application/json")
