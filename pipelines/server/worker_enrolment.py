"""Workers of other machines: invite them by a one-time token, trust their keys, and end that again.

| request | who |
|---|---|
| invite, revoke | an administrator; on a server without a login the control host, which signs with the ledger's key |
| enrol | anyone who has the token, once, within 24 hours |
"""

from __future__ import annotations

import hmac
import json
import os
import threading
import time
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import INVALID_PARAMETER_VALUE, PERMISSION_DENIED, REQUEST_LIMIT_EXCEEDED

from pipelines.errors import AttestationError, UsageError
from pipelines.prefect_names import PREFECT_LOGIN
from pipelines.registry.signing.canonical_json import moment, utc_now
from pipelines.registry.signing.key_folder import add_keys, retire_key, revoke_key
from pipelines.registry.signing.keys import KeyRing, Role, TrustedKey, read_keys, write_keys
from pipelines.registry.worker_request import (
    TOKEN_HOURS,
    WORKER_ROLES,
    token_digest,
    token_name,
    verify_request,
    worker_key_name,
    worker_name_of,
)
from pipelines.server.auth.mlflow_login import create_worker_account, remove_worker_account
from pipelines.server.auth.principal import ADMINISTER, Caller, authorize, current_caller, login_on
from pipelines.server.refusal import Attempt
from pipelines.server.storage.locked_store import LockedStore
from pipelines.server.storage.worker_rows import WorkerRow, change_worker, put_worker, worker_row

_FRESH = timedelta(minutes=5)
"""How far the clocks of a request and of the server may differ: an old request is not sent again."""
_FAILURES, _WINDOW = 10, 60.0
"""Wrong tokens from one address within a minute, after which all from there are refused."""
_ADDRESSES = 1000
"""Addresses whose failures are kept."""
_WRONG = "no open invitation has this token; on the control host run: elp worker invite NAME"


class FailureLimit:
    """The failed attempts of each address in the last minute, in this server process."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._failures: dict[str, list[float]] = {}

    def refuse_too_many(self, address: str) -> None:
        """Raise if an address failed too often."""
        with self._lock:
            recent = [at for at in self._failures.get(address, ()) if time.monotonic() - at < _WINDOW]
        if len(recent) >= _FAILURES:
            raise MlflowException(
                "too many wrong tokens from this address; wait a minute and try again",
                error_code=REQUEST_LIMIT_EXCEEDED,
            )

    def note(self, address: str) -> None:
        """Count a failed attempt."""
        with self._lock:
            recent = self._failures.pop(address, [])
            self._failures[address] = [*recent, time.monotonic()][-_FAILURES:]
            # the oldest ones go: one who has many addresses must not fill the memory
            while len(self._failures) > _ADDRESSES:
                del self._failures[next(iter(self._failures))]


limit = FailureLimit()


def invite_worker(store: LockedStore, request: Mapping[str, Any], signature: str) -> WorkerRow:
    """Record an invitation: {name, token (SHA-256), addresses, at}; a name that is enrolled is refused."""
    name, caller = worker_name_of(str(request["name"])), require_control("invite", store, request, signature)
    now = utc_now()
    until = (moment(now, "now") + timedelta(hours=TOKEN_HOURS)).isoformat(timespec="microseconds")
    digest, addresses = str(request["token"]), request["addresses"]
    if len(digest) != 64 or not isinstance(addresses, dict) or len(json.dumps(addresses)) > 4000:
        raise UsageError("an invitation needs the SHA-256 of its token, and addresses; run: elp worker invite NAME")
    attempt = Attempt(f"invite the worker {name}")
    with store.refusing(caller), store.locked() as transaction:
        before = worker_row(transaction.session, name)
        if before is not None and before.state == "enrolled":
            raise attempt.refused(f"worker {name} is enrolled; end that first: elp worker revoke {name}")
        if before is not None and before.ended and before.token == digest:
            # the request was seen on its way and is sent again: it would open the token of a revoked worker
            raise attempt.refused(f"this token of {name} was ended; make a new one: elp worker invite {name}")
        made = WorkerRow(name, digest, json.dumps(addresses), caller.name, now, until)
        put_worker(transaction.session, made)
        transaction.append("users changed", "", caller, detail={"what": "worker invited", "name": name})
    return made


def enrol_worker(store: LockedStore, token: str, keys: str) -> dict[str, Any]:
    """Trust the two keys of a worker that has an open token, and return what it needs to know. A token works once.

    The answer has the trusted keys, the addresses of the invitation, and on a server with a login the worker's own
    account and Prefect's key.
    """
    caller = current_caller()
    limit.refuse_too_many(caller.address)
    # the lock on the ledger lets one of two requests with the same token see it open
    with store.locked() as transaction:
        row = _open_invitation(transaction.session, token, caller)
        try:
            given = _keys_of(row.name, keys, transaction.keys)
        except AttestationError as error:
            # what was sent is wrong, not this server
            raise MlflowException(str(error), error_code=INVALID_PARAMETER_VALUE) from error
        add_keys(store.trusted_keys().folder, write_keys(given), f"keys of {row.name}")
        account = create_worker_account(row.name) if login_on() else None
        ids = json.dumps([key.keyid for key in given])
        change_worker(transaction.session, row.name, enrolled_at=utc_now(), keys=ids)
        worker = Caller(row.name, False, caller.address)
        detail = {"what": "worker enrolled", "name": row.name, "keys": [key.keyid[:12] for key in given]}
        transaction.append("users changed", "", worker, detail=detail)
    return {
        "name": row.name,
        "keys": write_keys(store.trusted_keys().keys),
        "addresses": json.loads(row.addresses),
        "account": account,
        "prefect_key": os.environ.get(PREFECT_LOGIN, "") if login_on() else "",
    }


def end_worker(store: LockedStore, request: Mapping[str, Any], signature: str) -> WorkerRow:
    """End a worker or its invitation: {name, retire, at}. It is in force when this function returns.

    Its keys are revoked: nothing counts that they ever signed. With `retire`, what the ledger has recorded stays valid.
    """
    name, caller = worker_name_of(str(request["name"])), require_control("revoke", store, request, signature)
    end = retire_key if request["retire"] is True else revoke_key
    attempt = Attempt(f"revoke the worker {name}")
    with store.refusing(caller), store.locked() as transaction:
        row = worker_row(transaction.session, name)
        if row is None:
            raise attempt.refused(f"there is no worker {name}; list them with: elp worker list")
        for key in sorted({*row.key_ids, *_trusted_keys_of(name, store.trusted_keys())}):
            end(store.trusted_keys().folder, key)
        if login_on():
            remove_worker_account(name)
        how = "retired" if end is retire_key else "revoked"
        change_worker(transaction.session, name, ended=how, ended_at=utc_now())
        transaction.append("users changed", "", caller, detail={"what": f"worker {how}", "name": name})
        found = worker_row(transaction.session, name)
        assert found is not None
        return found


def require_control(action: str, store: LockedStore, request: Mapping[str, Any], signature: str) -> Caller:
    """Return the caller if it may change workers and boxes, and the request is a new one."""
    of_a_box = action.endswith(" a box")
    changed, command = ("boxes", f"box {action.split()[0]}") if of_a_box else ("workers", f"worker {action}")
    caller, attempt = current_caller(), Attempt(action if of_a_box else f"{action} a worker")
    with store.refusing(caller):
        if login_on():
            authorize(ADMINISTER, attempt)
        else:
            try:
                verify_request(action, request, signature, store.trusted_keys())
            except AttestationError as error:
                raise attempt.refused(
                    f"on a server without a login, {changed} are changed on the control host only, by elp "
                    f"{command} in its workspace: {error}"
                ) from error
            # the key proves it
            caller = Caller("control host", False, caller.address)
        if abs(moment(str(request["at"]), "at") - moment(utc_now(), "now")) > _FRESH:
            raise attempt.refused(
                "this request is older than five minutes; check the clocks, and run the command again"
            )
    return caller


def _open_invitation(session: Any, token: str, caller: Caller) -> WorkerRow:
    """Return the invitation with this token; raise MlflowException (403) with one sentence if it cannot be used."""
    try:
        row = worker_row(session, token_name(token))
    except UsageError:
        row = None
    # compared in the same time for every wrong token, and against something if there is no such worker
    same = hmac.compare_digest(row.token if row else "0" * 64, token_digest(token))
    again = f"on the control host run: elp worker invite {row.name}" if row else ""
    if row is None or not same:
        reason = _WRONG
    elif row.ended:
        reason = f"worker {row.name} was {row.ended} at {row.ended_at[:16]} UTC; {again}"
    elif row.enrolled_at:
        reason = (
            f"the token of {row.name} was used at {row.enrolled_at[:16]} UTC; on the control host run: elp worker "
            f"revoke {row.name}, then: elp worker invite {row.name}"
        )
    elif moment(row.until, "until") < moment(utc_now(), "now"):
        reason = f"the token of {row.name} expired at {row.until[:16]} UTC; {again}"
    else:
        return row
    limit.note(caller.address)
    raise MlflowException(reason, error_code=PERMISSION_DENIED)


def _trusted_keys_of(worker: str, trusted: KeyRing) -> list[str]:
    """Return the ids of a worker's active keys: an enrolment that was killed has trusted keys and no row of them."""
    expected = _expected_keys(worker)
    return [key.keyid for key in trusted.keys if key.active and (key.name, key.roles) in expected]


def _expected_keys(worker: str) -> set[tuple[str, tuple[Role, ...]]]:
    return {(worker_key_name(worker, role), (role,)) for role in WORKER_ROLES}


def _keys_of(worker: str, text: str, trusted: KeyRing) -> tuple[TrustedKey, ...]:
    """Return the keys of an export if they are exactly a worker's; raise AttestationError if not."""
    if len(text) > 8000:
        raise AttestationError("malformed", f"the keys have {len(text)} characters, expected two public keys")
    given = read_keys(text, f"keys of {worker}")
    expected = _expected_keys(worker)
    if len(given) != len(expected) or {(key.name, key.roles) for key in given} != expected:
        names = ", ".join(sorted(name for name, _ in expected))
        raise AttestationError("mismatch", f"worker {worker} has to send exactly the keys {names}, each with its role")
    for key in given:
        known = trusted.find(key.keyid)
        if not key.active or (known is not None and not known.active):
            raise AttestationError(
                "revoked",
                f"key {key.keyid[:12]} is {(known or key).state}; enrol with new keys: delete the folder keys",
            )
    return given
