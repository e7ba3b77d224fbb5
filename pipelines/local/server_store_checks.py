"""What `elp doctor` says of the stores of the workspace's own servers: the databases and the artifacts."""

from collections.abc import Callable

from pipelines.local.address_credentials import has_password
from pipelines.local.secret_values import read_secrets
from pipelines.local.store_checks import StoreResult, bounded, check_database, check_s3
from pipelines.local.workspace import Workspace
from pipelines.s3_client import ARTIFACTS_KEY, ARTIFACTS_SECRET


def server_store_checks(workspace: Workspace) -> dict[str, Callable[[Workspace], StoreResult]]:
    """Return the checks of the stores that the settings name, by name; SQLite and the folder in `.elp/` need none."""
    servers, checks = workspace.settings.servers, {}
    if servers.database.startswith("postgresql") and not servers.mlflow_uri:
        checks["mlflow database"] = _database("database")
    if servers.prefect_database and not servers.prefect_api:
        checks["prefect database"] = _database("prefect_database")
    if servers.artifacts and not servers.mlflow_uri:
        checks["artifacts"] = _artifacts
    return checks


def _database(name: str) -> Callable[[Workspace], StoreResult]:
    def check(workspace: Workspace) -> StoreResult:
        address, setting = getattr(workspace.settings.servers, name), f"servers.{name}"
        secrets = read_secrets(workspace.state)
        found = bounded(
            setting, lambda: check_database(address, setting, secrets), f"start PostgreSQL, or correct {setting}"
        )
        if found[0] == "ok" and has_password(address):
            remedy = f"move it from {setting} to PGPASSWORD in .elp/secrets.env"
            return "warn", f"{found[1]}, but elp.yaml, which is in Git, holds its password", remedy
        return found

    return check


def _artifacts(workspace: Workspace) -> StoreResult:
    servers, secrets = workspace.settings.servers, read_secrets(workspace.state)
    names = (ARTIFACTS_KEY, ARTIFACTS_SECRET)
    return bounded(
        f"{servers.artifacts} at {servers.s3_endpoint or 'AWS'}",
        lambda: check_s3(servers.artifacts, servers.s3_endpoint, secrets, names, "servers.s3_endpoint in elp.yaml"),
        "start the store, or correct servers.s3_endpoint in elp.yaml",
    )
