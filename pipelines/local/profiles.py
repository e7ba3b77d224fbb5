"""The profiles of `elp init`: a laptop, which needs no settings, and a team with shared databases and stores."""

from __future__ import annotations

import json
from dataclasses import dataclass
from urllib.parse import urlsplit

from pipelines.errors import UsageError
from pipelines.local.address_credentials import QUERY, credential_in, has_password
from pipelines.local.git_address import address_faults
from pipelines.local.secret_values import SECRETS_FILE
from pipelines.local.store_addresses import overlap, s3_place, two_databases
from pipelines.s3_client import ARTIFACTS_KEY, ARTIFACTS_SECRET

LOCAL_REMOTE = ".elp/remote"


def yaml_text(text: str) -> str:
    """Return a text as YAML reads it back, in quotation marks."""
    # YAML does not join the two escapes of JSON for a character beyond the first 65,536, and has one of its own
    escaped = (f"\\U{ord(one):08x}" if ord(one) > 0xFFFF else json.dumps(one)[1:-1] for one in text)
    return f'"{"".join(escaped)}"'


@dataclass(frozen=True)
class Profile:
    """What `elp init` writes into `elp.yaml` and `.dvc/config`; the defaults are those of a laptop."""

    remote: str = LOCAL_REMOTE
    host: str = ""
    """Address at which the servers listen; empty is the default of the settings."""
    git: str = ""
    databases: tuple[str, str] = ("", "")
    """Addresses of the databases of MLflow and of Prefect."""
    artifacts: str = ""
    s3_endpoint: str = ""

    @property
    def server_lines(self) -> str:
        """Return the lines of `elp.yaml` about the servers; empty if all are the defaults."""
        values = {
            "host": self.host,
            "database": self.databases[0],
            "prefect_database": self.databases[1],
            "artifacts": self.artifacts,
            "s3_endpoint": self.s3_endpoint,
        }
        given = {name: yaml_text(value) for name, value in values.items() if value}
        if list(given) in ([], ["host"]):
            return f"servers: {{host: {given['host']}}}\n" if given else ""
        return "servers:\n" + "".join(f"  {name}: {value}\n" for name, value in given.items())

    @property
    def secrets(self) -> dict[str, str]:
        """Return the environment variables that this profile needs, with what each is for."""
        needed = {}
        if self.databases[0]:
            needed["PGPASSWORD"] = "both databases, unless PostgreSQL asks for none or PGPASSFILE names a file"
        if self.artifacts:
            needed |= {name: "the artifacts on S3, for the MLflow server" for name in (ARTIFACTS_KEY, ARTIFACTS_SECRET)}
        if self.remote.startswith("s3://"):
            names = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")
            needed |= dict.fromkeys(names, "the data on S3, for all who read or store it")
        return needed


def laptop(remote: str | None, host: str | None, **team: str | None) -> Profile:
    """Return the profile of one machine; raise UsageError if an option of a team is given."""
    if given := [_option(name) for name, value in sorted(team.items()) if value]:
        raise UsageError(f"{', '.join(given)}: only with --profile team")
    return Profile(remote or LOCAL_REMOTE, host or "")


def team(
    remote: str | None,
    host: str | None,
    *,
    git: str | None,
    postgres: str | None,
    artifacts: str | None,
    s3_endpoint: str | None,
) -> Profile:
    """Return the profile of shared servers: two databases on one PostgreSQL server, data and artifacts in a store.

    Without `artifacts`, those of an S3 remote are next to it (``s3://speech/foundry-mlflow``), else in a folder.

    Raises:
        UsageError: An option is missing, or has a value that cannot be right; an address holds a password.
    """
    git, postgres, remote = git or "", postgres or "", remote or ""
    needed = {"git": git, "postgres": postgres, "remote": remote}
    if missing := [_option(name) for name, value in needed.items() if not value]:
        raise UsageError(f"--profile team also needs {', '.join(missing)}; docs/how-to/team.md shows an example")
    if faults := address_faults(git):
        raise UsageError(f"--git: {faults[0]}")
    for name, address in {**needed, "s3_endpoint": s3_endpoint, "artifacts": artifacts}.items():
        found = "a password" if has_password(address or "") else credential_in(address or "")
        # what a query may hold is known of PostgreSQL alone
        if found and (name != "postgres" or found != QUERY):
            raise UsageError(
                f"{_option(name)} holds {found}, and the settings are in Git; leave it out and put it into "
                f".elp/{SECRETS_FILE} or the environment"
            )
    for name, address in {"remote": remote, "artifacts": artifacts}.items():
        try:
            urlsplit(address or "")
        except ValueError:
            raise UsageError(f"{_option(name)} is {address!r}, which cannot be read") from None
    scheme = urlsplit(remote).scheme
    if scheme not in {"s3", "ssh"} or not urlsplit(remote).hostname:
        raise UsageError(
            f"--remote is {remote!r}; workers on other machines need s3://BUCKET/PREFIX or ssh://HOST/PATH"
        )
    if scheme == "s3" and not artifacts:
        place = s3_place(remote)
        if not place.prefix:
            raise UsageError(
                f"--remote {remote} is a whole bucket, and the artifacts of MLflow would be in it, too; give it a "
                f"prefix, such as s3://{place.bucket}/data, or name another bucket with --artifacts s3://BUCKET/PREFIX"
            )
        artifacts = f"s3://{place.bucket}/{place.prefix}-mlflow"
    if artifacts and artifacts.startswith("s3://") and overlap(artifacts, remote):
        raise UsageError(
            f"--artifacts is in the DVC remote, or contains it: {artifacts} and {remote}; give it another prefix"
        )
    if s3_endpoint and not (artifacts or scheme == "s3"):
        raise UsageError("--s3-endpoint is given, but neither --remote nor --artifacts is on S3")
    return Profile(remote, host or "", git, two_databases(postgres), artifacts or "", s3_endpoint or "")


def _option(name: str) -> str:
    return "--" + name.replace("_", "-")
