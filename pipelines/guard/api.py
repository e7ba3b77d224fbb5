"""The guard's routes under /elp/api/v1. JSON in, JSON out; errors look like MLflow's own.

A POST must say ``Content-Type: application/json``: a form on another site cannot.
"""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any
from urllib.parse import urlsplit

from flask import Blueprint, Response, jsonify, request
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import INVALID_PARAMETER_VALUE, PERMISSION_DENIED, RESOURCE_DOES_NOT_EXIST
from mlflow.server.security_utils import get_allowed_origins_from_env, should_block_cors_request
from werkzeug.exceptions import HTTPException

from elp_core.errors import ElpError
from pipelines.attest.ledger import Who
from pipelines.guard import door, queries, server, statements
from pipelines.guard.checks import number
from pipelines.guard.who import caller, login_on
from pipelines.settings import Slot

ROUTE = "/elp/api/v1"
_PAGE, _PAGE_LIMIT = 100, 1000
_LONGEST = 1000
"""Characters of a reason."""

blueprint = Blueprint("elp_api", __name__, url_prefix=ROUTE)


@blueprint.before_request
def refuse_other_sites() -> None:
    """A page of another site does not act here, whatever the browser lets it send; MLflow's routes do the same."""
    origin = request.headers.get("Origin", "")
    same = urlsplit(origin).netloc == request.host
    if origin and not same and should_block_cors_request(origin, request.method, get_allowed_origins_from_env()):
        raise MlflowException(f"{origin[:200]} may not act on this server", error_code=PERMISSION_DENIED)


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
    body = _body({"model", "version", "envelope"}, {"by"})
    envelope = body["envelope"]
    text = envelope if isinstance(envelope, str) else json.dumps(envelope)
    digest = statements.accept(server.registry(), _text(body, "model"), number(body["version"]), text, _who(body))
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
    body = _body({"slot", "version"}, {"reason", "by", "again"})
    moved = door.promote(
        server.registry(),
        _slot(body),
        number(body["version"]),
        _who(body),
        _reason(body),
        again=_flag(body, "again"),
    )
    return jsonify(asdict(moved))


@blueprint.post("/rollback")
def rollback() -> Response:
    """Roll back: {slot, version?, reason?, by?}; without a version to the champion before."""
    body = _body({"slot"}, {"version", "reason", "by"})
    return jsonify(asdict(door.rollback(server.registry(), _slot(body), _version(body), _who(body), _reason(body))))


@blueprint.post("/retire")
def retire() -> Response:
    """Leave a slot without champion: {slot, reason, version?, by?}."""
    body = _body({"slot", "reason"}, {"version", "by"})
    moved = door.retire(server.registry(), _slot(body), _who(body), _reason(body), _version(body))
    return jsonify(asdict(moved))


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


def _body(needed: set[str], more: set[str]) -> Mapping[str, Any]:
    """The request's JSON object.

    Args:
        needed: Fields that it must have.
        more: Fields that it may have besides; any other is refused.

    Raises:
        MlflowException: where it is none, or has other fields.
    """
    if request.mimetype != "application/json":
        raise _wrong(f"expected Content-Type application/json, got {request.mimetype or 'none'}")
    try:
        body = request.get_json(silent=True)
    except RecursionError:
        body = None
    if not isinstance(body, dict):
        raise _wrong("the body is no JSON object")
    missing = sorted(name for name in needed if body.get(name) in (None, ""))
    unknown = sorted(str(name)[:40] for name in body.keys() - needed - more)
    if missing or unknown:
        raise _wrong(f"the body lacks {', '.join(missing) or 'nothing'}; unknown in it: {', '.join(unknown) or 'none'}")
    return body


def _text(body: Mapping[str, Any], name: str) -> str:
    """A field that is text people can read; empty where it is not there."""
    value = body.get(name)
    if value is None:
        return ""
    if not isinstance(value, str) or len(value) > _LONGEST:
        raise _wrong(f"{name} is text of at most {_LONGEST} characters")
    if any(unicodedata.category(letter) in ("Cc", "Cs") and letter not in "\n\r\t" for letter in value):
        raise _wrong(f"{name} has characters that cannot be shown")
    return value.strip()


def _flag(body: Mapping[str, Any], name: str) -> bool:
    value = body.get(name, False)
    if not isinstance(value, bool):
        raise _wrong(f"{name} is true or false")
    return value


def _version(body: Mapping[str, Any]) -> int | None:
    return None if body.get("version") is None else number(body["version"])


def _slot(body: Mapping[str, Any]) -> Slot:
    return Slot.parse(_text(body, "slot"))


def _who(body: Mapping[str, Any]) -> Who:
    return caller(_text(body, "by"))


def _reason(body: Mapping[str, Any]) -> str:
    return _text(body, "reason")


def _wrong(message: str) -> MlflowException:
    return MlflowException(message, error_code=INVALID_PARAMETER_VALUE)
