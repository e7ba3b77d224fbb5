from __future__ import annotations

import os
from pathlib import Path

import pytest

from elp_core.errors import ConfigError
from pipelines.errors import WorkspaceError
from pipelines.local import secret_values
from pipelines.local import service_commands as commands
from pipelines.local.address_credentials import without_password
from pipelines.local.addresses import Record
from pipelines.local.secret_values import DATA_NAMES, give_data_secrets, read_secrets, write_template
from pipelines.local.servers import server_command
from pipelines.local.settings import Servers, Settings, read_settings
from pipelines.local.store_addresses import prefect_connection, two_databases
from pipelines.local.workspace import Workspace

TEAM = Servers(
    database="postgresql://elp@db/mlflow",
    prefect_database="postgresql://elp@db/prefect?sslmode=require",
    artifacts="s3://speech/mlflow",
    s3_endpoint="http://store:8333",
)


@pytest.fixture(autouse=True)
def _no_secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (*secret_values._NAMES, *secret_values.PLAIN_S3):
        # set first, so that what a test puts into the environment is taken out again
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)


def _write(state: Path, text: str, mode: int = 0o600) -> Path:
    state.mkdir(parents=True, exist_ok=True)
    path = state / "secrets.env"
    path.write_text(text)
    path.chmod(mode)
    return path


def test_the_environment_overrides_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert read_secrets(tmp_path) == {}
    _write(tmp_path, "# a comment\n\nPGPASSWORD=a=b #c\nAWS_ACCESS_KEY_ID = 'key'\nAWS_SECRET_ACCESS_KEY=\n")
    assert read_secrets(tmp_path) == {"PGPASSWORD": "a=b #c", "AWS_ACCESS_KEY_ID": "key"}
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "other")
    assert read_secrets(tmp_path)["AWS_ACCESS_KEY_ID"] == "other"


def test_the_template_names_all_and_is_not_written_over_values(tmp_path: Path) -> None:
    path = write_template(tmp_path)
    assert read_secrets(tmp_path) == {}
    _write(tmp_path, path.read_text().replace("# PGPASSWORD=", "PGPASSWORD=x"))
    write_template(tmp_path)
    assert read_secrets(tmp_path) == {"PGPASSWORD": "x"}


@pytest.mark.parametrize(("mode", "refused"), [(0o640, True), (0o604, True), (0o600, False), (0o400, False)])
def test_a_file_that_others_may_read_is_refused(tmp_path: Path, mode: int, refused: bool) -> None:
    path = _write(tmp_path, "PGPASSWORD=x\n", mode)
    if refused:
        with pytest.raises(WorkspaceError, match=f"can be read by others than its owner; run: chmod 600 {path}"):
            read_secrets(tmp_path)
    else:
        assert read_secrets(tmp_path) == {"PGPASSWORD": "x"}


@pytest.mark.parametrize("line", ["hunter2", "PASSWORD=hunter2", "=hunter2", "export PGPASSWORD=hunter2"])
def test_a_line_that_is_none_is_named_by_its_number_and_not_shown(tmp_path: Path, line: str) -> None:
    _write(tmp_path, f"# one\n{line}\n")
    with pytest.raises(WorkspaceError, match=r"line 2 of .*secrets\.env is not NAME=VALUE") as caught:
        read_secrets(tmp_path)
    assert "hunter2" not in str(caught.value)


def test_each_process_gets_its_own_secrets_and_the_command_line_none(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path, Settings(servers=TEAM))
    names = ("PGPASSWORD", "ELP_ARTIFACTS_ACCESS_KEY_ID", "ELP_ARTIFACTS_SECRET_ACCESS_KEY", *DATA_NAMES)
    _write(tmp_path / ".elp", "".join(f"{name}=secret-{name}\n" for name in names))
    record = Record(ports={"mlflow": 1, "prefect": 2})
    started = {
        name: server_command(workspace, record, name, "http://127.0.0.1:2/api", 1) for name in ("mlflow", "prefect")
    }
    held = {name: {n for n in names if environment.get(n)} for name, (_, environment) in started.items()}
    assert held == {"mlflow": set(names[:3]), "prefect": {"PGPASSWORD"}}
    assert not [word for command, _ in started.values() for word in command if "secret-" in word]
    assert "elp+s3://speech/mlflow" in started["mlflow"][0]
    assert started["mlflow"][1]["MLFLOW_S3_ENDPOINT_URL"] == "http://store:8333"
    url = started["prefect"][1]["PREFECT_SERVER_DATABASE_CONNECTION_URL"]
    assert url == "postgresql+asyncpg://elp@db/prefect?ssl=require"
    assert not (tmp_path / ".elp" / "mlflow-artifacts").exists()


def test_workers_get_no_secret_of_the_servers_even_from_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    workspace = Workspace(tmp_path, Settings(servers=TEAM))
    for name in ("PGPASSWORD", "ELP_ARTIFACTS_SECRET_ACCESS_KEY", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "secret")
    worker = commands.worker_environment(workspace, "http://127.0.0.1:1/api")
    supervisor = commands.supervisor_environment(workspace, "http://127.0.0.1:1/api")
    assert [name for name, value in worker.items() if value == "secret"] == ["AWS_SECRET_ACCESS_KEY"]
    assert supervisor["PGPASSWORD"] == supervisor["ELP_ARTIFACTS_SECRET_ACCESS_KEY"] == "secret"


def test_dvc_gets_the_keys_of_the_data_and_plain_requests(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _write(tmp_path / ".elp", "PGPASSWORD=x\nAWS_ACCESS_KEY_ID=key\nAWS_SECRET_ACCESS_KEY=secret\n")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "given")
    give_data_secrets(tmp_path)
    assert os.environ["AWS_ACCESS_KEY_ID"] == "given"
    assert os.environ["AWS_SECRET_ACCESS_KEY"] == "secret"
    assert "PGPASSWORD" not in os.environ
    assert "AWS_REQUEST_CHECKSUM_CALCULATION" not in os.environ
    (tmp_path / ".dvc").mkdir()
    (tmp_path / ".dvc" / "config").write_text("['remote \"storage\"']\n    endpointurl = http://store\n")
    give_data_secrets(tmp_path)
    assert os.environ["AWS_REQUEST_CHECKSUM_CALCULATION"] == "when_required"


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("{prefect_database: 'mysql://db/x'}", "prefect_database is 'mysql://db/x', expected postgresql://"),
        ("{prefect_database: 'postgresql://u:pw@db/x?pool=3'}", r"prefect_database is 'postgresql://u:…@db/x"),
        ("{prefect_database: 'postgresql://db'}", "expected postgresql://USER@HOST/DATABASE"),
        (
            "{database: 'postgresql://a@db/x', prefect_database: 'postgresql://b@db:5432/x'}",
            "prefect_database is the database of MLflow",
        ),
        ("{artifacts: 's3:///x'}", "artifacts is 's3:///x'"),
        ("{artifacts: 's3://b/x//y'}", "artifacts is 's3://b/x//y'"),
        ("{artifacts: /srv/x}", "artifacts is '/srv/x'"),
        ("{s3_endpoint: 'http://u:pw@store'}", "s3_endpoint is 'http://u:…@store'"),
        ("{s3_endpoint: 'http://store:99999'}", "s3_endpoint is 'http://store:99999'"),
    ],
)
def test_a_wrong_address_is_refused_when_the_settings_are_read(text: str, sentence: str) -> None:
    with pytest.raises(ConfigError, match=sentence):
        read_settings(f"servers: {text}")


def test_addresses_of_two_databases() -> None:
    assert two_databases("postgresql://elp@db:5433/a,b?sslmode=require") == (
        "postgresql://elp@db:5433/a?sslmode=require",
        "postgresql://elp@db:5433/b?sslmode=require",
    )
    assert prefect_connection("postgresql://a%40b@[::1]:5433/x") == "postgresql+asyncpg://a%40b@[::1]:5433/x"
    assert without_password("postgresql://u:p@ss@h/x") == "postgresql://u:…@h/x"
