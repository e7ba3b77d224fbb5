"""Credentials in the addresses of `elp.yaml` are refused, and no message shows them."""

from __future__ import annotations

import pytest

from elp_core.errors import ConfigError
from pipelines.local.address_credentials import has_password, without_password
from pipelines.local.settings import read_settings


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("remote: https://tok@store/x", "remote holds a user name, which may be an access token; use an SSH key"),
        ("remote: ssh://elp:tok@store/x", "remote holds a password"),
        ("servers: {mlflow_uri: 'https://u:tok@ml'}", "mlflow_uri holds a password; set MLFLOW_TRACKING_USERNAME"),
        ("servers: {prefect_api: 'https://p/api?key=tok'}", "prefect_api holds a query"),
        ("servers: {artifacts: 's3://k:tok@b/x'}", "artifacts is an address with a login, expected s3://BUCKET/PREFIX"),
        ("retention: {shared_with: ['https://g/a.git', 'https://tok@g/b.git']}", "shared_with: 2 holds a user name"),
        ("retention: {shared_with: ['u:tok@g:b.git']}", "shared_with: 1 holds a password"),
        ("servers: {s3_endpoint: 'https://u:to[tok@s3'}", "s3_endpoint is 'an address with a login', expected"),
        ("servers: {prefect_database: 'postgresql://u:a/tok@db/p'}", "prefect_database is 'an address with a login'"),
        ("servers: {prefect_database: 'postgresql://u:12/tok@db/p'}", "prefect_database is 'an address with a login'"),
        ("git: 'https://u:12/tok@g/x.git'", "git: it holds a login that cannot be read"),
        ("servers: {mlflow_uri: 'http://[x'}", "mlflow_uri has a host or a port that cannot be read"),
        ("servers: {prefect_api: 'http://control:port/api'}", "prefect_api has a host or a port that cannot be read"),
        ("remote: ssh://[x/y", "remote has a host or a port that cannot be read"),
        ("servers: {artifacts: 's3://[b/x'}", "artifacts is 's3://\\[b/x', expected s3://BUCKET/PREFIX"),
    ],
)
def test_a_credential_in_an_address_is_refused_and_not_shown(text: str, sentence: str) -> None:
    with pytest.raises(ConfigError, match=sentence) as caught:
        read_settings(text)
    assert "tok@" not in str(caught.value)


@pytest.mark.parametrize(
    "text",
    ["remote: ssh://elp@store:22/x@1", "git: 'control:x@1.git'", "servers: {mlflow_uri: 'https://ml:5000/path'}"],
)
def test_an_address_without_a_credential_is_allowed(text: str) -> None:
    assert read_settings(text)


def test_a_password_in_the_query_of_a_database_is_one() -> None:
    address = "postgresql://elp@db/x?sslmode=require&pass%77ord=tok"
    assert has_password(address)
    assert without_password(address) == "postgresql://elp@db/x?…"
