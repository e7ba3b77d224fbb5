"""MLflow's artifact repositories with the guard in them: frozen folders are read and never changed.

Entry points ``elp+file`` and ``elp+s3`` of `mlflow.artifact_repository`. MLflow serves artifacts by Flask and by
FastAPI, under several paths; all of them end here.
"""

from __future__ import annotations

import asyncio
import os
import tempfile
from collections.abc import AsyncIterable, Callable
from pathlib import Path
from typing import Any, BinaryIO, NoReturn

from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import INVALID_PARAMETER_VALUE
from mlflow.store.artifact.artifact_repo import ArtifactRepository
from mlflow.store.artifact.local_artifact_repo import _TEMP_ARTIFACT_PREFIX, LocalArtifactRepository
from mlflow.store.artifact.s3_artifact_repo import S3ArtifactRepository

from pipelines.registry.slot import Slot
from pipelines.server.auth.principal import caller
from pipelines.server.refusal import Refusal
from pipelines.server.stores import current as server
from pipelines.server.storage.frozen_folders import holder, plain_path

_PREFIX = "elp+"


def guarded_repository(artifact_uri: str, tracking_uri: str | None = None, registry_uri: str | None = None) -> Any:
    """The repository for the artifacts that this server serves.

    Args:
        artifact_uri: ``elp+file:///…`` or ``elp+s3://…``, as in ``--artifacts-destination``.
        tracking_uri: As MLflow gives it.
        registry_uri: As MLflow gives it.

    Raises:
        MlflowException: for any other place: a second root would give the same files other paths.
    """
    from mlflow.server import ARTIFACTS_DESTINATION_ENV_VAR

    if artifact_uri != os.environ.get(ARTIFACTS_DESTINATION_ENV_VAR):
        raise MlflowException(
            f"{artifact_uri[:200]} is not the artifact store of this server; leave the location to the server",
            error_code=INVALID_PARAMETER_VALUE,
        )
    kind = GuardedLocal if artifact_uri.startswith("elp+file:") else GuardedS3
    return kind(artifact_uri.removeprefix(_PREFIX), tracking_uri, registry_uri)


def refuse_frozen(path: str, what: str, *, tree: bool = False) -> None:
    """Refuse to touch what a version stands on; the refusal is recorded.

    Args:
        path: In the served artifact store.
        what: What is tried.
        tree: Whether everything below is touched as well.

    Raises:
        Refusal: where a version holds it.
    """
    store = server.registry()
    with store.refusing(caller()):
        with store.ManagedSessionMaker() as session:
            held = holder(session, path, tree=tree)
        if held is None:
            return
        model, version, part = held
        slot = Slot.of_model(model)
        raise Refusal(
            f"{path or 'the whole artifact store'} holds the {part} of {slot or model} v{version}, which is signed: it "
            f"is not changed or deleted any more; for another adapter train another version: elp train {slot}",
            what=what,
            model=model,
            version=version,
        )


class _Guarded(ArtifactRepository):  # type: ignore[misc]
    """The writes of every repository, each after a look at what is frozen."""

    def log_artifact(self, local_file: str, artifact_path: str | None = None) -> None:
        """As MLflow's."""
        refuse_frozen(plain_path(artifact_path, os.path.basename(local_file)), "upload")
        super().log_artifact(local_file, artifact_path)

    def log_artifacts(self, local_dir: str, artifact_path: str | None = None) -> None:
        """As MLflow's."""
        for folder, _, _ in os.walk(local_dir):
            refuse_frozen(plain_path(artifact_path, Path(folder).relative_to(local_dir).as_posix()), "upload")
        super().log_artifacts(local_dir, artifact_path)

    def delete_artifacts(self, artifact_path: str | None = None) -> None:
        """As MLflow's."""
        refuse_frozen(plain_path(artifact_path), "delete artifacts", tree=True)
        super().delete_artifacts(artifact_path)


class GuardedLocal(_Guarded, LocalArtifactRepository):  # type: ignore[misc]
    """A folder."""

    def log_artifact_from_stream(
        self, stream: BinaryIO, artifact_file_name: str, artifact_path: str | None = None
    ) -> None:
        """As MLflow's."""
        refuse_frozen(plain_path(artifact_path, os.path.basename(artifact_file_name)), "upload")
        super().log_artifact_from_stream(stream, artifact_file_name, artifact_path)

    async def log_artifact_from_async_stream(
        self, chunks: AsyncIterable[bytes], artifact_file_name: str, artifact_path: str | None = None
    ) -> None:
        """As MLflow's."""
        path = plain_path(artifact_path, os.path.basename(artifact_file_name))
        await asyncio.to_thread(refuse_frozen, path, "upload")
        await super().log_artifact_from_async_stream(chunks, artifact_file_name, artifact_path)

    def _create_staging_artifact(
        self, artifact_file_name: str, artifact_path: str | None = None
    ) -> tuple[int, str, str]:
        """Stage in the store's root: half an upload in a bundle's folder would keep the bundle from being hashed."""
        _, place = self._get_destination_artifact_path(artifact_file_name, artifact_path)
        handle, staged = tempfile.mkstemp(dir=self.artifact_dir, prefix=_TEMP_ARTIFACT_PREFIX)
        return handle, staged, place

    def _publish_staged_artifact(
        self,
        temp_file_path: str,
        destination_file_path: str,
        finalize_temp_path: Callable[[str], None] | None = None,
    ) -> None:
        """Look once more where an upload ends: it may have begun long before its folder was frozen."""
        inside = os.path.relpath(destination_file_path, self.artifact_dir)
        refuse_frozen(plain_path(Path(inside).as_posix()), "upload")
        super()._publish_staged_artifact(temp_file_path, destination_file_path, finalize_temp_path)


class GuardedS3(_Guarded, S3ArtifactRepository):  # type: ignore[misc]
    """S3-compatible storage. Clients upload through the server: a signed address would outlive the look at it."""

    def create_multipart_upload(self, *_: Any, **__: Any) -> NoReturn:
        """Refused."""
        raise _through_the_server()

    def complete_multipart_upload(self, *_: Any, **__: Any) -> NoReturn:
        """Refused."""
        raise _through_the_server()

    def abort_multipart_upload(self, *_: Any, **__: Any) -> NoReturn:
        """Refused."""
        raise _through_the_server()

    def create_presigned_upload_url(self, *_: Any, **__: Any) -> NoReturn:
        """Refused."""
        raise _through_the_server()


def _through_the_server() -> MlflowException:
    from mlflow.exceptions import _UnsupportedMultipartUploadException

    error: MlflowException = _UnsupportedMultipartUploadException()
    return error
