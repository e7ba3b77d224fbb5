"""Invite a worker on the control host, and enrol this machine as one: addresses and accounts of both sides."""

from __future__ import annotations

import socket
from pathlib import Path
from urllib.parse import urlsplit

from pipelines.errors import UsageError
from pipelines.local import accounts
from pipelines.local.address_credentials import is_address
from pipelines.local.addresses import mlflow_uri, prefect_api
from pipelines.local.worker_home import WorkerSettings, write_worker
from pipelines.local.workspace import Workspace
from pipelines.local_hosts import LOCAL_HOSTS
from pipelines.locks import file_lock
from pipelines.registry.client import workers
from pipelines.registry.client.connection import Account
from pipelines.registry.client.server_api import call_server
from pipelines.registry.signing.keys import key_folder

_EVERYWHERE = ("0.0.0.0", "::")


def control_account(workspace: Workspace, uri: str) -> Account | None:
    """Return the administrator's account that may change workers; None if the server has no login.

    Raises UsageError if the server has a login and there is no account to ask as.
    """
    account = accounts.given_account(workspace, accounts.first_admin)
    if not call_server(uri, "GET", "/status", account)["login"]:
        return None
    if account is None:
        raise UsageError(
            "workers are invited and revoked by an administrator: set MLFLOW_TRACKING_USERNAME and "
            "MLFLOW_TRACKING_PASSWORD"
        )
    return account


def invite_by_workspace(workspace: Workspace, name: str) -> tuple[str, str, str]:
    """Invite a worker to the servers of a workspace; return the MLflow address, the token, and until when it works."""
    uri = mlflow_uri(workspace)
    account = control_account(workspace, uri)
    addresses = {"prefect_api": prefect_api(workspace), "git": workspace.settings.git, "remote": workspace.remote}
    token, until = workers.send_invitation(uri, name, addresses, account, key_folder(workspace.state))
    return outside_address(workspace, uri), token, until


def outside_address(workspace: Workspace, uri: str) -> str:
    """Return the address of the MLflow server as other machines reach it."""
    own = workspace.settings.servers.host in _EVERYWHERE and not workspace.settings.servers.mlflow_uri
    return _with_host(uri, socket.getfqdn()) if own else uri


def enrol_here(home: Path, address: str, token: str) -> WorkerSettings:
    """Enrol this machine at the MLflow server at an address, and write its settings and keys into `home`.

    Raises UsageError for a text that is no address or token, RegistryError with the server's sentence if it refuses.
    """
    uri = address.rstrip("/")
    if not is_address(uri) or urlsplit(uri).scheme not in ("http", "https") or not urlsplit(uri).hostname:
        raise UsageError(f"{address!r} is no address of an MLflow server; expected such as http://control:5000")
    home.mkdir(mode=0o700, parents=True, exist_ok=True)
    with file_lock(home / "enrol.lock"):
        answer = workers.enrol_worker_keys(uri, token, home / "keys")
        given, account = answer["addresses"], answer["account"] or {}
        settings = WorkerSettings(
            name=answer["name"],
            prefect_api=_reachable(given.get("prefect_api", ""), uri),
            mlflow_uri=uri,
            git=_reachable(given.get("git", ""), uri),
            remote=given.get("remote", ""),
            username=account.get("username", ""),
            password=account.get("password", ""),
            prefect_key=answer["prefect_key"],
        )
        write_worker(home, settings)
    return settings


def _reachable(address: str, uri: str) -> str:
    """Return an address of the control host as this machine reaches it: its own loopback address means the host."""
    host = urlsplit(uri).hostname or ""
    # a folder has no host
    loopback = "://" in address and urlsplit(address).hostname in {*LOCAL_HOSTS, *_EVERYWHERE}
    return _with_host(address, host) if loopback and host not in LOCAL_HOSTS else address


def _with_host(address: str, host: str) -> str:
    parts = urlsplit(address)
    user, at, _ = parts.netloc.rpartition("@")
    shown = f"[{host}]" if ":" in host else host
    port = f":{parts.port}" if parts.port else ""
    return parts._replace(netloc=f"{user}{at}{shown}{port}").geturl()
