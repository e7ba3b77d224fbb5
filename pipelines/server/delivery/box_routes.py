"""The routes below /elp/api/v1/boxes: boxes are invited, enrolled, revoked and listed, and send their reports."""

from __future__ import annotations

from flask import Blueprint, Response, jsonify

from pipelines.server.delivery.box_enrolment import enrol_box, invite_box, revoke_box, take_report
from pipelines.server.request_body import read_body, signed_request_of, text_of
from pipelines.server.storage.box_rows import box_rows
from pipelines.server.stores.registry_store import registry

blueprint = Blueprint("boxes", __name__)
"""A part of the blueprint in `routes`, whose checks and forms of errors hold here, too."""


@blueprint.get("/boxes")
def get_boxes() -> Response:
    """List the boxes with their newest report."""
    with registry().ManagedSessionMaker() as session:
        return jsonify({"boxes": [row.to_json() for row in box_rows(session)]})


@blueprint.post("/boxes/invite")
def post_box_invitation() -> Response:
    """Invite a box: {name, site, token, at, signature?}; the token as its SHA-256."""
    request, signature = signed_request_of(("name", "site", "token", "at"))
    return jsonify(invite_box(registry(), request, signature).to_json())


@blueprint.post("/boxes/enrol")
def post_box_enrolment() -> Response:
    """Enrol a box: {token, pem}. The route is open to all; the token works once."""
    body = read_body(("token", "pem"))
    return jsonify(enrol_box(registry(), text_of(body, "token"), text_of(body, "pem")))


@blueprint.post("/boxes/revoke")
def post_box_revocation() -> Response:
    """End a box: {name, at, signature?}."""
    request, signature = signed_request_of(("name", "at"))
    return jsonify(revoke_box(registry(), request, signature).to_json())


@blueprint.post("/boxes/report")
def post_box_report() -> Response:
    """Take a report: {report}, an envelope. The route is open to all; the box has signed it."""
    return jsonify(take_report(registry(), text_of(read_body(("report",)), "report")).to_json())
