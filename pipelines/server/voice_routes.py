"""The routes below /elp/api/v1 for the templates of enrolled voices."""

from __future__ import annotations

from flask import Blueprint, Response, jsonify, request

from pipelines.registry.slot import Slot
from pipelines.server.request_body import bad_request, caller_of, read_body, reason_of, text_of
from pipelines.server.storage.template_rows import template_rows
from pipelines.server.stores.registry_store import registry
from pipelines.server.voices import delete_voice, store_template

blueprint = Blueprint("voices", __name__)
"""A part of the blueprint in `routes`, whose checks and forms of errors hold here, too."""


@blueprint.get("/templates")
def get_templates() -> Response:
    """List the templates of a slot: ?slot=SITE/asv, and of one person in it: &person=."""
    unknown = sorted(set(request.args) - {"slot", "person"})
    if unknown or "slot" not in request.args:
        raise bad_request(f"ask for templates by slot and person, got {', '.join(unknown) or 'no slot'}")
    slot, person = Slot.parse(request.args["slot"]), request.args.get("person", "")
    with registry().ManagedSessionMaker() as session:
        found = template_rows(session, str(slot), person)
    return jsonify({"templates": [one.to_json() for one in found]})


@blueprint.post("/templates")
def post_template() -> Response:
    """Store a sealed template: {template, by?}."""
    body = read_body(("template",), ("by",))
    template = body["template"]
    if not isinstance(template, dict):
        raise bad_request(f"template: expected an object, got {type(template).__name__}")
    return jsonify(store_template(registry(), template, caller_of(body)).to_json())


@blueprint.post("/templates/revoke")
def post_revocation() -> Response:
    """Revoke an enrolled voice: {voice, reason, by?}."""
    body = read_body(("voice", "reason"), ("by",))
    return jsonify({"templates": delete_voice(registry(), text_of(body, "voice"), reason_of(body), caller_of(body))})
