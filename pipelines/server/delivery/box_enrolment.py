"""Edge boxes: invite them by a one-time token, know their keys, take their reports, and end that again.

| request | who |
|---|---|
| invite, revoke | as for workers: an administrator; without a login the control host, by the key for the ledger |
| enrol | anyone who has the token, once, within 24 hours |
| report | anyone: the box has signed it |
"""

from __future__ import annotations

import hmac
import secrets
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import INVALID_PARAMETER_VALUE, PERMISSION_DENIED

from pipelines.errors import AttestationError, UsageError
from pipelines.registry.delivery.box_report import box_name_of, box_of_report, read_report
from pipelines.registry.delivery.site_set import site_of
from pipelines.registry.signing.canonical_json import moment, sha256, utc_now
from pipelines.registry.signing.keys import read_public
from pipelines.registry.worker_request import TOKEN_HOURS, token_digest, token_name
from pipelines.server.auth.principal import Caller, current_caller
from pipelines.server.refusal import Attempt
from pipelines.server.storage.box_rows import BoxRow, box_row, change_box_row, put_box
from pipelines.server.storage.locked_store import LockedStore
from pipelines.server.worker_enrolment import limit, require_control

_AHEAD = timedelta(days=1)
"""How far the clock of a box may be ahead."""
_WRONG = "no open invitation of a box has this token; on the control host run: elp box invite NAME SITE"


def invite_box(store: LockedStore, request: Mapping[str, Any], signature: str) -> BoxRow:
    """Record an invitation: {name, site, token (SHA-256), at}; a name that is enrolled is refused."""
    name, site = box_name_of(str(request["name"])), site_of(str(request["site"]))
    caller = require_control("invite a box", store, request, signature)
    now, digest = utc_now(), str(request["token"])
    if len(digest) != 64:
        raise UsageError("an invitation needs the SHA-256 of its token; run: elp box invite NAME SITE")
    until = (moment(now, "now") + timedelta(hours=TOKEN_HOURS)).isoformat(timespec="microseconds")
    with store.refusing(caller), store.locked() as transaction:
        before = box_row(transaction.session, name)
        if before is not None and (before.state == "enrolled" or before.token == digest):
            raise Attempt(f"invite the box {name}").refused(
                f"box {name} is {before.state} already; end that first: elp box revoke {name}"
            )
        made = BoxRow(name, site, digest, caller.name, now, until)
        put_box(transaction.session, made)
        detail = {"what": "box invited", "name": name, "site": site}
        transaction.append("users changed", "", caller, detail=detail)
    return made


def enrol_box(store: LockedStore, token: str, pem: str) -> dict[str, Any]:
    """Know the key of a box that has an open token; return its name, its site and the token for its requests."""
    caller = current_caller()
    limit.refuse_too_many(caller.address)
    access = secrets.token_urlsafe(32)
    with store.locked() as transaction:
        row = _open_invitation(transaction.session, token, caller)
        try:
            read_public(pem, f"key of {row.name}")
        except AttestationError as error:
            raise MlflowException(str(error), error_code=INVALID_PARAMETER_VALUE) from error
        values = {"enrolled_at": utc_now(), "access": sha256(access.encode()), "pem": pem}
        change_box_row(transaction.session, row.name, **values)
        detail = {"what": "box enrolled", "name": row.name, "site": row.site}
        transaction.append("users changed", "", Caller(row.name, False, caller.address), detail=detail)
    return {"name": row.name, "site": row.site, "access": f"{row.name}.{access}"}


def revoke_box(store: LockedStore, request: Mapping[str, Any], signature: str) -> BoxRow:
    """End a box or its invitation: {name, at}. Its token and its reports count no more."""
    name, caller = box_name_of(str(request["name"])), require_control("revoke a box", store, request, signature)
    with store.refusing(caller), store.locked() as transaction:
        if box_row(transaction.session, name) is None:
            raise Attempt(f"revoke the box {name}").refused(f"there is no box {name}; list them with: elp box list")
        change_box_row(transaction.session, name, ended_at=utc_now(), access="")
        transaction.append("users changed", "", caller, detail={"what": "box revoked", "name": name})
        found = box_row(transaction.session, name)
        assert found is not None
        return found


def take_report(store: LockedStore, text: str) -> BoxRow:
    """Keep a report if an enrolled box has signed it and it is later than the one before."""
    caller = current_caller()
    limit.refuse_too_many(caller.address)
    with store.ManagedSessionMaker(read_only=False) as session:
        try:
            row = box_row(session, box_of_report(text))
            if row is None or row.state != "enrolled":
                raise AttestationError("unknown key", "no enrolled box has this name; elp box list shows them")
            report = read_report(text, row.pem)
            if (report.box, report.site) != (row.name, row.site):
                raise AttestationError("mismatch", f"the report is about {report.box} of {report.site}")
            if moment(report.at, "at") > moment(utc_now(), "now") + _AHEAD:
                # it would count as the newest one until that day
                raise AttestationError("mismatch", f"it is from {report.at[:10]}; set the clock of the box")
        except AttestationError as error:
            limit.note(caller.address)
            raise MlflowException(f"the report is not taken: {error}", error_code=PERMISSION_DENIED) from error
        if not row.report_at or moment(report.at, "at") > moment(row.report_at, "at"):
            change_box_row(session, row.name, report=text, report_at=report.at)
        found = box_row(session, row.name)
        assert found is not None
        return found


def box_with_access(store: LockedStore, token: str) -> BoxRow | None:
    """Return the enrolled box that this token is of, or None."""
    name, _, secret = token.rpartition(".")
    with store.ManagedSessionMaker() as session:
        row = box_row(session, name)
    # compared in the same time for every wrong token, and against something if there is no such box
    same = hmac.compare_digest(row.access if row and row.access else "0" * 64, sha256(secret.encode()))
    return row if row is not None and same and row.state == "enrolled" else None


def _open_invitation(session: Any, token: str, caller: Caller) -> BoxRow:
    try:
        row = box_row(session, token_name(token))
    except UsageError:
        row = None
    same = hmac.compare_digest(row.token if row else "0" * 64, token_digest(token))
    if row is None or not same:
        reason = _WRONG
    elif row.state != "invited":
        reason = f"the token of {row.name} was used, or its box is revoked; invite it again: elp box invite {row.name}"
    elif moment(row.until, "until") < moment(utc_now(), "now"):
        reason = f"the token of {row.name} expired at {row.until[:16]} UTC; invite it again: elp box invite {row.name}"
    else:
        return row
    limit.note(caller.address)
    raise MlflowException(reason, error_code=PERMISSION_DENIED)
