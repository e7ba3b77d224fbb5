"""The bytes behind a location in the artifact store that this MLflow server serves."""

from __future__ import annotations

import os
import posixpath
import tempfile
import urllib.parse
from pathlib import Path
from typing import Any

from elp_core.bundle import bundle_digest
from elp_core.errors import BundleError
from pipelines.registry.pyfunc.served_files import BUNDLE, fault_of
from pipelines.registry.signing.canonical_json import sha256

_PROXIED = "mlflow-artifacts"


def artifacts() -> Any:
    """The artifact repository that this server serves (an `ArtifactRepository`)."""
    from mlflow.server.handlers import _get_artifact_repo_mlflow_artifacts

    return _get_artifact_repo_mlflow_artifacts()


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
