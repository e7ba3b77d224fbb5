"""The settings of DVC are written and read as DVC reads them."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipelines.errors import WorkspaceError
from pipelines.local.dvc_repository import dvc_config, remote_options
from pipelines.local.initialise import init_workspace

REMOTES = [
    "/srv/data #1", "s3://speech/data#1", "/srv/a,b", "/srv/it's", '/srv/"a"', "/srv/'a' \"b\"", "/srv/a b ",
    "/srv/50%", "/srv/%%", "/srv/a;b=[c]", r"/srv/\n", "/srv/録音 #1/𠮷", "ssh://host/録音,1",
]  # fmt: skip


def _as_dvc_reads(root: Path) -> str:
    from dvc.config import Config

    return str(Config(str(root / ".dvc"))["remote"]["storage"]["url"])


@pytest.mark.parametrize("remote", REMOTES)
def test_dvc_reads_back_the_remote_that_was_given(remote: str, tmp_path: Path) -> None:
    (tmp_path / ".dvc").mkdir()
    (tmp_path / ".dvc" / "config").write_text(dvc_config(remote), encoding="utf-8")
    assert _as_dvc_reads(tmp_path) == remote_options(tmp_path)["url"] == remote


@pytest.mark.parametrize("remote", ["/srv/%(site)s", "/srv/'''\"\"\"", "/srv/a\rb"])
def test_a_remote_that_dvc_would_read_as_another_is_refused_before_anything_is_made(
    remote: str, tmp_path: Path
) -> None:
    with pytest.raises(WorkspaceError, match=r"DVC cannot read the remote .* from its settings; give an"):
        init_workspace(tmp_path / "new", remote)
    assert not (tmp_path / "new").exists()


def test_a_new_workspace_has_one_remote_for_people_and_for_dvc(tmp_path: Path) -> None:
    remote = f"""{tmp_path}/"録音" #1, 'part' 𠮷 """
    made = init_workspace(tmp_path / "new", remote)
    assert made.settings.remote == _as_dvc_reads(made.root) == remote


def test_what_dvc_overlooks_in_its_settings_is_overlooked(tmp_path: Path) -> None:
    (tmp_path / ".dvc").mkdir()
    (tmp_path / ".dvc" / "config").write_text(
        "[core]\nremote = Store\n['remote \"store\"']\nURL = /srv/a  # the old one\n"
    )
    (tmp_path / ".dvc" / "config.local").write_text("['remote \"store\"']\nuser = 'elp'\n")
    assert remote_options(tmp_path) == {"name": "Store", "url": "/srv/a", "user": "elp"}
