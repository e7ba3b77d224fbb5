"""What the guard asks of the MLflow server that it runs in: its stores, and the bytes behind a location."""

from __future__ import annotations

import os
import posixpath
import tempfile
import urllib.parse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from elp_core.bundle import bundle_digest
from elp_core.errors import BundleError
from pipelines.attest.canonical import sha256
from pipelines.registry_model.served import BUNDLE, fault_of

if TYPE_CHECKING:
    from pipelines.guard.store import GuardedStore

_PROXIED = "mlflow-artifacts"


def registry() -> GuardedStore:
    """This process's registry store.

    Raises:
        RuntimeError: where the server was started without the guard's store.
    """
    from mlflow.server.handlers import _get_model_registry_store

    from pipelines.guard.store import GuardedStore

    store = _get_model_registry_store()
    if not isinstance(store, GuardedStore):
        raise RuntimeError(
            f"the registry store is {type(store).__name__}, not the guard's; start the server with "
            "--registry-store-uri elp+sqlite:///… or elp+postgresql://… (docs/registry.md)"
        )
    return store


def artifacts() -> Any:
    """The artifact repository that this server serves (an `ArtifactRepository`)."""
    from mlflow.server.handlers import _get_artifact_repo_mlflow_artifacts

    return _get_artifact_repo_mlflow_artifacts()


def tracking() -> Any:
    """This process's tracking store."""
    from mlflow.server.handlers import _get_tracking_store

    return _get_tracking_store()


def served_path(location: str) -> str | None:
    """The path inside the served artifact store that a location names; None for a location elsewhere."""
    parsed = urllib.parse.urlsplit(location)
    if parsed.scheme != _PROXIED or parsed.netloc:
        return None
    path = posixpath.normpath(urllib.parse.unquote(parsed.path)).lstrip("/")
    return None if path in {"", "."} or path.startswith("..") else path


def hash_bundle(location: str) -> tuple[str, str]:
    """Digest of the bundle in a logged model's folder, as its bytes are now, where nothing strange lies beside it.

    Returns:
        ``sha256:…`` and an empty text; or an empty text and why these bytes are no bundle to serve.
    """
    path = served_path(location)
    if path is None:
        return "", f"it lies at {location or 'no place'}, outside the artifact store of this server"
    try:
        if (local := artifacts().get_local_path(path)) is not None and os.path.isdir(local):
            return _hash(Path(local))
        with tempfile.TemporaryDirectory(prefix="elp-hash-") as scratch:
            return _hash(Path(artifacts().download_artifacts(path, scratch)))
    except Exception as error:
        # whatever an object store says: bytes that cannot be read do not serve
        return "", f"it cannot be read: {error}"


def _hash(model: Path) -> tuple[str, str]:
    try:
        digest = bundle_digest(model / BUNDLE)
    except BundleError as error:
        return "", str(error)
    fault = fault_of(model)
    return ("", fault) if fault else (digest, "")


def hash_file(location: str) -> str:
    """SHA-256 (hex) of one file in the served artifact store; empty where it is not there."""
    path = served_path(location)
    if path is None:
        return ""
    with tempfile.TemporaryDirectory(prefix="elp-hash-") as scratch:
        try:
            return sha256(Path(artifacts().download_artifacts(path, scratch)).read_bytes())
        except Exception:
            # an object store has its own errors for what is missing
            return ""


def run_location(run_id: str) -> str:
    """Where the artifacts of a run lie."""
    return str(tracking().get_run(run_id).info.artifact_uri)
