"""The routes about a change of the backbone under /elp/api/v1/backbone."""

from __future__ import annotations

from dataclasses import asdict

from flask import Blueprint, Response, jsonify, request

from pipelines.server.read_models.backbone_change import read_backbone_facts
from pipelines.server.request_body import bad_request
from pipelines.server.stores.registry_store import registry

blueprint = Blueprint("elp_backbone", __name__)


@blueprint.get("/backbone/facts")
def get_backbone_facts() -> Response:
    """Answer every champion with its backbone, data and measured training; `backbone`, and `site` once or more."""
    backbone = request.args.get("backbone", "")
    if not backbone:
        raise bad_request("name a backbone or its fingerprint: backbone=NAME")
    with registry().ManagedSessionMaker() as session:
        return jsonify(asdict(read_backbone_facts(session.connection(), backbone, request.args.getlist("site"))))
