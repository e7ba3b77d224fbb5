"""The routes of retention under /elp/api/v1, on the blueprint of `routes`: what is stored, the trash, deleted data."""

import json
import os
import re
from collections.abc import Mapping
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from typing import Any

from flask import Response, jsonify, request

from pipelines.registry.retention import POLICY_VARIABLE, RetentionPolicy
from pipelines.registry.slot import Slot
from pipelines.server.auth.principal import ADMINISTER, authorize
from pipelines.server.holds import stored_holds
from pipelines.server.refusal import Attempt
from pipelines.server.removal.adapter_trash import (
    WantedAdapter,
    empty_trash,
    read_trash,
    restore_adapters,
    restore_by_keys,
    trash_adapters,
    trash_json,
)
from pipelines.server.removal.stored_adapters import datasets_in_use, stored_adapters
from pipelines.server.removal.unregistered_runs import find_unregistered, sweep_unregistered
from pipelines.server.request_body import bad_request, caller_of, read_body, slot_of, text_of
from pipelines.server.routes import blueprint as blueprint
from pipelines.server.storage.artifact_bytes import stored_sizes
from pipelines.server.stores.registry_store import registry
from pipelines.server.stores.write_checks import parse_number

MOST_FILES = 10_000
"""Data files in one entry of the ledger, which is 1 MiB at most."""
_TRAINING = timedelta(days=1)
"""How long a run that has not ended counts as a training, at least."""
_MD5 = re.compile(r"[0-9a-f]{32}(\.dir)?")
_KINDS = ("data deleted", "restored", "trash emptied")


def server_policy() -> RetentionPolicy:
    """Return the policy that this server was started with: no client gets a shorter grace."""
    text = os.environ.get(POLICY_VARIABLE, "")
    return RetentionPolicy(**json.loads(text)) if text else RetentionPolicy()


@blueprint.get("/retention")
def get_retention() -> Response:
    """List every version with what keeps it, the trash, the holds, and the datasets that trainings read now."""
    policy, slot = server_policy(), request.args.get("slot", "")
    # the sizes take the longest, and a caller may not need them
    sizes = stored_sizes() if request.args.get("sizes") == "true" else {}
    with registry().ManagedSessionMaker() as session:
        connection = session.connection()
        found: dict[str, Any] = {
            "adapters": [one.to_json() for one in stored_adapters(connection, slot, sizes)],
            "trash": trash_json(read_trash(session)),
            "holds": [asdict(hold) for hold in stored_holds(session)],
            # with a grace of 0 no training would count
            "datasets_in_use": sorted(datasets_in_use(connection, datetime.now(UTC) - max(policy.grace, _TRAINING))),
            "policy": asdict(policy),
            "unregistered": {name: len(ids) for name, ids in find_unregistered(session, policy).to_json().items()},
        }
    return jsonify(found)


@blueprint.post("/may-remove")
def post_may_remove() -> Response:
    """Refuse a caller who may not delete by policy, or bring back: {by?}. A client asks before it moves a data file."""
    caller = caller_of(read_body((), ("by",)))
    with registry().refusing(caller):
        authorize(ADMINISTER, Attempt("delete by policy"))
    return jsonify({})


@blueprint.post("/trash")
def post_trash() -> Response:
    """Delete versions by policy into the trash: {versions: [{slot, version, bundle}], by?}."""
    body = read_body(("versions",), ("by",))
    wanted = [_wanted(one) for one in _list(body, "versions")]
    made = trash_adapters(registry(), wanted, server_policy(), caller_of(body), _sizes_of(wanted))
    return jsonify({"trash": trash_json(made)})


@blueprint.post("/restore")
def post_restore() -> Response:
    """Bring back what is in the trash: {slot?, version?, by?}; the answer names what cannot come back."""
    body = read_body((), ("slot", "version", "by"))
    slot = text_of(body, "slot") and str(Slot.parse(text_of(body, "slot")))
    version = None if body.get("version") is None else parse_number(body["version"])
    done = restore_adapters(registry(), slot, version, caller_of(body))
    return jsonify({"restored": trash_json(done.adapters), "left": list(done.left)})


@blueprint.post("/restore-trained")
def post_restore_trained() -> Response:
    """Bring back the version that one of these training keys made: {slot, keys, by?}."""
    body = read_body(("slot", "keys"), ("by",))
    keys = [text_of({"key": one}, "key") for one in _list(body, "keys")]
    return jsonify({"version": restore_by_keys(registry(), slot_of(body), keys, caller_of(body))})


@blueprint.post("/empty-trash")
def post_empty_trash() -> Response:
    """Delete for good some of what is due; call it again until the answer is empty: {by?}."""
    body = read_body((), ("by",))
    return jsonify({"emptied": trash_json(empty_trash(registry(), server_policy(), caller_of(body)))})


@blueprint.post("/sweep-runs")
def post_sweep_runs() -> Response:
    """Delete some of the old runs and models that no version is based on; call it until the answer is empty: {by?}."""
    body = read_body((), ("by",))
    return jsonify(sweep_unregistered(registry(), server_policy(), caller_of(body)).to_json())


@blueprint.post("/data-files")
def post_data_files() -> Response:
    """Record what happens to files of the DVC remote: {event, files: {md5: bytes}, reason, by?}."""
    body = read_body(("event", "files", "reason"), ("by",))
    event, files, caller = text_of(body, "event"), body["files"], caller_of(body)
    if event not in _KINDS:
        raise bad_request(f"event: expected one of {', '.join(_KINDS)}, got {event[:40]!r}")
    if not isinstance(files, Mapping) or not 0 < len(files) <= MOST_FILES or not all(map(_is_file, files.items())):
        raise bad_request(f"files: expected 1 to {MOST_FILES} MD5s, each with its bytes")
    attempt, store = Attempt("delete data by policy"), registry()
    with store.refusing(caller):
        authorize(ADMINISTER, attempt)
        with store.locked() as transaction:
            detail = {"files": dict(files)} if event != "trash emptied" else {"removed": sorted(files)}
            why = text_of(body, "reason")[:1000]
            entry = transaction.append(event, "", caller, reason=why, detail=detail)  # type: ignore[arg-type]
    return jsonify({"seq": entry.seq, "at": entry.at})


def _wanted(value: Any) -> WantedAdapter:
    if not isinstance(value, Mapping) or set(value) != {"slot", "version", "bundle"}:
        raise bad_request("versions: expected objects with slot, version and bundle")
    return WantedAdapter(Slot.parse(text_of(value, "slot")), parse_number(value["version"]), text_of(value, "bundle"))


def _list(body: Mapping[str, Any], name: str) -> list[Any]:
    value = body[name]
    if not isinstance(value, list) or not 0 < len(value) <= MOST_FILES:
        raise bad_request(f"{name}: expected a list of 1 to {MOST_FILES}")
    return value


def _sizes_of(wanted: list[WantedAdapter]) -> Mapping[str, int]:
    return stored_sizes() if wanted else {}


def _is_file(item: tuple[Any, Any]) -> bool:
    md5, size = item
    return isinstance(md5, str) and bool(_MD5.fullmatch(md5)) and type(size) is int and size >= 0
