from __future__ import annotations

from pathlib import Path

import pytest

from pipelines.errors import VersioningError, WorkspaceError
from pipelines.local import git
from pipelines.local.git_server import server_refs
from pipelines.local.run_workspace import _default_branch, _refs


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    root = tmp_path / "repository"
    root.mkdir()
    git.git(root, "init", "--quiet")
    (root / "a.txt").write_text("one\n")
    git.commit(root, [Path("a.txt")], "Begin")
    return root


def test_a_commit_takes_its_paths_and_no_others(repository: Path) -> None:
    (repository / "a.txt").write_text("two\n")
    (repository / "b.txt").write_text("mine\n")
    revision = git.commit(repository, [Path("a.txt")], "Change a")
    assert revision == git.resolve(repository)
    assert git.git(repository, "status", "--porcelain") == "?? b.txt"


def test_tags_name_commits(repository: Path) -> None:
    first = git.resolve(repository)
    git.tag(repository, "data/x/asr/v1", "one")
    git.git(repository, "tag", "data/x/asr/v2")
    git.tag(repository, "golden/x/asr/v1", "pinned")
    assert git.tags(repository, "data/x/asr/v*") == {"data/x/asr/v1": first, "data/x/asr/v2": first}


@pytest.mark.parametrize("name", ["a\u2028b", "a\u00a0b", b"caf\xe9".decode(errors="surrogateescape")])
def test_the_name_of_a_ref_may_have_any_separator_and_encoding(repository: Path, name: str) -> None:
    commit = git.resolve(repository)
    tag, branch, there = f"refs/tags/data/{name}", f"refs/heads/{name}", f"refs/remotes/origin/{name}"
    for ref in (tag, branch, there):
        git.git(repository, "update-ref", ref, "HEAD")
    assert git.tags(repository, "data") == {f"data/{name}": commit}
    assert {tag, branch, there} <= server_refs(repository, str(repository))[1].keys()
    assert _refs(repository) == {tag: commit, there: commit}
    assert _default_branch(repository, "") == name
    git.delete_refs(repository, [tag])
    assert git.tags(repository, "data") == {}


def test_texts_of_many_revisions_come_in_one_call(repository: Path) -> None:
    first = git.resolve(repository)
    (repository / "a.txt").write_text("zwei\nöl\n")
    second = git.commit(repository, [Path("a.txt")], "Change a")
    assert git.show_all(repository, [first, second, "none"], Path("a.txt")) == ["one\n", "zwei\nöl\n", None]
    assert git.show_all(repository, [], Path("a.txt")) == []


def test_what_is_not_there_is_none(repository: Path) -> None:
    assert git.show(repository, "HEAD", Path("b.txt")) is None
    assert git.resolve(repository, "data/x/asr/v9") == ""


def test_a_text_that_is_not_utf8_is_not_changed_silently(repository: Path) -> None:
    (repository / "b").write_bytes(b"caf\xe9")
    git.commit(repository, [Path("b")], "Add it")
    with pytest.raises(UnicodeDecodeError):
        git.show(repository, "HEAD", Path("b"))


def test_unstaging_keeps_the_file(repository: Path) -> None:
    (repository / "b.txt").write_text("mine\n")
    git.git(repository, "add", "b.txt")
    git.unstage(repository, [Path("b.txt"), Path("a.txt")])
    assert git.git(repository, "status", "--porcelain") == "?? b.txt"


def test_what_git_says_is_in_the_error(repository: Path) -> None:
    with pytest.raises(VersioningError, match=r"git checkout failed in .*pathspec 'nowhere'"):
        git.git(repository, "checkout", "nowhere")


def test_without_git_the_error_says_so(repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    with pytest.raises(VersioningError, match="git is not installed"):
        git.git(repository, "status")


def test_a_folder_inside_a_repository_is_not_its_top(repository: Path) -> None:
    (repository / "inner").mkdir()
    with pytest.raises(WorkspaceError, match="not the top of a Git repository"):
        git.require_clean(repository / "inner", Path("data"))


def test_a_repository_elsewhere_is_mirrored_and_kept_up_to_date(repository: Path, tmp_path: Path) -> None:
    bare = tmp_path / "bare.git"
    git.git(tmp_path, "clone", "--quiet", "--bare", str(repository), str(bare))
    url = f"file://{bare}/."
    assert git.local_copy(str(repository), tmp_path / "cache") == repository
    mirror = git.local_copy(url.replace("file://", "file://localhost"), tmp_path / "cache")
    git.git(bare, "tag", "new")
    assert git.local_copy(url.replace("file://", "file://localhost"), tmp_path / "cache") == mirror
    assert git.resolve(mirror, "new") == git.resolve(repository)


def test_the_mirror_of_a_shallow_clone_becomes_whole_with_it(repository: Path, tmp_path: Path) -> None:
    (repository / "a.txt").write_text("two\n")
    git.commit(repository, [Path("a.txt")], "Change a")
    clone, cache = tmp_path / "clone", tmp_path / "cache"
    git.git(tmp_path, "clone", "--quiet", "--depth=1", repository.as_uri(), str(clone))
    address = clone.as_uri().replace("file://", "file://localhost")
    assert git.is_shallow(git.local_copy(address, cache))
    git.git(clone, "fetch", "--quiet", "--unshallow")
    assert not git.is_shallow(git.local_copy(address, cache))


def test_listed_paths_are_as_they_are(repository: Path) -> None:
    names = {"データ/録音.dvc", 'a "b".dvc', "two\nlines.dvc"}
    for name in names:
        (repository / name).parent.mkdir(exist_ok=True)
        (repository / name).write_text("one\n")
    assert set(git.listed(repository, "ls-files", "--others")) == names
    with pytest.raises(WorkspaceError, match=r"has changes that are not committed \(データ/録音.dvc\)"):
        git.require_clean(repository, Path("データ"))
    git.git(repository, "add", "--", "データ/録音.dvc")
    with pytest.raises(WorkspaceError, match=r"has staged changes \(データ/録音.dvc\)"):
        git.require_clean(repository, Path("data"))
