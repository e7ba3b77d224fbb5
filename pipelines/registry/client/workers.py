"""The client of the server's routes about workers: invite, enrol, list, revoke, and the trusted keys.

Every function raises ServiceError if no guarded server answers, and RegistryError with the server's sentence if it
refuses.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from elp_core.types import Seconds
from pipelines.errors import GateRefused, LoginRefused, RegistryError, WorkerEnded
from pipelines.registry.client.connection import USERNAME, Account
from pipelines.registry.client.server_api import call_server
from pipelines.registry.signing.canonical_json import utc_now
from pipelines.registry.signing.key_folder import add_keys, new_key
from pipelines.registry.signing.keys import TRUSTED_FILE, TrustedKey, load_trusted_keys, write_keys
from pipelines.registry.worker_request import (
    WORKER_ROLES,
    new_token,
    sign_request,
    token_digest,
    token_name,
    worker_key_name,
    worker_name_of,
)

_ENROL = "enrol it again: elp worker invite on the control host, elp worker enrol here"


@dataclass(frozen=True)
class ServerAnswer:
    """What a worker learned from the server."""

    changed: tuple[TrustedKey, ...]
    """Keys that are new here, or that have ended."""
    release: str
    """The server's; empty if it does not tell it."""


def send_invitation(
    uri: str, name: str, addresses: Mapping[str, str], account: Account | None, keys: Path
) -> tuple[str, str]:
    """Invite a worker; return its one-time token and when it expires (UTC, ISO 8601).

    `account` is an administrator's on a server with a login; without one, the key for the ledger in `keys` signs.
    """
    token = new_token(worker_name_of(name))
    request = {"name": name, "token": token_digest(token), "addresses": dict(addresses)}
    answer = _controlled(uri, "invite", request, account, keys)
    return token, str(answer["until"])


def end(uri: str, name: str, account: Account | None, keys: Path, *, retire: bool) -> Mapping[str, Any]:
    """Revoke or retire a worker, with `account` and `keys` as in `send_invitation`; return its row."""
    return _controlled(uri, "revoke", {"name": worker_name_of(name), "retire": retire}, account, keys)


def list_workers(uri: str, account: Account | None = None) -> list[Mapping[str, Any]]:
    """Return the workers by name."""
    found: list[Mapping[str, Any]] = _call(uri, "GET", "/workers", account)["workers"]
    return found


def enrol_worker_keys(uri: str, token: str, folder: Path) -> Mapping[str, Any]:
    """Enrol this machine by a one-time token: make its keys in `folder`, have them trusted, and trust the server's.

    Return the answer: name, addresses, account and Prefect's key. Keys of an attempt without an answer are used again.
    """
    name = token_name(token)
    own = [_own_key(folder, worker_key_name(name, role), role) for role in WORKER_ROLES]
    answer = _call(uri, "POST", "/workers/enrol", None, json={"token": token.strip(), "keys": write_keys(tuple(own))})
    add_keys(folder, str(answer["keys"]), f"keys of {uri}")
    return answer


def refresh_keys(uri: str, folder: Path, account: Account | None = None, timeout: Seconds = 60.0) -> ServerAnswer:
    """Add to a folder what the server trusts now; return what has changed. An end of a key here is never undone.

    A key that the server does not list stays as it is here: its statements may have been verified before. Without an
    `account`, that of the environment is used. Raises WorkerEnded if the server has ended the keys by which this worker
    signs, or its account.
    """
    try:
        answer = _call(uri, "GET", "/keys", account, timeout=timeout)
    except LoginRefused as error:
        if account is None and not os.environ.get(USERNAME):
            raise
        raise WorkerEnded("revoked", f"{uri} does not accept the account of this worker; {_ENROL}") from error
    changed = add_keys(folder, str(answer["keys"]), f"keys of {uri}")
    trusted = load_trusted_keys(folder)
    for role in WORKER_ROLES:
        own = [key for key in trusted.keys if role in key.roles and trusted.signs(key)]
        if own and not any(key.active for key in own):
            raise WorkerEnded(
                own[-1].state,
                f"the server has {own[-1].state} the key {own[-1].name} of this worker, so it cannot sign a {role}; "
                f"{_ENROL}",
            )
    return ServerAnswer(changed, str(answer.get("release", "")))


def server_release(uri: str) -> str:
    """Return the release of the server; empty if it does not tell it."""
    return str(_call(uri, "GET", "/keys", None).get("release", ""))


def _own_key(folder: Path, name: str, role: Any) -> TrustedKey:
    if (folder / TRUSTED_FILE).exists():
        trusted = load_trusted_keys(folder)
        for key in trusted.keys:
            if key.name == name and key.active and trusted.signs(key):
                return key
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    return new_key(folder, name, (role,))


def _controlled(
    uri: str, action: str, given: Mapping[str, Any], account: Account | None, keys: Path
) -> Mapping[str, Any]:
    """Send a request that changes workers, signed if there is no account."""
    request = {**given, "at": utc_now()}
    signed = {} if account else {"signature": sign_request(action, request, load_trusted_keys(keys))}
    return _call(uri, "POST", f"/workers/{action}", account, json={**request, **signed})


def _call(uri: str, method: str, route: str, account: Account | None, **content: Any) -> Mapping[str, Any]:
    try:
        return call_server(uri, method, route, account, **content)
    except GateRefused as error:
        # the exit code of a refused adapter is not meant
        raise RegistryError(str(error)) from error
