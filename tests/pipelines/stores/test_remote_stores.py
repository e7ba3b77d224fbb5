"""The DVC remote on S3 and behind SSH: everything that a folder can do, and what the doctor says of it."""

from __future__ import annotations

import itertools
import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from pipelines.datasets.dvc import dvc_remote, metafile, push, track, tracked_hash
from pipelines.datasets.file_cache import fetch_folder
from pipelines.datasets.remote_finding import examine_remote
from pipelines.errors import VersioningError
from pipelines.local import git
from pipelines.local.initialise import init_workspace
from pipelines.local.profiles import Profile
from pipelines.local.workspace import Workspace
from tests.support.object_store import OWNER, ObjectStore, write_secrets
from tests.support.ssh_server import SshServer

FOLDER = Path("data/plant-a/asr/shards")
_numbers = itertools.count(1)


@pytest.fixture(params=["s3", "ssh"])
def remote(request: pytest.FixtureRequest, tmp_path: Path) -> Profile:
    """An empty remote of each kind."""
    if request.param == "ssh":
        ssh: SshServer = request.getfixturevalue("ssh")
        return Profile(f"{ssh.address}{tmp_path}/remote")
    store: ObjectStore = request.getfixturevalue("store")
    return Profile(f"s3://speech/dvc-{next(_numbers)}", s3_endpoint=store.endpoint)


@pytest.fixture
def team(tmp_path: Path, remote: Profile) -> Workspace:
    """A workspace with this remote, whose keys are in its file of secrets."""
    made = init_workspace(tmp_path / "workspace", profile=remote)
    write_secrets(made.state, OWNER.data_environment())
    return made


def _version(workspace: Workspace) -> str:
    """Track, push and commit a folder of two files; return its DVC hash."""
    folder = workspace.root / FOLDER
    folder.mkdir(parents=True)
    (folder / "a.parquet").write_bytes(b"first shard" * 1000)
    (folder / "b.parquet").write_bytes(b"second shard" * 1000)
    digest = track(workspace.root, [FOLDER])[FOLDER]
    push(workspace.root, [FOLDER])
    git.commit(workspace.root, [metafile(FOLDER)], "Add a version")
    return digest


def test_a_version_is_pushed_fetched_elsewhere_and_checked(team: Workspace, tmp_path: Path) -> None:
    digest = _version(team)
    assert tracked_hash((team.root / metafile(FOLDER)).read_text()) == digest
    # a worker: a clone without cache
    clone = tmp_path / "clone"
    git.git(tmp_path, "clone", "--quiet", str(team.root), str(clone))
    shutil.copytree(team.state, clone / ".elp", ignore=lambda folder, names: set(names) - {"secrets.env"})
    found = fetch_folder(str(clone), "HEAD", FOLDER, tmp_path / "cache")
    assert [path.read_bytes()[:6] for path in found] == [b"first ", b"second"]
    with dvc_remote(team.root, remote_only=True) as stored:
        names = stored.listing(digest)
        assert list(names) == ["a.parquet", "b.parquet"]
        assert stored.missing(set(names.values())) == set()
        lost = names["b.parquet"]
        stored.remote.fs.remove(stored.remote.oid_to_path(lost))
        assert stored.missing(set(names.values())) == {lost}
        with pytest.raises(VersioningError, match=f"the DVC remote holds no file {lost}"), stored.open(lost):
            pass
        stored.upload(lost, team.root / FOLDER / "b.parquet")
        assert stored.missing(set(names.values())) == set()


def test_the_doctor_makes_a_round_trip_and_leaves_nothing(team: Workspace, content: Callable[[], list[str]]) -> None:
    outcome, detail, _ = examine_remote(team)
    assert (outcome, "passed a round trip and has no version to hold yet" in detail) == ("ok", True), detail
    assert content() == []


@pytest.mark.parametrize("remote", ["ssh"], indirect=True)
def test_an_ssh_server_that_creates_a_file_twice_is_found(
    team: Workspace, monkeypatch: pytest.MonkeyPatch, content: Callable[[], list[str]]
) -> None:
    from asyncssh import sftp

    # as a server without exclusive creation
    monkeypatch.setitem(sftp._open_modes, "x", sftp._open_modes["w"])
    assert "lets a file be created twice" in examine_remote(team)[1]
    assert content() == []


@pytest.fixture
def content(request: pytest.FixtureRequest, remote: Profile, tmp_path: Path) -> Callable[[], list[str]]:
    """Return the names of everything in the remote."""
    if remote.remote.startswith("ssh"):
        return lambda: sorted(path.name for path in (tmp_path / "remote").rglob("*"))
    store: ObjectStore = request.getfixturevalue("store")
    return lambda: sorted(store.etags("speech", remote.remote.removeprefix("s3://speech/") + "/"))


@pytest.mark.parametrize("known", [None, "of another host"])
@pytest.mark.parametrize("remote", ["ssh"], indirect=True)
def test_a_host_whose_key_is_not_known_gets_nothing(
    team: Workspace, ssh: SshServer, tmp_path: Path, known: str | None, content: Callable[[], list[str]]
) -> None:
    place = Path(os.environ["HOME"]) / ".ssh" / "known_hosts"
    if known is None:
        place.unlink()
    else:
        # the machine in between has a key of its own
        other = (ssh.folder / "user.pub").read_text().split()[:2]
        place.write_text(f"[127.0.0.1]:{ssh.port} {' '.join(other)}\n")
    command = f"ssh-keyscan -p {ssh.port} 127.0.0.1 >> ~/.ssh/known_hosts"
    outcome, detail, remedy = examine_remote(team)
    assert (outcome, command in remedy) == ("fail", True), (detail, remedy)
    with pytest.raises(VersioningError, match=re.escape(command)):
        _version(team)
    assert content() == []
    place.write_text(ssh.known)
    assert examine_remote(team)[0] == "ok"


def test_without_a_key_the_doctor_says_what_to_set(team: Workspace, remote: Profile) -> None:
    (team.state / "secrets.env").unlink()
    (Path(os.environ["HOME"]) / ".ssh" / "id_ed25519").unlink(missing_ok=True)
    outcome, detail, remedy = examine_remote(team)
    assert outcome == "fail", detail
    assert ("AWS_ACCESS_KEY_ID" if remote.remote.startswith("s3") else "log in once by hand with ssh") in remedy
