"""A bucket of an S3 store as the inbox uses it: requests with boto3, and errors that name the variable to set."""

from __future__ import annotations

import contextlib
import importlib
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

from pipelines.errors import DiskFull, RemoteAway, ServiceError, WorkspaceError
from pipelines.outages import is_away
from pipelines.s3_client import S3Waits, open_s3

_REFUSED = ("PreconditionFailed", "ConditionalRequestConflict", "412", "409")
_ABSENT = ("NoSuchKey", "404", "NotFound")
_LOGIN = ("AccessDenied", "InvalidAccessKeyId", "SignatureDoesNotMatch", "403", "ExpiredToken", "InvalidToken")
_BLOCK = 2**20
_WAITS = S3Waits(connect=5.0, read=60.0, attempts=5)


class Bucket:
    """One bucket. Every function raises ServiceError if the store does not answer, WorkspaceError if it refuses."""

    def __init__(self, name: str, endpoint: str = "") -> None:
        self.name = name
        try:
            with self.errors("opened"):
                self.client = open_s3(endpoint, _WAITS, connections=16)
        except ModuleNotFoundError as error:
            raise WorkspaceError(
                f"the inbox s3://{name} needs the Python package {error.name}; install it with: "
                "pip install 'elp-foundry[team]'"
            ) from error

    def objects(self, prefix: str) -> Iterator[Any]:
        """Yield the objects below a prefix by key."""
        with self.errors("listed"):
            for page in self.client.get_paginator("list_objects_v2").paginate(Bucket=self.name, Prefix=prefix):
                yield from page.get("Contents", ())

    def prefixes(self, prefix: str) -> list[str]:
        """Return the names of the folders at a prefix."""
        found = []
        with self.errors("listed"):
            pages = self.client.get_paginator("list_objects_v2")
            for page in pages.paginate(Bucket=self.name, Prefix=prefix, Delimiter="/"):
                found += [one["Prefix"].removeprefix(prefix).rstrip("/") for one in page.get("CommonPrefixes", ())]
        return sorted(name for name in found if name and not name.startswith("."))

    def head(self, key: str) -> Any:
        """Return what the store says of an object; None if there is none."""
        with contextlib.suppress(FileNotFoundError), self.errors("read"):
            return self.client.head_object(Bucket=self.name, Key=key)
        return None

    @contextlib.contextmanager
    def open(self, key: str, etag: str = "") -> Iterator[BinaryIO]:
        """Give the body of an object; FileNotFoundError if there is none, or none with this etag any more."""
        only = {"IfMatch": etag} if etag else {}
        # around the block: an answer can end at each read
        with self.errors("read"):
            body = self.client.get_object(Bucket=self.name, Key=key, **only)["Body"]
            # not as a context manager, which gives the stream below it: that one raises errors of another library
            with contextlib.closing(body):
                yield body

    def put(self, key: str, content: str | bytes) -> None:
        """Write an object; text as UTF-8."""
        body = content.encode() if isinstance(content, str) else content
        with self.errors("written to"):
            self.client.put_object(Bucket=self.name, Key=key, Body=body)

    def put_new(self, key: str, text: str) -> bool:
        """Write an object unless there is one; return whether it was written."""
        with contextlib.suppress(FileNotFoundError), self.errors("written to"):
            self.client.put_object(Bucket=self.name, Key=key, Body=text.encode(), IfNoneMatch="*")
            return True
        return False

    def delete(self, key: str) -> None:
        """Remove an object; one that is not there is no error."""
        with self.errors("written to"):
            self.client.delete_object(Bucket=self.name, Key=key)

    def require_space(self, folder: Path, size: int) -> None:
        """Raise WorkspaceError unless the disk of a folder has room for a delivery; make the folder."""
        folder.mkdir(parents=True, exist_ok=True)
        if (free := shutil.disk_usage(folder).free) < size:
            raise DiskFull(
                f"the disk of {folder} has {free / 2**20:,.0f} MiB free, the delivery in s3://{self.name} has "
                f"{size / 2**20:,.0f} MiB; free some space and run it again"
            )

    @contextlib.contextmanager
    def errors(self, done: str) -> Iterator[None]:
        """Turn an error of boto3 in the block into ours; FileNotFoundError if an object or a condition is missing."""
        exceptions: Any = importlib.import_module("botocore.exceptions")
        place = f"the inbox s3://{self.name}"
        try:
            yield
        except exceptions.NoCredentialsError as error:
            raise WorkspaceError(
                f"{place} cannot be {done}: no credentials; set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
            ) from error
        except exceptions.ClientError as error:
            code = str(error.response.get("Error", {}).get("Code", ""))
            if code in (*_ABSENT, *_REFUSED):
                raise FileNotFoundError(f"{place}: {error}") from error
            if code in _LOGIN:
                raise WorkspaceError(
                    f"{place} cannot be {done}: the store refuses the account ({code}); check AWS_ACCESS_KEY_ID, "
                    "AWS_SECRET_ACCESS_KEY and its rights to list, read and write there"
                ) from error
            if code == "NoSuchBucket":
                raise WorkspaceError(
                    f"{place} does not exist; make the bucket, or correct inbox in elp.yaml"
                ) from error
            kind = RemoteAway if is_away(error) else ServiceError
            raise kind(f"{place} cannot be {done}: {error}") from error
        except exceptions.BotoCoreError as error:
            kind = RemoteAway if is_away(error) else ServiceError
            raise kind(
                f"{place} cannot be {done}: {error}; check the store, and servers.s3_endpoint in elp.yaml or "
                "AWS_ENDPOINT_URL_S3"
            ) from error


def fetch_object(bucket: Bucket, key: str, target: Path, etag: str) -> None:
    """Write an object of a certain etag to a file; FileNotFoundError if it was replaced or removed."""
    target.parent.mkdir(parents=True, exist_ok=True)
    with bucket.open(key, etag) as body, target.open("wb") as file:
        shutil.copyfileobj(body, file, _BLOCK)
