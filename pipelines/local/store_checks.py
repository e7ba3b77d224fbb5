"""What `elp doctor` does with a store that is configured: a real round trip, in a few seconds, which leaves nothing.

Each check gives outcome, detail and remedy. Its files are under `.elp-doctor/`, with a name of their own. What a check
on S3 leaves because the command ends before it, the next one removes.
"""

import contextlib
import os
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from elp_core.errors import ElpError
from elp_core.types import Seconds
from pipelines.local.address_credentials import has_password, without_password
from pipelines.local.store_addresses import s3_place
from pipelines.s3_client import S3Keys, S3Waits, open_s3

FOLDER = ".elp-doctor"
"""Folder or prefix of everything that a check writes."""
DEADLINE: Seconds = 10.0
"""How long a check may take; a store that hangs gives a finding then."""
MAX_SKEW: Seconds = 5.0
CONTENT = b"elp doctor"
StoreResult = tuple[str, str, str]
"""StoreResult (``ok``, ``warn``, ``fail``), detail and remedy."""

_WAITS = S3Waits(connect=2.0, read=3.0, attempts=1)
_LEFT: Seconds = 600.0
"""No check is at work for so long: what is older was left by one that was ended, or by a store that was late."""
_PARTS = (5 * 2**20, 3 * 2**20)
"""Bytes of the parts of a large object: all but the last have at least 5 MiB."""
_REFUSED = frozenset({"InvalidAccessKeyId", "SignatureDoesNotMatch", "InvalidToken", "ExpiredToken", "AuthFailure"})


def bounded(name: str, check: Callable[[], StoreResult], remedy: str, seconds: Seconds = DEADLINE) -> StoreResult:
    """Return what a check finds; if it takes longer than `seconds`, that is a failure with this remedy."""
    found: list[StoreResult | Exception] = []

    def run() -> None:
        try:
            found.append(check())
        except (ElpError, OSError) as error:
            found.append(("fail", str(error), remedy))
        except Exception as error:
            found.append(error)

    # a daemon: one that hangs does not keep the command from ending
    thread = threading.Thread(target=run, name=f"check {name}", daemon=True)
    thread.start()
    thread.join(seconds)
    if not found:
        return "fail", f"{name} does not answer within {seconds:.0f} s", remedy
    result = found[0]
    if isinstance(result, Exception):
        raise result
    return result


def own_name() -> str:
    """Return a name that no other check uses."""
    return f"{FOLDER}/{uuid.uuid4().hex}"


def skew_fault(there: float) -> str:
    """Return the difference between a clock, in seconds since the epoch, and this machine's; empty if it is small."""
    skew = there - time.time()
    return f"its clock is {abs(skew):.0f} s {'ahead' if skew > 0 else 'behind'}" if abs(skew) > MAX_SKEW else ""


def check_folder(folder: Path) -> StoreResult:
    """Write, read, list and delete a file in a folder; a second creation of the file must be refused."""
    place = folder / own_name()
    try:
        place.parent.mkdir(exist_ok=True)
        with place.open("xb") as file:
            file.write(CONTENT)
        with contextlib.suppress(FileExistsError), place.open("xb"):
            return (
                "fail",
                f"{folder} lets a file be created twice",
                "mount it with a protocol that has exclusive creation",
            )
        if place.read_bytes() != CONTENT or place.name not in os.listdir(place.parent):
            return "fail", f"{folder} does not give back what was written", "check the disk or the mount"
        if skewed := skew_fault(place.stat().st_mtime):
            return "fail", f"{folder}: {skewed}", "set the clock of the file server and of this machine"
    except OSError as error:
        return "fail", f"{folder} cannot be written ({error.strerror})", "give the user of this machine access to it"
    finally:
        with contextlib.suppress(OSError):
            place.unlink(missing_ok=True)
            place.parent.rmdir()
    return "ok", f"{folder} passed a round trip", ""


def check_s3(address: str, endpoint: str, keys: Mapping[str, str], names: tuple[str, str], setting: str) -> StoreResult:
    """Put, get, list, upload in parts, overwrite (which must be refused) and delete an object at ``s3://…``.

    Args:
        address: Bucket and prefix.
        endpoint: Of a store other than AWS; empty for AWS.
        keys: Values of both `names`; what is missing is looked up as boto3 does.
        names: Variables of the access key and of the secret key.
        setting: Where `endpoint` is set, for the remedy.
    """
    from botocore.exceptions import BotoCoreError, ClientError, NoCredentialsError

    where = f"{address} at {endpoint}" if endpoint else address
    place, client = s3_place(address), open_s3(endpoint, _WAITS, S3Keys(keys.get(names[0]), keys.get(names[1])))
    step = ["reach"]
    try:
        _remove_left(client, place.bucket, place.key(f"{FOLDER}/"))
        with _removed(client, place.bucket, [place.key(own_name()), place.key(own_name())]) as (small, large):
            return _round_trip(client, where, place.bucket, small, large, step)
    except NoCredentialsError:
        return "fail", f"{where}: no keys are set", f"set {names[0]} and {names[1]} in .elp/secrets.env"
    except ClientError as error:
        return "fail", *_refusal(error, where, step[-1], place.bucket, names, setting)
    except (BotoCoreError, ValueError) as error:
        return "fail", f"{where} does not answer: {error}", f"start the store, or correct {setting}"


def _remove_left(client: Any, bucket: str, prefix: str) -> None:
    """Remove the objects and the unfinished uploads of earlier checks, which the store may bill."""
    from botocore.exceptions import ClientError

    listed = [
        (client.list_objects_v2, "Contents", "LastModified", client.delete_object, ["Key"]),
        (client.list_multipart_uploads, "Uploads", "Initiated", client.abort_multipart_upload, ["Key", "UploadId"]),
    ]
    for look, found, since, remove, names in listed:
        # a key without this right; the round trip reports other faults
        with contextlib.suppress(ClientError):
            for one in look(Bucket=bucket, Prefix=prefix).get(found, []):
                # not every store honours the prefix of this request
                if one["Key"].startswith(prefix) and one[since].timestamp() < time.time() - _LEFT:
                    remove(Bucket=bucket, **{name: one[name] for name in names})


@contextlib.contextmanager
def _removed(client: Any, bucket: str, keys: list[str]) -> Iterator[list[str]]:
    """Give the keys; whatever happens in the block, their objects are deleted after it."""
    try:
        yield keys
    finally:
        for key in keys:
            with contextlib.suppress(Exception):
                client.delete_object(Bucket=bucket, Key=key)


def _round_trip(client: Any, where: str, bucket: str, small: str, large: str, step: list[str]) -> StoreResult:
    from botocore.exceptions import ClientError

    # first: some stores make a bucket that a request to write names
    head = client.head_bucket(Bucket=bucket)
    skewed = _skew_of(head)
    step.append("write to")
    client.put_object(Bucket=bucket, Key=small, Body=CONTENT, IfNoneMatch="*")
    try:
        client.put_object(Bucket=bucket, Key=small, Body=CONTENT, IfNoneMatch="*")
        return "fail", f"{where} overwrites an object that must not exist", "use a store with conditional writes"
    except ClientError as error:
        if error.response["ResponseMetadata"]["HTTPStatusCode"] not in (409, 412):
            raise
    step.append("read from")
    whole = client.get_object(Bucket=bucket, Key=small)["Body"].read() == CONTENT
    step.append("list")
    listed = client.list_objects_v2(Bucket=bucket, Prefix=small).get("Contents", [])
    step.append("upload in parts to")
    size = _upload_in_parts(client, bucket, large)
    step.append("delete from")
    for key in (small, large):
        client.delete_object(Bucket=bucket, Key=key)
    left = client.list_objects_v2(Bucket=bucket, Prefix=small).get("Contents", [])
    if not whole or len(listed) != 1 or size != sum(_PARTS) or left:
        return (
            "fail",
            f"{where} does not give back what was written",
            "check the store: it is no S3 store that keeps data",
        )
    if skewed:
        return "fail", f"{where}: {skewed}", "set the clock of the store and of this machine"
    return "ok", f"{where} passed a round trip", ""


def _upload_in_parts(client: Any, bucket: str, key: str) -> int:
    upload = client.create_multipart_upload(Bucket=bucket, Key=key)["UploadId"]
    place = {"Bucket": bucket, "Key": key, "UploadId": upload}
    try:
        sent = [client.upload_part(PartNumber=n, Body=bytes(size), **place) for n, size in enumerate(_PARTS, 1)]
        parts = [{"PartNumber": number, "ETag": part["ETag"]} for number, part in enumerate(sent, 1)]
        client.complete_multipart_upload(MultipartUpload={"Parts": parts}, **place)
    except BaseException:
        with contextlib.suppress(Exception):
            client.abort_multipart_upload(**place)
        raise
    return int(client.head_object(Bucket=bucket, Key=key)["ContentLength"])


def _skew_of(answer: Mapping[str, Any]) -> str:
    from email.utils import parsedate_to_datetime

    date = answer["ResponseMetadata"]["HTTPHeaders"].get("date")
    # the header has whole seconds
    return skew_fault(parsedate_to_datetime(date).timestamp() + 0.5) if date else ""


def _refusal(error: Any, where: str, step: str, bucket: str, names: tuple[str, str], setting: str) -> tuple[str, str]:
    """Return detail and remedy of an answer with an error."""
    code, status = str(error.response["Error"].get("Code", "")), error.response["ResponseMetadata"]["HTTPStatusCode"]
    if code == "RequestTimeTooSkewed":
        return f"{where}: the clocks differ too much", "set the clock of the store and of this machine"
    if code == "NoSuchBucket" or (step == "reach" and status == 404):
        return f"{where}: there is no bucket {bucket}", f"make the bucket, or correct the address or {setting}"
    if code in _REFUSED or (step == "reach" and status in (401, 403)):
        return f"{where} refuses the key ({code})", f"set {names[0]} and {names[1]} in .elp/secrets.env"
    if status in (401, 403):
        return f"{where}: this key may not {step} the bucket ({code})", f"give the user of {names[0]} this right"
    return f"{where} answers {status} ({code}) to the request to {step} it", f"correct {setting}: is that an S3 store?"


def check_database(address: str, setting: str, password: Mapping[str, str]) -> StoreResult:
    """Connect to a PostgreSQL database, make a temporary table in it, write and read a row, and compare the clocks."""
    try:
        import psycopg2
    except ImportError:
        return "fail", "the Python package psycopg2-binary is missing", "install elp-foundry[postgres]"
    shown = without_password(address)
    remedy = f"start PostgreSQL, or correct {setting} in elp.yaml"
    arguments = {"connect_timeout": 3, "options": "-c statement_timeout=3000"}
    if password.get("PGPASSWORD") and not has_password(address):
        arguments["password"] = password["PGPASSWORD"]
    if password.get("PGPASSFILE"):
        arguments["passfile"] = password["PGPASSFILE"]
    try:
        connection = psycopg2.connect(address.replace("postgresql+psycopg2://", "postgresql://"), **arguments)
    except psycopg2.Error as error:
        text = str(error).strip().splitlines()[-1] if str(error).strip() else type(error).__name__
        return "fail", f"{shown}: {text}", _database_remedy(text, setting, remedy)
    try:
        with contextlib.closing(connection), connection, connection.cursor() as cursor:
            cursor.execute("create temporary table elp_doctor (text text) on commit drop")
            cursor.execute("insert into elp_doctor values (%s)", (CONTENT.decode(),))
            cursor.execute("select text, extract(epoch from clock_timestamp()) from elp_doctor")
            text, there = cursor.fetchone()
            cursor.execute("select has_schema_privilege(current_schema(), 'CREATE')")
            (may_create,) = cursor.fetchone()
    except psycopg2.Error as error:
        return "fail", f"{shown}: {str(error).strip()}", remedy
    if text != CONTENT.decode() or not may_create:
        user = urlsplit(address).username or "its user"
        return "fail", f"{shown}: {user} may not make tables", f"run as its owner: alter database … owner to {user}"
    if skewed := skew_fault(float(there)):
        return "fail", f"{shown}: {skewed}", "set the clock of the database's machine and of this one"
    return "ok", f"{shown} passed a round trip", ""


def _database_remedy(text: str, setting: str, remedy: str) -> str:
    if "password" in text:
        return "set PGPASSWORD in .elp/secrets.env"
    if "does not exist" in text:
        return f"make it: docs/how-to/team.md has the statements; or correct {setting} in elp.yaml"
    return remedy
