"""Objects of an S3 store, as the guarded server writes them: bounded waits, whole objects, errors in one sentence."""

import contextlib
import functools
import os
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from mlflow.environment_variables import (
    MLFLOW_BOTO_CLIENT_ADDRESSING_STYLE,
    MLFLOW_S3_ENDPOINT_URL,
    MLFLOW_S3_IGNORE_TLS,
)
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import RESOURCE_DOES_NOT_EXIST, TEMPORARILY_UNAVAILABLE

from pipelines.s3_client import S3Keys, S3Waits, open_s3

_WAITS = S3Waits(connect=5.0, read=10.0, attempts=2)
_PART_BYTES = 8 * 2**20
"""Size of a part of a large object; a smaller object is one request."""
_MISSING = frozenset({"NoSuchKey", "404"})


class StoreAway(MlflowException):  # type: ignore[misc]
    """The object store does not answer, or refuses this server; MLflow answers HTTP 424 with the sentence.

    MLflow's client repeats a request that was answered with a 5xx status, and then shows no sentence.
    """

    def __init__(self, sentence: str) -> None:
        super().__init__(sentence, error_code=TEMPORARILY_UNAVAILABLE)

    def get_http_status_code(self) -> int:
        """Return 424: the request failed because another one, to the store, failed."""
        return 424


def s3_client() -> Any:
    """Return the client for the store of MLFLOW_S3_ENDPOINT_URL (AWS without it), with this server's own keys."""
    style, ignore_tls = MLFLOW_BOTO_CLIENT_ADDRESSING_STYLE.get(), bool(MLFLOW_S3_IGNORE_TLS.get())
    return _client(MLFLOW_S3_ENDPOINT_URL.get(), S3Keys.of_artifacts(), style, ignore_tls)


@functools.cache
def _client(endpoint: str | None, keys: S3Keys, style: str, ignore_tls: bool) -> Any:
    return open_s3(endpoint, _WAITS, keys, style, ignore_tls)


def put_whole(
    client: Any, file: str, bucket: str, key: str, options: Mapping[str, Any], before: Callable[[], None]
) -> None:
    """Upload a file as one object; call `before` just before the request with which the object exists.

    `options` are those of a new object, such as ContentType. If something raises, nothing exists under the key.
    """
    with open(file, "rb") as source:
        if os.path.getsize(file) <= _PART_BYTES:
            before()
            client.put_object(Bucket=bucket, Key=key, Body=source, **options)
            return
        upload = client.create_multipart_upload(Bucket=bucket, Key=key, **options)["UploadId"]
        place = {"Bucket": bucket, "Key": key, "UploadId": upload}
        try:
            parts: list[dict[str, Any]] = []
            while block := source.read(_PART_BYTES):
                number = len(parts) + 1
                sent = client.upload_part(PartNumber=number, Body=block, **place)
                parts.append({"PartNumber": number, "ETag": sent["ETag"]})
            before()
            client.complete_multipart_upload(MultipartUpload={"Parts": parts}, **place)
        except BaseException:
            # of a store that does not answer, the parts are removed by its rule for unfinished uploads
            with contextlib.suppress(Exception):
                client.abort_multipart_upload(**place)
            raise


@contextlib.contextmanager
def store_errors(address: str) -> Iterator[None]:
    """Turn the errors of boto3 into errors of MLflow with a sentence: `StoreAway`, or that an object does not exist."""
    from boto3.exceptions import Boto3Error
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        yield
    except ClientError as error:
        code = str(error.response.get("Error", {}).get("Code", ""))
        if code in _MISSING:
            raise MlflowException(f"no such artifact in {address}", error_code=RESOURCE_DOES_NOT_EXIST) from error
        # a status from 500 on is a fault of the store, and no refusal
        fault = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0) >= 500
        does = "does not answer" if fault else "refused a request"
        raise StoreAway(f"the artifact store {address} {does} ({code}): {_NEXT}") from error
    except (BotoCoreError, Boto3Error) as error:
        raise StoreAway(f"the artifact store {address} does not answer ({error}): {_NEXT}") from error


_NEXT = "on the machine of the MLflow server, elp doctor names what to set"
