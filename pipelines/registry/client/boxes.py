"""The client of the server's routes about edge boxes: invite, enrol, list, revoke, and reports.

Every function raises ServiceError if no guarded server answers, and RegistryError with the server's sentence if it
refuses.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pipelines.errors import GateRefused, RegistryError
from pipelines.registry.client.connection import Account
from pipelines.registry.client.server_api import call_server
from pipelines.registry.delivery.box_report import box_name_of
from pipelines.registry.delivery.site_set import site_of
from pipelines.registry.signing.canonical_json import utc_now
from pipelines.registry.signing.keys import load_trusted_keys
from pipelines.registry.worker_request import new_token, sign_request, token_digest


def invite_box_by(uri: str, name: str, site: str, account: Account | None, keys: Path) -> tuple[str, str]:
    """Invite a box; return its one-time token and when it expires (UTC, ISO 8601).

    `account` is an administrator's on a server with a login; without one, the key for the ledger in `keys` signs.
    """
    token = new_token(box_name_of(name))
    request = {"name": name, "site": site_of(site), "token": token_digest(token)}
    return token, str(_controlled(uri, "invite", request, account, keys)["until"])


def end_box(uri: str, name: str, account: Account | None, keys: Path) -> Mapping[str, Any]:
    """Revoke a box, with `account` and `keys` as in `invite_box_by`; return its row."""
    return _controlled(uri, "revoke", {"name": box_name_of(name)}, account, keys)


def list_boxes(uri: str, account: Account | None = None) -> list[Mapping[str, Any]]:
    """Return the boxes by name, each with its newest report."""
    found: list[Mapping[str, Any]] = _call(uri, "GET", "/boxes", account)["boxes"]
    return found


def enrol_box_key(uri: str, token: str, pem: str) -> Mapping[str, Any]:
    """Give the server the public key of a box by its one-time token; return name, site and the token for requests."""
    return _call(uri, "POST", "/boxes/enrol", None, json={"token": token.strip(), "pem": pem})


def send_report(uri: str, report: str) -> Mapping[str, Any]:
    """Send the envelope of a report; return the row of the box."""
    return _call(uri, "POST", "/boxes/report", None, json={"report": report})


def _controlled(
    uri: str, action: str, given: Mapping[str, Any], account: Account | None, keys: Path
) -> Mapping[str, Any]:
    request = {**given, "at": utc_now()}
    signed = {} if account else {"signature": sign_request(f"{action} a box", request, load_trusted_keys(keys))}
    return _call(uri, "POST", f"/boxes/{action}", account, json={**request, **signed})


def _call(uri: str, method: str, route: str, account: Account | None, **content: Any) -> Mapping[str, Any]:
    try:
        return call_server(uri, method, route, account, **content)
    except GateRefused as error:
        # the exit code of a refused adapter is not meant
        raise RegistryError(str(error)) from error
