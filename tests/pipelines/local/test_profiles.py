"""`elp init --profile`: what a laptop and a team get, and which mistakes are refused before anything is made."""

from __future__ import annotations

import json
import stat
from pathlib import Path

import pytest

from pipelines.cli.main import run
from pipelines.local import git
from pipelines.local.workspace import open_workspace

pytestmark = pytest.mark.integration

TEAM = {
    "--git": "ssh://elp@control/srv/git/foundry.git",
    "--postgres": "postgresql://elp@db.plant.lan",
    "--remote": "s3://speech/foundry",
    "--s3-endpoint": "http://store.plant.lan:8333",
}


def _init(root: Path, options: dict[str, str], *more: str) -> int:
    words = [word for pair in options.items() for word in pair]
    return run(["init", str(root), "--profile", "team", *words, *more])


def test_a_team_gets_all_settings_and_no_secret_in_git(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    root = tmp_path / "foundry"
    assert _init(root, TEAM, "--host", "10.0.0.5") == 0
    servers = open_workspace(root).settings.servers
    assert open_workspace(root).settings.git == TEAM["--git"]
    assert servers.host == "10.0.0.5"
    assert servers.database == "postgresql://elp@db.plant.lan/mlflow"
    assert servers.prefect_database == "postgresql://elp@db.plant.lan/prefect"
    assert servers.artifacts == "s3://speech/foundry-mlflow"
    assert servers.s3_endpoint == "http://store.plant.lan:8333"
    config = (root / ".dvc" / "config").read_text()
    assert "url = s3://speech/foundry\n    endpointurl = http://store.plant.lan:8333\n" in config
    secrets = root / ".elp" / "secrets.env"
    assert stat.S_IMODE(secrets.stat().st_mode) == 0o600
    assert git.git(root, "status", "--porcelain") == ""
    assert "secrets" not in git.git(root, "ls-files")
    shown = capfd.readouterr().out
    for name in ("PGPASSWORD", "ELP_ARTIFACTS_ACCESS_KEY_ID", "ELP_ARTIFACTS_SECRET_ACCESS_KEY", "AWS_ACCESS_KEY_ID"):
        assert name in shown
        assert f"# {name}=" in secrets.read_text()


def test_data_behind_ssh_needs_no_store_and_no_key(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    options = {**TEAM, "--remote": "ssh://elp@store/srv/dvc", "--postgres": "postgresql://elp@db:5433/ml,pf"}
    del options["--s3-endpoint"]
    assert _init(tmp_path / "w", options, "--json") == 0
    assert json.loads(capfd.readouterr().out)["secrets"] == ["PGPASSWORD"]
    servers = open_workspace(tmp_path / "w").settings.servers
    assert (servers.database, servers.prefect_database) == (
        "postgresql://elp@db:5433/ml",
        "postgresql://elp@db:5433/pf",
    )
    assert (servers.artifacts, servers.s3_endpoint) == ("", "")
    assert "timeout = 10" in (tmp_path / "w" / ".dvc" / "config").read_text()


def test_a_whole_bucket_of_data_takes_artifacts_in_another_one(tmp_path: Path) -> None:
    assert _init(tmp_path / "w", {**TEAM, "--remote": "s3://speech", "--artifacts": "s3://adapters"}) == 0
    assert open_workspace(tmp_path / "w").settings.servers.artifacts == "s3://adapters"


@pytest.mark.parametrize("name", ["𠮷野", "a\x85b", "a\x7f\x80\ufffe", "\"\\'#"])
def test_addresses_with_unusual_characters_are_read_back(tmp_path: Path, name: str) -> None:
    options = {
        "--git": f"ssh://elp@control/srv/{name}.git",
        "--remote": "s3://speech/𠮷野",
        "--artifacts": f"s3://adapters/{name}",
    }
    assert _init(tmp_path / "w", {**TEAM, **options}) == 0
    settings = open_workspace(tmp_path / "w").settings
    assert [settings.git, settings.remote, settings.servers.artifacts] == list(options.values())


def test_the_laptop_is_as_before(tmp_path: Path) -> None:
    assert run(["init", str(tmp_path / "one")]) == 0
    assert run(["init", str(tmp_path / "two"), "--profile", "laptop"]) == 0
    for name in ("elp.yaml", ".dvc/config"):
        text = (tmp_path / "one" / name).read_text()
        assert text == (tmp_path / "two" / name).read_text()
        assert "s3" not in text.replace("docs/reference/settings.md", "")
    assert not (tmp_path / "one" / ".elp" / "secrets.env").exists()


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"--git": None, "--remote": None}, "--profile team also needs --git, --remote"),
        ({"--postgres": None}, "also needs --postgres"),
        ({"--postgres": "mysql://elp@db"}, "expected postgresql://USER@HOST:PORT"),
        ({"--postgres": "postgresql://elp@db/one"}, "names of two databases"),
        ({"--postgres": "postgresql://elp@db/one,one"}, "names of two databases"),
        ({"--postgres": "postgresql://elp:pg-secret@db"}, "--postgres holds a password"),
        ({"--postgres": "postgresql://elp:x[pg-secret@db:5432"}, "--postgres holds a login that cannot be read"),
        ({"--postgres": "postgresql://elp:x/pg-secret@db:5432"}, "--postgres holds a login that cannot be read"),
        ({"--remote": "s3://[x"}, "--remote is 's3://[x', which cannot be read"),
        ({"--git": "https://elp:pg-secret@git/foundry.git"}, "--git: it holds a password"),
        ({"--postgres": "postgresql://elp@db?password=pg-secret"}, "--postgres holds a password"),
        (
            {"--postgres": "postgresql://elp@db?connect_timeout=3"},
            "--postgres is 'postgresql://elp@db?connect_timeout=3'",
        ),
        ({"--postgres": "postgresql://elp@db:port"}, "--postgres is 'postgresql://elp@db:port'"),
        ({"--git": "https://pg-secret@github.com/x/y.git"}, "--git: it holds a user name, which may be an access"),
        ({"--git": "https://git.lan/x.git?private_token=pg-secret"}, "--git: it holds a query"),
        ({"--git": "elp:pg-secret@git.lan:x.git"}, "--git: it holds a password (what follows : before the @)"),
        ({"--git": "git.lan:x.git?token=pg-secret"}, "--git: it holds a query"),
        ({"--git": "https://pg-secret@[git.lan/x.git"}, "--git: it holds a login that cannot be read"),
        ({"--artifacts": "s3://key:pg-secret@speech/x"}, "--artifacts holds a password"),
        ({"--remote": "s3://speech"}, "--remote s3://speech is a whole bucket"),
        ({"--s3-endpoint": "http://elp:pg-secret@store"}, "--s3-endpoint holds a password"),
        ({"--s3-endpoint": "store:8333"}, "s3_endpoint is 'store:8333', expected https://HOST:PORT"),
        ({"--remote": "data"}, "need s3://BUCKET/PREFIX or ssh://HOST/PATH"),
        ({"--remote": "s3://"}, "need s3://BUCKET/PREFIX"),
        ({"--artifacts": "gs://speech/x"}, "artifacts is 'gs://speech/x', expected s3://BUCKET/PREFIX"),
        ({"--artifacts": "s3://speech/a/../b"}, "artifacts is 's3://speech/a/../b'"),
        ({"--artifacts": "s3://speech/foundry"}, "--artifacts is in the DVC remote"),
        ({"--artifacts": "s3://speech"}, "--artifacts is in the DVC remote, or contains it"),
        ({"--remote": "ssh://store/srv"}, "neither --remote nor --artifacts is on S3"),
    ],
)
def test_what_cannot_be_right_is_refused_and_makes_nothing(
    tmp_path: Path, changes: dict[str, str | None], sentence: str, capfd: pytest.CaptureFixture[str]
) -> None:
    options = {name: value for name, value in {**TEAM, **changes}.items() if value is not None}
    assert _init(tmp_path / "w", options) in (1, 2)
    error = capfd.readouterr().err
    assert sentence in error.replace("\n", " ")
    assert "pg-secret" not in error
    assert not (tmp_path / "w").exists()


def test_options_of_a_team_on_a_laptop_are_refused(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert run(["init", str(tmp_path / "w"), "--s3-endpoint", "http://store", "--git", "ssh://git/x"]) == 2
    assert "--git, --s3-endpoint: only with --profile team" in capfd.readouterr().err
