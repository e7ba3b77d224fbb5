"""The round trips of `elp doctor`: each mistake is one finding that names what to set, in bounded time."""

from __future__ import annotations

import signal
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipelines.local import store_checks
from pipelines.local.server_store_checks import server_store_checks
from pipelines.local.settings import Servers, Settings
from pipelines.local.store_checks import bounded, check_database, check_folder, check_s3
from pipelines.local.workspace import Workspace
from pipelines.s3_client import ARTIFACTS_KEY, ARTIFACTS_SECRET
from tests.support.object_store import OWNER, READER, Keys, ObjectStore, object_store, write_secrets
from tests.support.postgres import Postgres

NAMES = (ARTIFACTS_KEY, ARTIFACTS_SECRET)
SETTING = "servers.s3_endpoint in elp.yaml"


def _s3(store: ObjectStore, keys: Keys = OWNER, bucket: str = "speech", endpoint: str = "") -> tuple[str, str, str]:
    return check_s3(f"s3://{bucket}/checks", endpoint or store.endpoint, keys.artifacts_environment(), NAMES, SETTING)


def test_a_store_that_works_passes_and_is_as_before(store: ObjectStore) -> None:
    before = store.etags("speech")
    outcome, detail, remedy = _s3(store)
    assert (outcome, remedy) == ("ok", ""), detail
    assert store.etags("speech") == before
    assert not store.client().list_multipart_uploads(Bucket="speech").get("Uploads")


def test_a_check_removes_what_earlier_ones_have_left(store: ObjectStore, monkeypatch: pytest.MonkeyPatch) -> None:
    client, bucket = store.client(), store.bucket("left")
    for key in ("checks/.elp-doctor/a", "checks/.elp-doctor-of-mine", "checks/mine"):
        client.put_object(Bucket=bucket, Key=key, Body=b"x")
        client.create_multipart_upload(Bucket=bucket, Key=f"{key}-large")

    def uploads() -> list[str]:
        return sorted(one["Key"] for one in client.list_multipart_uploads(Bucket=bucket).get("Uploads", []))

    before = uploads()
    assert _s3(store, bucket=bucket)[0] == "ok"
    assert (len(store.etags(bucket)), uploads()) == (3, before), "another check may be at work"
    monkeypatch.setattr(store_checks, "_LEFT", -60.0)
    # of a key that may not remove them
    assert "may not write" in _s3(store, READER, bucket)[1]
    assert len(store.etags(bucket)) == 3
    assert _s3(store, bucket=bucket)[0] == "ok"
    assert list(store.etags(bucket)) == ["checks/.elp-doctor-of-mine", "checks/mine"]
    assert uploads() == ["checks/.elp-doctor-of-mine-large", "checks/mine-large"]


@pytest.mark.parametrize(
    ("keys", "bucket", "found", "remedy"),
    [
        (Keys("stranger", "x"), "speech", "refuses the key", f"set {ARTIFACTS_KEY} and {ARTIFACTS_SECRET}"),
        (Keys(OWNER.access, "wrong"), "speech", "refuses the key", f"set {ARTIFACTS_KEY} and {ARTIFACTS_SECRET}"),
        (READER, "speech", "this key may not write to the bucket (AccessDenied)", f"give the user of {ARTIFACTS_KEY}"),
        (OWNER, "no-such-bucket", "there is no bucket no-such-bucket", "make the bucket, or correct the address"),
    ],
)
def test_what_is_wrong_with_key_and_bucket(
    store: ObjectStore, keys: Keys, bucket: str, found: str, remedy: str
) -> None:
    outcome, detail, said = _s3(store, keys, bucket)
    assert outcome == "fail"
    assert found in detail
    assert remedy in said
    assert bucket == "speech" or bucket not in str(store.client().list_buckets()["Buckets"])


def test_no_keys_at_all(store: ObjectStore) -> None:
    outcome, detail, remedy = check_s3("s3://speech/x", store.endpoint, {}, NAMES, SETTING)
    assert (outcome, remedy) == ("fail", f"set {ARTIFACTS_KEY} and {ARTIFACTS_SECRET} in .elp/secrets.env"), detail


def test_a_wrong_endpoint(store: ObjectStore, postgres: Postgres) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        nobody = f"http://127.0.0.1:{probe.getsockname()[1]}"
        outcome, detail, remedy = _s3(store, endpoint=nobody)
    assert (outcome, remedy) == ("fail", f"start the store, or correct {SETTING}")
    assert "does not answer" in detail
    # a server of another kind
    assert _s3(store, endpoint=f"http://127.0.0.1:{postgres.port}")[0] == "fail"


@pytest.fixture
def hung() -> Iterator[ObjectStore]:
    """A store of the test's own, stopped."""
    with object_store() as running:
        running.bucket("speech")
        running.signal(signal.SIGSTOP)
        yield running


def test_a_store_that_hangs_gives_a_finding_in_bounded_time(hung: ObjectStore, tmp_path: Path) -> None:
    servers = Servers(artifacts="s3://speech/mlflow", s3_endpoint=hung.endpoint)
    workspace = Workspace(tmp_path, Settings(servers=servers))
    write_secrets(workspace.state, OWNER.artifacts_environment())
    started = time.monotonic()
    outcome, detail, remedy = server_store_checks(workspace)["artifacts"](workspace)
    assert (outcome, "does not answer" in detail) == ("fail", True), detail
    assert SETTING in remedy
    assert time.monotonic() - started < store_checks.DEADLINE + 20


def test_a_check_that_never_ends_is_a_failure() -> None:
    def never() -> tuple[str, str, str]:
        time.sleep(30)
        return "ok", "", ""

    assert bounded("it", never, "remedy", 0.2) == ("fail", "it does not answer within 0 s", "remedy")


@pytest.mark.parametrize("setting", ["database", "prefect_database"])
def test_a_database_that_works(postgres: Postgres, tmp_path: Path, setting: str) -> None:
    address = postgres.database(f"doctor-{setting}")
    workspace = Workspace(tmp_path, Settings(servers=Servers(**{setting: address})))
    ((name, check),) = server_store_checks(workspace).items()
    assert name == ("mlflow database" if setting == "database" else "prefect database")
    outcome, detail, _ = check(workspace)
    assert outcome == "ok", detail
    assert postgres.psql(f"doctor-{setting}", "select count(*) from pg_tables where schemaname = 'public'") == "0\n"


def test_what_is_wrong_with_a_database(postgres: Postgres) -> None:
    def found(address: str) -> tuple[str, str, str]:
        return check_database(address, "servers.database", {})

    right = f"postgresql://elp@127.0.0.1:{postgres.port}"
    outcome, detail, remedy = found(f"{right}/missing")
    assert (outcome, "does not exist" in detail) == ("fail", True)
    assert "docs/how-to/team.md" in remedy
    outcome, detail, remedy = found("postgresql://elp:hunter2@127.0.0.1:1/x")
    assert (outcome, "hunter2" in detail + remedy) == ("fail", False)
    assert "correct servers.database in elp.yaml" in remedy
    postgres.database("not-theirs")
    postgres.psql("postgres", "create role guest login")
    outcome, detail, remedy = found(f"postgresql://guest@127.0.0.1:{postgres.port}/not-theirs")
    assert (outcome, "guest may not make tables" in detail) == ("fail", True), detail
    assert "owner to guest" in remedy


def test_a_password_in_the_settings_is_a_warning(postgres: Postgres, tmp_path: Path) -> None:
    address = postgres.database("with-password").replace("elp@", "elp:hunter2@")
    workspace = Workspace(tmp_path, Settings(servers=Servers(database=address)))
    outcome, detail, remedy = server_store_checks(workspace)["mlflow database"](workspace)
    assert (outcome, "hunter2" in detail) == ("warn", False)
    assert "PGPASSWORD in .elp/secrets.env" in remedy


def test_a_folder(tmp_path: Path) -> None:
    assert check_folder(tmp_path) == ("ok", f"{tmp_path} passed a round trip", "")
    assert list(tmp_path.iterdir()) == []
    (tmp_path / ".elp-doctor").write_text("a file in the way")
    assert check_folder(tmp_path)[0] == "fail"


def test_a_clock_that_differs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, store: ObjectStore) -> None:
    now = time.time
    monkeypatch.setattr(store_checks.time, "time", lambda: now() - 60)
    assert "its clock is 60 s ahead" in check_folder(tmp_path)[1]
    assert "s ahead" in store_checks.skew_fault(now())


def test_a_laptop_has_no_more_checks(tmp_path: Path) -> None:
    assert server_store_checks(Workspace(tmp_path, Settings())) == {}
