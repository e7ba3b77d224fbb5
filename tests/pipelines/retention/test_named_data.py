"""The hashes that a repository names: whatever they are named in keeps its data."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipelines.local import git
from pipelines.retention.named_data import named_elsewhere, named_in_history

MD5 = "0123456789abcdef0123456789abcdef"
TEXT = f"outs:\n- md5: {MD5}\n  path: audio\n"


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


@pytest.mark.parametrize("content", [TEXT.replace("\n", "\r\n").encode(), TEXT.encode() + "# 録音".encode("cp932")])
def test_the_ends_of_lines_and_the_encoding_do_not_matter(root: Path, content: bytes, tmp_path: Path) -> None:
    # two files: the answer about the first one must end where it ends
    for name in ("one.dvc", "two.dvc"):
        _write(root, name, content)
    git.commit(root, [Path("one.dvc"), Path("two.dvc")], "Track them")
    git.git(root, "rm", "--quiet", "--cached", "one.dvc", "two.dvc")
    assert set(named_elsewhere(root, [])) == {MD5}
    assert named_in_history(str(root), tmp_path / "cache") == {MD5}
