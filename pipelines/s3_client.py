"""The client of an S3 store: one way to make it, for the server's artifacts, the inbox and the doctor's checks.

DVC has a client of its own; `AWS_ACCESS_KEY_ID` and its like are for that one, and for an inbox.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any

from elp_core.types import Seconds

ARTIFACTS_KEY, ARTIFACTS_SECRET = "ELP_ARTIFACTS_ACCESS_KEY_ID", "ELP_ARTIFACTS_SECRET_ACCESS_KEY"
"""Variables with the keys of the MLflow server for its artifacts: no other client finds them."""


@dataclass(frozen=True)
class S3Keys:
    """An access key; what is None is looked for as boto3 always does."""

    access: str | None = None
    secret: str | None = None

    @classmethod
    def of_artifacts(cls) -> S3Keys:
        """Return the keys for the artifacts that the environment of this process has."""
        return cls(os.environ.get(ARTIFACTS_KEY), os.environ.get(ARTIFACTS_SECRET))


@dataclass(frozen=True)
class S3Waits:
    """How long a request may take, and how often it is made."""

    connect: Seconds
    read: Seconds
    attempts: int


def open_s3(
    endpoint: str | None,
    waits: S3Waits,
    keys: S3Keys = S3Keys(),
    style: str = "auto",
    ignore_tls: bool = False,
    connections: int = 10,
) -> Any:
    """Return a client of boto3; raise ModuleNotFoundError if boto3 is not installed.

    Args:
        endpoint: Of a store other than AWS; empty or None for AWS.
        waits: Bounds of each request.
        keys: Of the account.
        style: How a bucket is addressed: ``auto``, ``path`` or ``virtual``.
        ignore_tls: Whether the certificate of the store is not checked.
        connections: How many may be open at once.
    """
    # boto3 takes half a second, and few commands need it
    import boto3
    from botocore.config import Config

    # stores other than AWS refuse the checksums that are sent by default, and have no host name for each bucket
    plain = {"request_checksum_calculation": "when_required", "response_checksum_validation": "when_required"}
    config = Config(
        signature_version="s3v4",
        connect_timeout=waits.connect,
        read_timeout=waits.read,
        retries={"total_max_attempts": waits.attempts, "mode": "standard"},
        s3={"addressing_style": "path" if endpoint and style == "auto" else style},
        max_pool_connections=connections,
        **(plain if endpoint else {}),
    )
    # a session of its own: the usual one keeps the account that it found first
    session = boto3.session.Session()
    region = os.environ.get("AWS_REGION") or session.region_name or ("us-east-1" if endpoint else None)
    return session.client(
        "s3",
        endpoint_url=endpoint or None,
        config=config,
        verify=False if ignore_tls else None,
        aws_access_key_id=keys.access,
        aws_secret_access_key=keys.secret,
        region_name=region,
    )
