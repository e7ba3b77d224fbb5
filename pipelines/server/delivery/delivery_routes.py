"""The routes below /elp/api/v1/delivery, which boxes and `elp export` read. Metadata are made when asked for."""

from __future__ import annotations

import io
import json
import shutil
import threading
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from flask import Blueprint, Response, jsonify, request, send_file
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import RESOURCE_DOES_NOT_EXIST

from elp_core.files import write_whole
from pipelines.errors import DeliveryRefused
from pipelines.registry.delivery.delivery_metadata import ROOT, TIMESTAMP, metadata_file, read_metadata, statement_keys
from pipelines.registry.delivery.published_root import METADATA, delivery_folder
from pipelines.registry.delivery.root_ceremony import newest_metadata
from pipelines.registry.signing.keys import key_folder
from pipelines.server.auth.principal import READ, authorize, current_caller
from pipelines.server.delivery.box_enrolment import box_with_access
from pipelines.server.delivery.champion_sets import newest_move, read_site_sets
from pipelines.server.delivery.publish_metadata import MEDIA, PublishedSet, publish_metadata, read_published
from pipelines.server.delivery.published_files import find_published
from pipelines.server.refusal import Attempt
from pipelines.server.stores.registry_store import registry
from pipelines.server.worker_enrolment import limit

blueprint = Blueprint("delivery", __name__)
"""A part of the blueprint in `routes`, whose checks and forms of errors hold here, too."""

_STATE = "published.json"
_MADE_WHEN_ASKED = (metadata_file(TIMESTAMP), metadata_file(MEDIA))
_one_at_a_time = threading.Lock()


@blueprint.get("/delivery/metadata/<name>")
def get_delivery_metadata(name: str) -> Response:
    """Answer a metadata file; a timestamp is that of this moment."""
    _authorize_reader()
    folder = delivery_folder(key_folder())
    if name in _MADE_WHEN_ASKED:
        _publish(folder)
    content = read_published(folder, name)
    if content is None:
        raise _missing(name)
    return Response(content, mimetype="application/json")


@blueprint.get("/delivery/targets/<path:target>")
def get_delivery_target(target: str) -> Response:
    """Answer a file by its target path, or the part of it that a Range header asks for."""
    _authorize_reader(target)
    with registry().ManagedSessionMaker() as session:
        found = find_published(session, delivery_folder(key_folder()), target)
    if found is None:
        raise _missing(target)
    content: Any = io.BytesIO(found.content) if found.path is None else found.path
    answer = send_file(content, mimetype="application/octet-stream", conditional=True, etag=False, max_age=0)
    if (scratch := found.scratch) is not None:
        answer.call_on_close(lambda: shutil.rmtree(scratch, ignore_errors=True))
    return answer


@blueprint.get("/delivery")
def get_delivery() -> Response:
    """Answer what is published: the version of the root, and by site why its newest champions are not."""
    _authorize_reader()
    folder = delivery_folder(key_folder())
    _publish(folder)
    root = int(newest_metadata(folder / METADATA, ROOT).name.partition(".")[0])
    return jsonify({"root": root, "faults": _read_state(folder)["faults"]})


def _authorize_reader(path: str = "") -> None:
    """Refuse a request that is neither by a user who may read, nor by an enrolled box about its own site."""
    attempt = Attempt(f"{request.method} {request.path}"[:200])
    kind, _, token = request.headers.get("Authorization", "").partition(" ")
    if kind.lower() != "bearer":
        authorize(READ, attempt)
        return
    address = current_caller().address
    limit.refuse_too_many(address)
    box = box_with_access(registry(), token.strip())
    if box is None:
        limit.note(address)
        raise attempt.refused("no enrolled box has this token; enrol the box again: elp box invite, elp box enrol")
    if path and path.split("/")[0] != box.site:
        raise attempt.refused(f"box {box.name} is one of the site {box.site}, and reads no other one's files")


def _publish(folder: Path) -> None:
    """Publish the champions of this moment, if they changed since the last time."""
    from tuf.api.metadata import Root

    keys, store = key_folder(), registry()
    try:
        root = newest_metadata(folder / METADATA, ROOT)
        # SQLite waits for a writer, and a session that waits must not be in a second thread of this process
        with _one_at_a_time, store.ManagedSessionMaker() as session:
            before, seq = _read_state(folder), newest_move(session)
            faults: dict[str, str] = dict(before["faults"])

            def read_sets(sites: Sequence[str]) -> Mapping[str, PublishedSet]:
                signed = read_metadata(root.read_bytes(), Root, str(root)).signed
                found = read_site_sets(session, sites, statement_keys(signed))
                faults.clear()
                faults.update(found.faults)
                return found.sets

            # a fault may end without a change of champion, such as a store that was not mounted
            changed = before["seq"] != seq or bool(faults)
            publish_metadata(folder, keys, read_sets, datetime.now(UTC), changed=changed)
            if (seq, faults) != (before["seq"], before["faults"]):
                write_whole(folder / _STATE, json.dumps({"seq": seq, "faults": faults}) + "\n", durable=True)
    except DeliveryRefused as error:
        if error.reason != "no root":
            raise
        raise MlflowException(
            "this server delivers nothing yet: make an offline root (elp root request, make, sign, publish)",
            error_code=RESOURCE_DOES_NOT_EXIST,
        ) from error


def _read_state(folder: Path) -> dict[str, Any]:
    """Return the number of the ledger entry up to which sets are published, and the faults by site."""
    try:
        values = json.loads((folder / _STATE).read_text(encoding="utf-8"))
        return {"seq": int(values["seq"]), "faults": dict(values["faults"])}
    except (OSError, ValueError, KeyError, TypeError):
        # without it everything is compared again
        return {"seq": -1, "faults": {}}


def _missing(name: str) -> MlflowException:
    return MlflowException(f"{name[:200]} is not delivered here", error_code=RESOURCE_DOES_NOT_EXIST)
