"""The client of the server's own API: signed statements in; statements, ledger entries and champion changes out.

Every function takes the address of the MLflow server and raises ServiceError if no guarded server answers there. A
refusal of the server becomes GateRefused, any other error RegistryError, both with the server's sentence.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from typing import Any, Literal

from pipelines.errors import GateRefused, RegistryError, ServiceError
from pipelines.registry.champion_change import ChampionChange
from pipelines.registry.client.connection import PASSWORD, USERNAME, unreachable
from pipelines.registry.slot import Slot

API = "/elp/api/v1"
PAGE = 500
"""Statements or ledger entries in one answer."""
PATIENCE_SECONDS = 60.0
"""The server computes the hash of a bundle before some answers."""


def submit_statement(uri: str, model: str, version: int, envelope: str) -> str:
    """Send a signed statement on a version; a second time changes nothing.

    Args:
        uri: Address of the MLflow server.
        model: Registered model: ``elp.<site>.<task>``.
        version: The version that the statement is about.
        envelope: Text of the DSSE envelope.

    Returns:
        The statement's digest (hex).
    """
    answer = call_server(uri, "POST", "/statements", json={"model": model, "version": version, "envelope": envelope})
    return str(answer["digest"])


def list_statements(uri: str, **wanted: str | int) -> list[dict[str, Any]]:
    """Return one page of recorded statements, the newest first: digest, kind, model, version, envelope and more.

    Args:
        uri: Address of the MLflow server.
        wanted: Any of `model`, `version`, `kind`, `fingerprint`, `dataset`, `bundle`.
    """
    return [dict(found) for found in call_server(uri, "GET", "/statements", params=wanted)["statements"]]


def every_statement(uri: str, **wanted: str | int) -> Iterator[dict[str, Any]]:
    """Return all recorded statements, page after page, the newest first; filters as for `list_statements`."""
    before: dict[str, int] = {}
    while page := list_statements(uri, **wanted, **before, limit=PAGE):
        yield from page
        before = {"before": int(page[-1]["seq"])}


def find_statement(uri: str, digest: str) -> dict[str, Any] | None:
    """Return one recorded statement, or None."""
    try:
        return dict(call_server(uri, "GET", f"/statements/{digest}"))
    except RegistryError:
        return None


def change_champion(
    uri: str, action: Literal["promote", "rollback", "retire"], slot: Slot, *, by: str, reason: str, **more: Any
) -> ChampionChange:
    """Ask the server to make another version, or none, champion.

    Args:
        uri: Address of the MLflow server.
        action: ``promote`` a version that passed, ``rollback`` to a former champion, or ``retire`` the champion.
        slot: The slot.
        by: Name of the person who asks. On a server with a login, the login counts.
        reason: The reason, in a sentence; if it is empty, the server writes one.
        more: `version` (a rollback without one takes the champion before), and `again` to promote a version that
            was rolled back.
    """
    request = {"slot": str(slot), "by": by, "reason": reason, **more}
    return ChampionChange(**call_server(uri, "POST", f"/{action}", json=request))


def request_override(uri: str, slot: Slot, version: int, reason: str, days: float) -> dict[str, Any]:
    """Request that a version serves without a verdict for some days; it does when a second person approves."""
    request = {"slot": str(slot), "version": version, "reason": reason, "days": days}
    return dict(call_server(uri, "POST", "/override", json=request))


def approve_override_request(uri: str, slot: Slot) -> dict[str, Any]:
    """Approve the override that another user requested."""
    return dict(call_server(uri, "POST", "/approve", json={"slot": str(slot)}))


def withdraw_override_request(uri: str, slot: Slot, reason: str = "") -> dict[str, Any]:
    """End an override before its time, or withdraw the request for one."""
    return dict(call_server(uri, "POST", "/withdraw", json={"slot": str(slot), "reason": reason}))


def ledger_entries(uri: str, slot: Slot | None = None, event: str = "", after: int = 0) -> list[dict[str, Any]]:
    """Return entries of the ledger (as in docs/formats/ledger.md), oldest first.

    Args:
        uri: Address of the MLflow server.
        slot: Only of this slot.
        event: Only of this kind, such as ``promoted``.
        after: Only entries with a higher number.
    """
    # an entry that cannot be read is left out here: the audit names it
    return [dict(row["entry"]) for row in ledger_rows(uri, after, str(slot or ""), event) if row["entry"]]


def ledger_rows(uri: str, after: int = 0, slot: str = "", event: str = "") -> Iterator[dict[str, Any]]:
    """Return the rows of the ledger, page after page: seq, text, hash and envelope of each entry, and the entry.

    Args:
        uri: Address of the MLflow server.
        after: Only entries with a higher number.
        slot: ``SITE/TASK``; empty takes every slot.
        event: Only of this kind.
    """
    wanted = {"slot": slot or None, "event": event or None, "limit": PAGE}
    while True:
        page = call_server(uri, "GET", "/ledger", params={**wanted, "after": after})["entries"]
        yield from page
        if len(page) < PAGE:
            return
        after = int(page[-1]["seq"])


def call_server(uri: str, method: str, route: str, **content: Any) -> Mapping[str, Any]:
    """Return the server's answer at a route; `content` is passed to `requests.request`.

    Raises:
        GateRefused: The server refused the request.
        RegistryError: The server answered with another error.
        ServiceError: No guarded server answers.
    """
    import requests

    user, password = os.environ.get(USERNAME), os.environ.get(PASSWORD)
    login = (user, password or "") if user else None
    url = uri.rstrip("/") + API + route
    try:
        answer = requests.request(method, url, auth=login, timeout=PATIENCE_SECONDS, **content)
    except requests.exceptions.RequestException as error:
        raise unreachable(uri, type(error).__name__) from error
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
