"""The routes about a change of the backbone under /elp/api/v1/backbone, a part of the blueprint in `routes`."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from flask import Blueprint, Response, jsonify, request

from pipelines.registry.delivery.site_set import site_of
from pipelines.registry.ledger.entry import LedgerEntry
from pipelines.registry.ledger.site_moves import champion_moves
from pipelines.registry.slot import Slot
from pipelines.server.read_models.backbone_change import read_backbone_facts
from pipelines.server.request_body import bad_request, caller_of, read_body, reason_of, text_of
from pipelines.server.stores.registry_store import registry
from pipelines.server.stores.write_checks import parse_number
from pipelines.server.transitions.site_migration import NewBackbone, move_site, move_site_back, state_migration

blueprint = Blueprint("elp_backbone", __name__)
_FINGERPRINT = re.compile(r"sha256:[0-9a-f]{64}")
_LONGEST_NAME = 500


@blueprint.get("/backbone/facts")
def get_backbone_facts() -> Response:
    """Answer every champion with its backbone, data and measured training; `backbone`, and `site` once or more."""
    backbone = request.args.get("backbone", "")
    if not backbone:
        raise bad_request("name a backbone or its fingerprint: backbone=NAME")
    with registry().ManagedSessionMaker() as session:
        return jsonify(asdict(read_backbone_facts(session.connection(), backbone, request.args.getlist("site"))))


@blueprint.post("/backbone/statement")
def post_migration_statement() -> Response:
    """State that a site changes to another backbone: {site, backbone, fingerprint, reason?, by?}."""
    body = read_body(("site", "backbone", "fingerprint"), ("reason", "by"))
    entry = state_migration(registry(), _site(body), _backbone(body), caller_of(body), reason_of(body))
    return jsonify({"seq": entry.seq, "by": entry.principal.name, "detail": entry.detail})


@blueprint.post("/backbone/switch")
def post_switch() -> Response:
    """Switch a site: {site, backbone, fingerprint, versions: {SITE/TASK: number}, without?, reason?, again?, by?}."""
    body = read_body(("site", "backbone", "fingerprint", "versions"), ("without", "reason", "again", "by"))
    versions, left = body["versions"], _left_out(body)
    if not isinstance(versions, dict):
        raise bad_request("versions is an object of versions by slot")
    wanted = {Slot.parse(str(slot)): parse_number(number) for slot, number in versions.items()}
    # only JSON's true: the text "false" is truthy
    again, new = body.get("again") is True, _backbone(body)
    by, reason = caller_of(body), reason_of(body)
    return _switched(move_site(registry(), _site(body), new, wanted, left, by, reason, again=again))


@blueprint.post("/backbone/back")
def post_switch_back() -> Response:
    """Bring the champions before the newest switch of a site back: {site, without?, reason?, further?, by?}."""
    body = read_body(("site",), ("without", "reason", "further", "by"))
    # only JSON's true: the text "false" is truthy
    further, left = body.get("further") is True, _left_out(body)
    back = move_site_back(registry(), _site(body), caller_of(body), reason_of(body), without=left, further=further)
    return _switched(back.entry, changed=back.changed, earlier=back.earlier)


def _switched(entry: LedgerEntry, **more: Any) -> Response:
    moves = [{"slot": one.slot, "before": one.before, "after": one.after} for one in champion_moves(entry)]
    known = {"seq": entry.seq, "event": entry.event, "by": entry.principal.name, "site": entry.detail["site"]}
    more = {"backbone": entry.detail.get("backbone", ""), "stayed": entry.detail.get("stayed", []), **more}
    return jsonify({**known, "moves": moves, **more})


def _left_out(body: Mapping[str, Any]) -> list[Slot]:
    without = body.get("without") or []
    if not isinstance(without, list):
        raise bad_request("without is a list of slots")
    return [Slot.parse(str(slot)) for slot in without]


def _site(body: Mapping[str, Any]) -> str:
    return site_of(text_of(body, "site"))


def _backbone(body: Mapping[str, Any]) -> NewBackbone:
    name, fingerprint = text_of(body, "backbone"), text_of(body, "fingerprint")
    if not _FINGERPRINT.fullmatch(fingerprint):
        raise bad_request(f"fingerprint is {fingerprint[:80]!r}, expected sha256: and 64 hexadecimal digits")
    if len(name) > _LONGEST_NAME:
        raise bad_request(f"backbone has {len(name)} characters, expected at most {_LONGEST_NAME}")
    return NewBackbone(name, fingerprint)
