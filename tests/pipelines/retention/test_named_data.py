"""The hashes that a repository names: whatever they are named in keeps its data."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from pipelines.errors import VersioningError
from pipelines.local import git
from pipelines.registry.retention import RetentionPolicy
from pipelines.retention.named_data import copies_of_others, fetch_named, named_elsewhere, named_in_history, tagged_data

MD5 = "0123456789abcdef0123456789abcdef"
TEXT = f"outs:\n- md5: {MD5}\n  path: audio\n"
NAMES = ["データ/録音.dvc", "tür.dvc", 'a "b"\\c.dvc', "two\nlines.dvc", "below/dvc.lock"]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = tmp_path / "repository"
    root.mkdir()
    git.git(root, "init", "--quiet", "--initial-branch=main")
    (root / "a").write_text("a")
    git.commit(root, [Path("a")], "Begin")
    return root


def _write(root: Path, name: str, content: bytes = TEXT.encode()) -> None:
    (root / name).parent.mkdir(parents=True, exist_ok=True)
    (root / name).write_bytes(content)


def _on_a_branch(root: Path, name: str) -> None:
    git.git(root, "checkout", "--quiet", "-b", "other")
    git.commit(root, [Path(name)], "Track it")
    git.git(root, "checkout", "--quiet", "main")


def _tracked_and_changed(root: Path, name: str) -> None:
    now = (root / name).read_bytes()
    (root / name).write_text("outs: []\n")
    git.commit(root, [Path(name)], "Track it")
    (root / name).write_bytes(now)


def _untracked(root: Path, name: str) -> None:
    pass


def _in_an_older_stash(root: Path, name: str) -> None:
    git.git(root, "stash", "push", "--quiet", "--include-untracked")
    (root / "a").write_text("b")
    git.git(root, "stash", "push", "--quiet")


@pytest.mark.parametrize("place", [_on_a_branch, _tracked_and_changed, _untracked, _in_an_older_stash])
@pytest.mark.parametrize("name", NAMES)
def test_what_a_file_of_any_name_names_is_found(root: Path, name: str, place: Callable[[Path, str], None]) -> None:
    _write(root, name)
    place(root, name)
    assert named_elsewhere(root, []) == {MD5}


@pytest.mark.parametrize("name", NAMES)
def test_the_history_of_another_repository_counts(root: Path, name: str) -> None:
    _write(root, name)
    git.commit(root, [Path(name)], "Track it")
    git.git(root, "rm", "--quiet", "--", name)
    git.git(root, "commit", "--quiet", "--message", "Track it no more")
    assert named_in_history(root) == {MD5}


@pytest.mark.parametrize("name", ["a\u2028b", b"caf\xe9".decode(errors="surrogateescape")])
def test_a_ref_of_any_name_is_read(root: Path, name: str) -> None:
    _write(root, "audio.dvc")
    _on_a_branch(root, "audio.dvc")
    git.git(root, "tag", f"data/{name}", "other")
    git.git(root, "branch", "--move", "other", name)
    assert (tagged_data(root), named_elsewhere(root, [])) == ([], {MD5})


def test_the_stashes_of_another_repository_count(root: Path) -> None:
    _write(root, "audio.dvc")
    _in_an_older_stash(root, "audio.dvc")
    assert named_in_history(root) == {MD5}


@pytest.mark.parametrize("content", [TEXT.replace("\n", "\r\n").encode(), TEXT.encode() + "# 録音".encode("cp932")])
def test_the_ends_of_lines_and_the_encoding_do_not_matter(root: Path, content: bytes) -> None:
    # two files: the answer about the first one must end where it ends
    for name in ("one.dvc", "two.dvc"):
        _write(root, name, content)
    git.commit(root, [Path("one.dvc"), Path("two.dvc")], "Track them")
    git.git(root, "rm", "--quiet", "--cached", "one.dvc", "two.dvc")
    assert named_elsewhere(root, []) == {MD5}
    assert named_in_history(root) == {MD5}


def test_a_tag_that_was_rewritten_on_the_server_is_named_and_kept(root: Path, tmp_path: Path) -> None:
    server, tag = tmp_path / "server.git", "data/a/asr/v1"
    git.tag(root, tag, "a version")
    git.git(root, "clone", "--quiet", "--bare", ".", str(server))
    fetch_named(root, str(server))
    old = git.resolve(root, tag)
    _write(root, "audio.dvc")
    git.commit(root, [Path("audio.dvc")], "Track it")
    git.git(server, "fetch", "--quiet", str(root), "main")
    git.git(server, "tag", "--force", tag, "FETCH_HEAD")
    git.git(server, "tag", "other", "FETCH_HEAD")
    with pytest.raises(VersioningError, match=rf"at the tag {tag} than this workspace.*git branch kept/") as caught:
        fetch_named(root, str(server))
    assert git.resolve(root, tag) == old
    for step in re.findall(": git ([^;]*)", str(caught.value)):
        git.git(root, *step.split())
    fetch_named(root, str(server))
    assert (git.resolve(root, f"kept/{tag}"), git.resolve(root, tag)) == (old, git.resolve(server, tag))


def test_a_shallow_clone_is_refused_until_it_is_whole(root: Path, tmp_path: Path) -> None:
    git.tag(root, "data/a/asr/v1", "a version")
    _write(root, "audio.dvc")
    git.commit(root, [Path("audio.dvc")], "Track it")
    git.git(root, "rm", "--quiet", "audio.dvc")
    git.git(root, "commit", "--quiet", "--message", "Track it no more")
    clone = tmp_path / "clone"
    git.git(root, "clone", "--quiet", "--depth=1", root.as_uri(), str(clone))
    others = RetentionPolicy(shared_with=(str(clone),))
    for read in (tagged_data, lambda place: copies_of_others(others, tmp_path / "cache")):
        with pytest.raises(VersioningError, match=r"is a shallow clone.*in it: git fetch") as caught:
            read(clone)
    git.git(clone, *str(caught.value).rpartition(": git ")[2].split())
    assert [one.tag for one in tagged_data(clone)] == ["data/a/asr/v1"]
    assert named_in_history(clone) == {MD5}
