"""MLflow's artifact repositories with the guard in them: frozen folders can be read, but not changed.

Entry points ``elp+file`` and ``elp+s3`` of `mlflow.artifact_repository`. MLflow serves artifacts by Flask and by
FastAPI, under several paths; all of them call these repositories.
"""

import asyncio
import os
import posixpath
import shutil
import tempfile
from collections.abc import AsyncIterable, Callable, Iterator
from mimetypes import guess_type
from pathlib import Path
from typing import Any, BinaryIO

from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import INVALID_PARAMETER_VALUE
from mlflow.store.artifact.artifact_repo import ArtifactRepository, StreamUploadMixin
from mlflow.store.artifact.local_artifact_repo import LocalArtifactRepository
from mlflow.store.artifact.s3_artifact_repo import S3ArtifactRepository

from elp_core.fail_points import durable_write
from pipelines.registry.slot import Slot
from pipelines.server.auth.principal import current_caller
from pipelines.server.mlflow_private import TEMP_ARTIFACT_PREFIX
from pipelines.server.refusal import Attempt
from pipelines.server.storage.artifact_bytes import frozen_by, plain_path
from pipelines.server.storage.bucket_objects import put_whole, s3_client, store_errors
from pipelines.server.stores.registry_store import registry

_PREFIX = "elp+"


def guarded_repository(artifact_uri: str, tracking_uri: str | None = None, registry_uri: str | None = None) -> Any:
    """Return the repository for the artifacts that this server serves (``--artifacts-destination``).

    Any other URI is refused: a second root would give the same files other paths.
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
    """Refuse to change a path in a frozen folder, or with `tree` also one above it; the refusal is recorded."""
    store = registry()
    with store.refusing(current_caller()):
        with store.ManagedSessionMaker() as session:
            frozen = frozen_by(session, path, tree=tree)
        if frozen is None:
            return
        slot = Slot.of_model(frozen.model)
        raise Attempt(what, frozen.model, frozen.version).refused(
            f"{path or 'the whole artifact store'} holds the {frozen.what} of {slot or frozen.model} "
            f"v{frozen.version}, which is signed: it is not changed or deleted any more; for another adapter train "
            f"another version: elp train {slot}"
        )


class _Guarded(ArtifactRepository):  # type: ignore[misc]
    """The writes that all repositories have, each after a check for frozen folders."""

    def log_artifact(self, local_file: str, artifact_path: str | None = None) -> None:
        """Upload a file."""
        refuse_frozen(plain_path(artifact_path, os.path.basename(local_file)), "upload")
        super().log_artifact(local_file, artifact_path)

    def log_artifacts(self, local_dir: str, artifact_path: str | None = None) -> None:
        """Upload a folder."""
        # every folder below, because a frozen one need not be the one that the request names
        for folder, _, _ in os.walk(local_dir):
            refuse_frozen(plain_path(artifact_path, Path(folder).relative_to(local_dir).as_posix()), "upload")
        super().log_artifacts(local_dir, artifact_path)

    def delete_artifacts(self, artifact_path: str | None = None) -> None:
        """Delete a file or a folder."""
        refuse_frozen(plain_path(artifact_path), "delete artifacts", tree=True)
        super().delete_artifacts(artifact_path)


class GuardedLocal(_Guarded, LocalArtifactRepository):  # type: ignore[misc]
    """A folder."""

    def log_artifact_from_stream(
        self, stream: BinaryIO, artifact_file_name: str, artifact_path: str | None = None
    ) -> None:
        """Upload a file that Flask receives."""
        refuse_frozen(plain_path(artifact_path, os.path.basename(artifact_file_name)), "upload")
        super().log_artifact_from_stream(stream, artifact_file_name, artifact_path)

    async def log_artifact_from_async_stream(
        self, chunks: AsyncIterable[bytes], artifact_file_name: str, artifact_path: str | None = None
    ) -> None:
        """Upload a file that FastAPI receives."""
        path = plain_path(artifact_path, os.path.basename(artifact_file_name))
        # the check reads the database, which would block the event loop
        await asyncio.to_thread(refuse_frozen, path, "upload")
        await super().log_artifact_from_async_stream(chunks, artifact_file_name, artifact_path)

    def _create_staging_artifact(
        self, artifact_file_name: str, artifact_path: str | None = None
    ) -> tuple[int, str, str]:
        """Stage in the store's root: an unfinished upload in a bundle's folder would make its hash another one."""
        _, destination = self._get_destination_artifact_path(artifact_file_name, artifact_path)
        handle, staged = tempfile.mkstemp(dir=self.artifact_dir, prefix=TEMP_ARTIFACT_PREFIX)
        return handle, staged, destination

    def _publish_staged_artifact(
        self,
        temp_file_path: str,
        destination_file_path: str,
        finalize_temp_path: Callable[[str], None] | None = None,
    ) -> None:
        """Check again when an upload ends: it may have begun long before its folder was frozen."""
        inside = os.path.relpath(destination_file_path, self.artifact_dir)
        refuse_frozen(plain_path(Path(inside).as_posix()), "upload")
        with durable_write("artifact"):
            super()._publish_staged_artifact(temp_file_path, destination_file_path, finalize_temp_path)


class _PlainS3(S3ArtifactRepository):  # type: ignore[misc]
    """MLflow's repository with this server's client: bounded waits, errors with their reasons."""

    def _get_s3_client(self) -> Any:
        return s3_client()

    def _iterate_s3_paginated_results(self, bucket: str, prefix: str) -> Any:
        # MLflow's own turns each error of the store into one without its reason
        pages = s3_client().get_paginator("list_objects_v2")
        return pages.paginate(Bucket=bucket, Prefix=prefix, Delimiter="/", **self._bucket_owner_params)


class GuardedS3(ArtifactRepository, StreamUploadMixin):  # type: ignore[misc]
    """S3-compatible storage. Clients read and write through the server: a signed URL would outlive the check.

    It is no subclass of MLflow's S3 repository: the server would then tell its clients that it signs URLs.
    """

    def __init__(self, artifact_uri: str, tracking_uri: str | None = None, registry_uri: str | None = None) -> None:
        super().__init__(artifact_uri, tracking_uri, registry_uri)
        self._s3 = _PlainS3(artifact_uri, tracking_uri=tracking_uri, registry_uri=registry_uri)

    def log_artifact(self, local_file: str, artifact_path: str | None = None) -> None:
        """Upload a file."""
        self._upload(str(local_file), store_path(artifact_path, os.path.basename(local_file)))

    def log_artifacts(self, local_dir: str, artifact_path: str | None = None) -> None:
        """Upload a folder."""
        for folder, _, names in os.walk(local_dir):
            inside = Path(folder).relative_to(local_dir).as_posix()
            for name in names:
                self._upload(os.path.join(folder, name), store_path(artifact_path, inside, name))

    def log_artifact_from_stream(
        self, stream: BinaryIO, artifact_file_name: str, artifact_path: str | None = None
    ) -> None:
        """Upload a file that Flask receives."""
        path = _writable(artifact_path, artifact_file_name)
        with tempfile.NamedTemporaryFile(prefix="elp-upload-") as file:
            shutil.copyfileobj(stream, file)
            file.flush()
            self._upload(file.name, path)

    async def log_artifact_from_async_stream(
        self, chunks: AsyncIterable[bytes], artifact_file_name: str, artifact_path: str | None = None
    ) -> None:
        """Upload a file that FastAPI receives."""
        path = await asyncio.to_thread(_writable, artifact_path, artifact_file_name)
        with tempfile.NamedTemporaryFile(prefix="elp-upload-") as file:
            async for chunk in chunks:
                await asyncio.to_thread(file.write, chunk)
            file.flush()
            await asyncio.to_thread(self._upload, file.name, path)

    def list_artifacts(self, path: str | None = None) -> list[Any]:
        """List a folder."""
        with store_errors(self.artifact_uri):
            return list(self._s3.list_artifacts(store_path(path)))

    def stored_objects(self) -> Iterator[tuple[str, int]]:
        """Yield key and bytes of every object, in one listing."""
        bucket, root = self._s3.parse_s3_compliant_uri(self.artifact_uri)
        with store_errors(self.artifact_uri):
            for page in (
                s3_client().get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=f"{root}/" if root else "")
            ):
                for found in page.get("Contents", ()):
                    yield str(found["Key"]), int(found["Size"])

    def delete_artifacts(self, artifact_path: str | None = None) -> None:
        """Delete a file or a folder."""
        path = store_path(artifact_path)
        refuse_frozen(path, "delete artifacts", tree=True)
        with store_errors(self.artifact_uri):
            self._s3.delete_artifacts(path)

    def _upload(self, local_file: str, path: str) -> None:
        """Check when the upload begins, and again when it ends: its folder may have been frozen in between."""
        refuse_frozen(path, "upload")
        kind, encoding = guess_type(path)
        options = {"ContentType": kind, "ContentEncoding": encoding}
        options = {name: value for name, value in options.items() if value is not None}
        options |= self._s3._bucket_owner_params | (self._s3.get_s3_file_upload_extra_args() or {})
        bucket, root = self._s3.parse_s3_compliant_uri(self.artifact_uri)
        with store_errors(self.artifact_uri):
            key = posixpath.join(root, path)
            put_whole(s3_client(), local_file, bucket, key, options, lambda: refuse_frozen(path, "upload"))

    def _download_file(self, remote_file_path: str, local_path: str) -> None:
        with store_errors(self.artifact_uri):
            self._s3._download_file(store_path(remote_file_path), local_path)


def store_path(*parts: str | None) -> str:
    """Return the one spelling of a path in an object store; refuse characters that stores read in different ways."""
    path = plain_path(*parts)
    # to SeaweedFS a backslash is a slash: such a name would be the file of a frozen folder
    if "\\" in path or not path.isprintable():
        raise MlflowException(
            f"Invalid path: {path[:120]!r} has a backslash or a control character",
            error_code=INVALID_PARAMETER_VALUE,
        )
    return path


def _writable(*parts: str | None) -> str:
    path = store_path(*parts)
    refuse_frozen(path, "upload")
    return path
