"""The routes below /elp/api/v1 by which workers are invited, enrolled and revoked, and learn the trusted keys."""

from __future__ import annotations

from flask import Blueprint, Response, jsonify

from pipelines.registry.signing.keys import write_keys
from pipelines.release import installed_release
from pipelines.server.request_body import read_body, signed_request_of, text_of
from pipelines.server.storage.worker_rows import worker_rows
from pipelines.server.stores.registry_store import registry
from pipelines.server.worker_enrolment import end_worker, enrol_worker, invite_worker

RELEASE = installed_release()
"""Of this process: an upgrade in place changes what is installed, and not what runs."""
blueprint = Blueprint("workers", __name__)
"""A part of the blueprint in `routes`, whose checks and forms of errors hold here, too."""


@blueprint.get("/keys")
def get_keys() -> Response:
    """Answer the trusted public keys as `elp keys add` reads them, and the release; workers ask for both."""
    return jsonify({"keys": write_keys(registry().trusted_keys().keys), "release": RELEASE})


@blueprint.get("/workers")
def get_workers() -> Response:
    """List the workers that were invited."""
    with registry().ManagedSessionMaker() as session:
        return jsonify({"workers": [row.to_json() for row in worker_rows(session)]})


@blueprint.post("/workers/invite")
def post_worker_invitation() -> Response:
    """Invite a worker: {name, token, addresses, at, signature?}; the token as its SHA-256."""
    request, signature = signed_request_of(("name", "token", "addresses", "at"))
    return jsonify(invite_worker(registry(), request, signature).to_json())


@blueprint.post("/workers/enrol")
def post_worker_enrolment() -> Response:
    """Enrol a worker: {token, keys}. The route is open to all; the token works once."""
    body = read_body(("token", "keys"))
    return jsonify(enrol_worker(registry(), text_of(body, "token"), text_of(body, "keys")))


@blueprint.post("/workers/revoke")
def post_worker_revocation() -> Response:
    """End a worker: {name, retire, at, signature?}."""
    request, signature = signed_request_of(("name", "retire", "at"))
    return jsonify(end_worker(registry(), request, signature).to_json())
