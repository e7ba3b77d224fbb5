"""The client of the server's own API: signed statements in; statements, ledger entries and champion changes out.

Every function takes the address of the MLflow server and raises ServiceError if no guarded server answers there. A
refusal of the server becomes GateRefused, any other error RegistryError, both with the server's sentence.
"""

from __future__ import annotations

import contextlib
import getpass
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from pipelines.errors import AttestationError, GateRefused, RegistryError, ServiceError
from pipelines.registry.client.connection import PASSWORD, USERNAME, Account, send_request, unreachable
from pipelines.registry.ledger.entry import LedgerEntry, LedgerRow, read_entry
from pipelines.registry.registered_adapter import ChampionChange
from pipelines.registry.slot import Slot

API = "/elp/api/v1"
PAGE = 500
"""Statements or ledger entries in one answer."""


@dataclass(frozen=True)
class StoredStatement:
    """A signed statement as the server keeps it."""

    digest: str
    """SHA-256 (hex) of its payload, by which the ledger names it."""
    kind: Literal["lineage", "verdict"]
    seq: int
    """Number of the ledger entry that recorded it."""
    model: str
    version: int
    at: str
    """When the server accepted it. UTC, ISO 8601."""
    envelope: str
    """DSSE envelope."""


def submit_statement(uri: str, model: str, version: int, envelope: str) -> str:
    """Send a signed statement on a version and return its digest (hex); a second time changes nothing."""
    answer = call_server(uri, "POST", "/statements", json={"model": model, "version": version, "envelope": envelope})
    return str(answer["digest"])


def list_statements(uri: str, **wanted: str | int) -> Iterator[StoredStatement]:
    """Return statements, newest first, by `model`, `version`, `kind`, `fingerprint`, `dataset` or `bundle`."""
    before: dict[str, int] = {}
    while page := call_server(uri, "GET", "/statements", params={**wanted, **before, "limit": PAGE})["statements"]:
        yield from map(_statement, page)
        before = {"before": page[-1]["seq"]}


def find_statement(uri: str, digest: str) -> StoredStatement | None:
    """Return one recorded statement, or None."""
    try:
        return _statement(call_server(uri, "GET", f"/statements/{digest}"))
    except RegistryError:
        return None


def change_champion(
    uri: str,
    action: Literal["promote", "rollback", "retire"],
    slot: Slot,
    *,
    version: int | None = None,
    by: str = "",
    reason: str = "",
    again: bool = False,
) -> ChampionChange:
    """Ask the server to make another version, or none, champion.

    Args:
        uri: Address of the MLflow server.
        action: ``promote`` a version that passed, ``rollback`` to a former champion, or ``retire`` the champion.
        slot: The slot.
        version: The version; a rollback without one takes the champion before.
        by: Name of the person who asks; empty takes the user of this process. On a server with a login, the login
            counts.
        reason: The reason, in a sentence; if it is empty, the server writes one for a promotion or a rollback.
        again: Promote even a version that was rolled back before.
    """
    request: dict[str, Any] = {"slot": str(slot), "by": by or _user(), "reason": reason}
    request |= ({} if version is None else {"version": version}) | ({"again": True} if again else {})
    return ChampionChange(**call_server(uri, "POST", f"/{action}", json=request))


def change_override(
    uri: str, action: Literal["override", "approve", "withdraw"], slot: Slot, **more: Any
) -> Mapping[str, Any]:
    """Request an override (`version`, `reason`, `days`), approve that of another user, or end it (`reason`).

    With an approved override a version serves without a verdict for some days.
    """
    return call_server(uri, "POST", f"/{action}", json={"slot": str(slot), **more})


def ledger_entries(uri: str, slot: Slot | None = None, after: int = 0) -> list[LedgerEntry]:
    """Return the entries of one slot or of all, oldest first, after the entry with the number `after`."""
    found = []
    for row in ledger_rows(uri, str(slot or ""), after):
        # an entry that cannot be read is left out here: the audit names it
        with contextlib.suppress(AttestationError):
            found.append(read_entry(row.entry))
    return found


def ledger_rows(uri: str, slot: str = "", after: int = 0) -> Iterator[LedgerRow]:
    """Return the entries as `ledger_entries` does, in their stored form, page after page."""
    wanted = {"slot": slot or None, "limit": PAGE}
    while page := call_server(uri, "GET", "/ledger", params={**wanted, "after": after})["entries"]:
        for row in page:
            after = int(row["seq"])
            yield LedgerRow(after, str(row["text"]), str(row["hash"]), str(row["envelope"]))


def call_server(uri: str, method: str, route: str, **content: Any) -> Mapping[str, Any]:
    """Return the server's answer at a route; `content` is passed to `requests.request`."""
    user = os.environ.get(USERNAME)
    login = Account(user, os.environ.get(PASSWORD, "")) if user else None
    answer = send_request(uri, method, API + route, login, **content)
    try:
        values = answer.json()
    except ValueError:
        values = None
    if answer.ok and isinstance(values, dict):
        return values
    raise _failure(uri, answer.status_code, values)


def _failure(uri: str, status: int, values: Any) -> ServiceError | GateRefused | RegistryError:
    """Return the error for an answer that is not a success."""
    sentence = str(values.get("message", "")) if isinstance(values, dict) else ""
    if status == 401:
        return ServiceError(f"the MLflow server at {uri} needs a login: set {USERNAME} and {PASSWORD}")
    if status == 403:
        return GateRefused(sentence or f"the MLflow server at {uri} refused")
    if status >= 500 and not sentence:
        return unreachable(uri, f"it answered {status}")
    if not sentence:
        return ServiceError(
            f"the MLflow server at {uri} has no guard (it answered {status}), so statements cannot be recorded and no "
            "version can be promoted there; start it with elp up, or with the command line of "
            "docs/explanation/registry.md"
        )
    return RegistryError(f"the guard at {uri}: {sentence}")


def _statement(values: Mapping[str, Any]) -> StoredStatement:
    # a newer server may send more
    return StoredStatement(**{name: values[name] for name in StoredStatement.__dataclass_fields__})


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        # a container may run under a user id without a name
        return "unknown"
