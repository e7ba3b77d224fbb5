"""The trash on a real object store: of the DVC remote, and of the artifacts behind the server."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipelines.datasets.dvc import dvc_remote, push, track
from pipelines.local.dvc_repository import make_dvc_repository
from pipelines.registry.retention import POLICY_VARIABLE
from pipelines.retention.data_plan import read_stored
from pipelines.retention.data_trash import delete_trashed, list_trash, read_listing, restore_files, trash_files
from tests.support.contest import CHAMPION, FAILED, prepare
from tests.support.guarded_server import Bucket, guarded_server
from tests.support.object_store import OWNER, ObjectStore, object_store
from tests.support.versions_by_hand import ELP

pytestmark = [pytest.mark.slow, pytest.mark.integration]

AT_ONCE = {"grace_days": 0, "trash_days": 0, "keep_last": 0}


@pytest.fixture(scope="module")
def store() -> Iterator[ObjectStore]:
    with object_store() as running:
        yield running


def test_files_of_the_dvc_remote(store: ObjectStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in OWNER.data_environment().items():
        monkeypatch.setenv(name, value)
    bucket, root = store.bucket("data"), tmp_path / "site"
    (root / "folder").mkdir(parents=True)
    subprocess.run(["git", "init", "-q", str(root)], check=True)
    make_dvc_repository(root, f"s3://{bucket}/dvc", store.endpoint)
    for number in range(3):
        (root / "folder" / f"{number}.bin").write_bytes(bytes([number]) * 100)
    hashes = track(root, [Path("folder")])
    push(root, [Path("folder")])
    listing = hashes[Path("folder")].removeprefix("md5:")
    with dvc_remote(root, remote_only=True) as stored:
        before = read_stored(stored)
        assert len(before) == 4
        assert all(file.at is not None for file in before.values())
        assert sorted(file.bytes for file in before.values())[:3] == [100] * 3
        trash_files(stored, 41, before)
        assert read_stored(stored) == {}
        trashed = list_trash(stored)
        assert {(one.seq, one.md5) for one in trashed} == {(41, md5) for md5 in before}
        (found,) = [one for one in trashed if one.md5 == listing]
        assert read_listing(stored, found) == frozenset(before) - {listing}
        # moved twice, or pushed again meanwhile: nothing is lost, and nothing is left behind
        trash_files(stored, 41, before)
        restore_files(stored, trashed)
        assert read_stored(stored).keys() == before.keys()
        assert list_trash(stored) == []
        trash_files(stored, 42, before)
        delete_trashed(stored, list_trash(stored))
        assert (read_stored(stored), list_trash(stored)) == ({}, [])
    assert store.objects(bucket) == {}


def test_adapters_behind_the_server(store: ObjectStore, tmp_path: Path) -> None:
    bucket = Bucket(store, store.bucket("artifacts"), "mlflow")
    environment = {POLICY_VARIABLE: json.dumps(AT_ONCE)}
    with guarded_server(tmp_path, environment=environment, bucket=bucket) as server:
        contest = prepare(server, "gone-s3")
        made = contest.made[FAILED]
        sizes = {one["version"]: one["bytes"] for one in contest.rest.get(f"{ELP}/retention?sizes=true")["adapters"]}
        held = store.objects(bucket.name, f"mlflow/{made.folder}")
        assert sizes[FAILED] == sum(map(len, held.values())) > 0
        wanted = [{"slot": contest.slot, "version": FAILED, "bundle": made.bundle}]
        contest.rest.post(f"{ELP}/trash", {"versions": wanted})
        assert store.objects(bucket.name, f"mlflow/{made.folder}") == held
        assert len(contest.rest.post(f"{ELP}/empty-trash", {})["emptied"]) == 1
        assert store.objects(bucket.name, f"mlflow/{made.folder}") == {}
        assert store.objects(bucket.name, f"mlflow/{made.evidence}")
        assert store.objects(bucket.name, f"mlflow/{contest.made[CHAMPION].folder}")
