"""Delete a folder of the served artifact store, but the frozen folders in it."""

import posixpath

from elp_core.fail_points import durable_write
from pipelines.server.mlflow_private import served_artifacts
from pipelines.server.storage.artifact_bytes import frozen_by
from pipelines.server.storage.locked_store import LockedStore


def prune_folder(store: LockedStore, path: str) -> None:
    """Delete a folder of the served artifact store, but the frozen folders in it; a missing folder is no fault."""
    with store.ManagedSessionMaker() as session:
        frozen, whole = frozen_by(session, path), frozen_by(session, path, tree=True) is None
    if frozen is not None:
        return
    if whole:
        with durable_write("delete artifacts"):
            served_artifacts().delete_artifacts(path)
        return
    for one in served_artifacts().list_artifacts(path):
        prune_folder(store, posixpath.join(path, posixpath.basename(one.path)))
