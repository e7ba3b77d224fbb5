"""Invite and revoke edge boxes on the control host, with the account or the key that may."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pipelines.local.addresses import mlflow_uri
from pipelines.local.worker_enrol import control_account, outside_address
from pipelines.local.workspace import Workspace
from pipelines.registry.client import boxes
from pipelines.registry.delivery.published_root import METADATA, delivery_folder
from pipelines.registry.signing.canonical_json import sha256
from pipelines.registry.signing.keys import key_folder


def invite_box_from(workspace: Workspace, name: str, site: str) -> tuple[str, str, str, str]:
    """Invite a box; return the server's address, the token, until when it works, and the first root's ``sha256:…``.

    The digest is empty if the server's keys are on another machine, or if there is no root yet.
    """
    uri, keys = mlflow_uri(workspace), key_folder(workspace.state)
    token, until = boxes.invite_box_by(uri, name, site, control_account(workspace, uri), keys)
    first = delivery_folder(keys) / METADATA / "1.root.json"
    root = f"sha256:{sha256(first.read_bytes())}" if first.exists() else ""
    return outside_address(workspace, uri), token, until, root


def revoke_box_from(workspace: Workspace, name: str) -> Mapping[str, Any]:
    """Revoke a box; return its row."""
    uri = mlflow_uri(workspace)
    return boxes.end_box(uri, name, control_account(workspace, uri), key_folder(workspace.state))
