"""The routes by which servers of requests (`elp serve`) say what they serve, and the list of them.

| route | who |
|---|---|
| `/serving/report` | anyone who may read the registry; the row has the name of the login |
| `/boxes/serving` | anyone: the box has signed it |
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from flask import Blueprint, Response, jsonify
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import PERMISSION_DENIED

from pipelines.errors import AttestationError
from pipelines.registry.adapter_version import CHAMPION
from pipelines.registry.delivery.box_report import box_of_report
from pipelines.registry.delivery.serving_report import ServingReport, read_serving_report, read_signed_serving
from pipelines.registry.signing.canonical_json import moment, utc_now
from pipelines.server.auth.principal import current_caller
from pipelines.server.read_models.mlflow_tables import current_versions
from pipelines.server.read_models.serving_hosts import reported_host
from pipelines.server.request_body import bad_request, read_body, text_of
from pipelines.server.storage.box_rows import box_row
from pipelines.server.storage.locked_store import LockedStore
from pipelines.server.storage.serving_rows import ServingRow, put_serving_row, serving_rows
from pipelines.server.stores.registry_store import registry
from pipelines.server.worker_enrolment import limit

blueprint = Blueprint("serving", __name__)
"""A part of the blueprint in `routes`, whose checks and forms of errors hold here, too."""
_APART = timedelta(days=1)
"""How far the clock of a box may be off: a report that is seen on its way is of no use after that."""


@blueprint.get("/serving")
def get_serving() -> Response:
    """List the servers of requests with their newest report, and how each compares with the champions."""
    with registry().engine.connect() as records:
        champions = {str(one.slot): one for one in current_versions(records) if CHAMPION in one.aliases}
        now = datetime.now(UTC)
        rows = [(row, reported_host(row, champions, now)) for row in serving_rows(records)]
    return jsonify({"serving": [{**row.to_json(), "state": of.state, "differing": of.differing} for row, of in rows]})


@blueprint.post("/serving/report")
def post_serving_report() -> Response:
    """Take the report of a server that follows this registry: {report}."""
    values = read_body(("report",))["report"]
    if not isinstance(values, dict):
        raise bad_request("report is no JSON object")
    report = read_serving_report(values)
    if report.box:
        raise bad_request("the server of a box signs its report; send it to /boxes/serving")
    return _kept(registry(), ServingRow(current_caller().name, report, utc_now()))


@blueprint.post("/boxes/serving")
def post_box_serving() -> Response:
    """Take the report of the server of a box: {report}, an envelope that the box has signed."""
    report = _signed(registry(), text_of(read_body(("report",)), "report"))
    return _kept(registry(), ServingRow(f"box {report.box}", report, utc_now()))


def _signed(store: LockedStore, text: str) -> ServingReport:
    """Return the report of the server of a box, if an enrolled box has signed it."""
    caller = current_caller()
    limit.refuse_too_many(caller.address)
    try:
        with store.ManagedSessionMaker() as session:
            row = box_row(session, box_of_report(text))
        if row is None or row.state != "enrolled":
            raise AttestationError("unknown key", "no enrolled box has this name; elp box list shows them")
        report = read_signed_serving(text, row.pem)
        if report.box != row.name or report.sites != (row.site,):
            raise AttestationError("mismatch", f"the report is about {report.box} of {', '.join(report.sites)}")
        if abs(moment(report.at, "at") - moment(utc_now(), "now")) > _APART:
            raise AttestationError("mismatch", f"it is from {report.at[:10]}; set the clock of the box")
    except AttestationError as error:
        limit.note(caller.address)
        raise MlflowException(f"the report is not taken: {error}", error_code=PERMISSION_DENIED) from error
    return report


def _kept(store: LockedStore, row: ServingRow) -> Response:
    with store.ManagedSessionMaker(read_only=False) as session:
        put_serving_row(session, row)
    return jsonify(row.to_json())
