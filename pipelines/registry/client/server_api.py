"""The guard's own API on the MLflow server: signed statements in, statements and decisions out."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from typing import Any

from pipelines.errors import GateRefused, RegistryError, ServiceError
from pipelines.registry.champion_change import ChampionChange
from pipelines.registry.client.connection import unreachable
from pipelines.registry.slot import Slot

API = "/elp/api/v1"
PAGE = 500
"""Statements, or entries of the ledger, in one answer."""
PATIENCE_SECONDS = 60.0
"""The server hashes a bundle before it answers some of these."""


def submit_statement(uri: str, model: str, version: int, envelope: str) -> str:
    """Hand a signed statement on a version to the server, which verifies and records it; again changes nothing.

    Args:
        uri: Address of the MLflow server.
        model: Registered model: ``elp.<site>.<task>``.
        version: The version it is about.
        envelope: The DSSE envelope's text.

    Returns:
        The statement's digest (hex).

    Raises:
        GateRefused: where the server does not take the statement, with its sentence.
        ServiceError: where no guarded server answers.
        RegistryError: where the server has no such version.
    """
    answer = call_server(uri, "POST", "/statements", json={"model": model, "version": version, "envelope": envelope})
    return str(answer["digest"])


def list_statements(uri: str, **wanted: str | int) -> list[dict[str, Any]]:
    """Recorded statements: digest, kind, model, version, envelope and more, the newest first.

    Args:
        uri: Address of the MLflow server.
        wanted: Any of `model`, `version`, `kind`, `fingerprint`, `dataset`, `bundle`.

    Raises:
        ServiceError: where no guarded server answers.
    """
    return [dict(found) for found in call_server(uri, "GET", "/statements", params=wanted)["statements"]]


def promote(uri: str, slot: Slot, version: int, *, by: str, reason: str, again: bool = False) -> ChampionChange:
    """Ask the server to make a version champion.

    Args:
        uri: Address of the MLflow server.
        slot: The slot.
        version: Version that passed the gate against the champion of this moment.
        by: Who asks; where the server has logins, the login counts instead.
        reason: Why, in a sentence; empty lets the server say it.
        again: Promote even a version that was rolled back.

    Raises:
        GateRefused: with the server's sentence.
        RegistryError: where there is no such version.
        ServiceError: where no guarded server answers.
    """
    more = {"again": True} if again else {}
    return _moved(uri, "promote", {"slot": str(slot), "version": version, "by": by, "reason": reason, **more})


def rollback(uri: str, slot: Slot, version: int | None = None, *, by: str, reason: str) -> ChampionChange:
    """Ask the server to bring a former champion back; None takes the one that the present one replaced.

    Raises:
        GateRefused: with the server's sentence.
        RegistryError: where there is no such version.
        ServiceError: where no guarded server answers.
    """
    more = {} if version is None else {"version": version}
    return _moved(uri, "rollback", {"slot": str(slot), "by": by, "reason": reason, **more})


def retire(uri: str, slot: Slot, *, by: str, reason: str) -> ChampionChange:
    """Ask the server to leave a slot without champion.

    Raises:
        GateRefused: with the server's sentence.
        ServiceError: where no guarded server answers.
    """
    return _moved(uri, "retire", {"slot": str(slot), "by": by, "reason": reason})


def request_override(uri: str, slot: Slot, version: int, reason: str, days: float) -> dict[str, Any]:
    """Ask that a version serve without a verdict for some days; it does when a second person approves.

    Raises:
        GateRefused: with the server's sentence.
        ServiceError: where no guarded server answers.
        RegistryError: where there is no such version.
    """
    wish = {"slot": str(slot), "version": version, "reason": reason, "days": days}
    return dict(call_server(uri, "POST", "/override", json=wish))


def approve_override_request(uri: str, slot: Slot) -> dict[str, Any]:
    """Approve what another user asked for.

    Raises:
        GateRefused: with the server's sentence.
        ServiceError: where no guarded server answers.
    """
    return dict(call_server(uri, "POST", "/approve", json={"slot": str(slot)}))


def withdraw_override_request(uri: str, slot: Slot, reason: str = "") -> dict[str, Any]:
    """End an override before its time, or take the wish for one back.

    Raises:
        GateRefused: with the server's sentence.
        ServiceError: where no guarded server answers.
    """
    return dict(call_server(uri, "POST", "/withdraw", json={"slot": str(slot), "reason": reason}))


def ledger_entries(uri: str, slot: Slot | None = None, event: str = "", after: int = 0) -> list[dict[str, Any]]:
    """Entries of the ledger (as in docs/formats/ledger.md), oldest first.

    Args:
        uri: Address of the MLflow server.
        slot: Only of this slot.
        event: Only of this kind, such as ``promoted``.
        after: Only those with a higher number.

    Raises:
        ServiceError: where no guarded server answers.
    """
    # one that somebody spoilt is named by the audit
    return [dict(row["entry"]) for row in ledger_rows(uri, after, str(slot or ""), event) if row["entry"]]


def ledger_rows(uri: str, after: int = 0, slot: str = "", event: str = "") -> Iterator[dict[str, Any]]:
    """The ledger page by page, as it is stored: seq, text, hash and envelope of each entry, and the entry.

    Args:
        uri: Address of the MLflow server.
        after: Number of the last entry that is not wanted.
        slot: ``SITE/TASK``; empty takes every slot.
        event: Only of this kind.

    Raises:
        ServiceError: where no guarded server answers.
    """
    wanted = {"slot": slot or None, "event": event or None, "limit": PAGE}
    while True:
        page = call_server(uri, "GET", "/ledger", params={**wanted, "after": after})["entries"]
        yield from page
        if len(page) < PAGE:
            return
        after = int(page[-1]["seq"])


def _moved(uri: str, verb: str, body: Mapping[str, Any]) -> ChampionChange:
    return ChampionChange(**call_server(uri, "POST", f"/{verb}", json=dict(body)))


def call_server(uri: str, method: str, route: str, **content: Any) -> Mapping[str, Any]:
    """What the guard answers at a route; `content` as `requests.request` takes it.

    Raises:
        GateRefused: with the server's sentence, where it refuses.
        RegistryError: with the server's sentence, for any other error of the guard.
        ServiceError: where no guarded server answers.
    """
    import requests

    user, word = os.environ.get("MLFLOW_TRACKING_USERNAME"), os.environ.get("MLFLOW_TRACKING_PASSWORD")
    login = (user, word or "") if user else None
    try:
        answer = requests.request(
            method, uri.rstrip("/") + API + route, auth=login, timeout=PATIENCE_SECONDS, **content
        )
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
    """What an answer that is not a success means."""
    told = str(values.get("message", "")) if isinstance(values, dict) else ""
    if status == 401:
        return ServiceError(
            f"the MLflow server at {uri} wants a login: set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD"
        )
    if status == 403:
        return GateRefused(told or f"the MLflow server at {uri} refused")
    if status >= 500 and not told:
        return unreachable(uri, f"it answered {status}")
    if not told:
        return ServiceError(
            f"the MLflow server at {uri} has no guard (it answered {status}), so statements cannot be recorded and no "
            "version can be promoted there; start it with elp up, or with the command line of "
            "docs/explanation/registry.md"
        )
    return RegistryError(f"the guard at {uri}: {told}")
