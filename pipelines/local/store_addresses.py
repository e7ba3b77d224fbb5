"""Addresses of databases and stores in `elp.yaml`: what is allowed, and the forms in which other programs want them."""

import posixpath
from dataclasses import dataclass
from urllib.parse import parse_qsl, quote, unquote, urlencode, urlsplit, urlunsplit

from pipelines.errors import UsageError
from pipelines.local.address_credentials import credential_in, without_password

DATABASES = ("mlflow", "prefect")
"""Names of the two databases if the address of the PostgreSQL server names none."""
_ASYNCPG = "postgresql+asyncpg"


@dataclass(frozen=True)
class S3Place:
    """A bucket, and a prefix in it without slashes at the ends; the prefix may be empty."""

    bucket: str
    prefix: str

    def key(self, name: str) -> str:
        """Return the key of an object with this name below the prefix."""
        return posixpath.join(self.prefix, name)


def s3_place(address: str) -> S3Place:
    """Return the bucket and the prefix of an address ``s3://bucket/prefix``."""
    parsed = urlsplit(address)
    return S3Place(parsed.netloc, parsed.path.strip("/"))


def overlap(one: str, other: str) -> bool:
    """Return whether two addresses ``s3://…`` are the same place, or one is in the other."""
    first, second = s3_place(one), s3_place(other)
    shared = min(first.prefix, second.prefix, key=len)
    return first.bucket == second.bucket and all(
        not shared or place.prefix == shared or place.prefix.startswith(f"{shared}/") for place in (first, second)
    )


def prefect_connection(address: str) -> str:
    """Return the address of Prefect's database for its driver, which has another name for ``sslmode``."""
    parsed = urlsplit(address)
    query = urlencode([("ssl" if name == "sslmode" else name, value) for name, value in parse_qsl(parsed.query)])
    return urlunsplit((_ASYNCPG, parsed.netloc, parsed.path, query, ""))


def two_databases(server: str) -> tuple[str, str]:
    """Return the addresses of the databases of MLflow and Prefect on one PostgreSQL server.

    `server` is ``postgresql://user@host:port``, or with the two names: ``postgresql://user@host/mlflow,prefect``.

    Raises UsageError, which names the option, if it is another kind of address or does not name two databases.
    """
    try:
        parsed = urlsplit(server)
        host, path = parsed.hostname, unquote(parsed.path).strip("/")
    except ValueError:
        host, path = None, ""
    names = tuple(filter(None, path.split(","))) or DATABASES
    if host and len(names) == 2 and names[0] != names[1]:
        mlflow, prefect = (_named(server, name) for name in names)
        # Prefect's driver accepts less than that of MLflow, and both get the same options
        if _is_postgresql(prefect):
            return mlflow, prefect
    raise UsageError(
        f"--postgres is {without_password(server)!r}, expected postgresql://USER@HOST:PORT, or with the names of two "
        "databases postgresql://USER@HOST:PORT/mlflow,prefect; the only option after ? is sslmode"
    )


def _named(server: str, database: str) -> str:
    parsed = urlsplit(server)
    return urlunsplit((parsed.scheme, parsed.netloc, "/" + quote(database, safe=""), parsed.query, ""))


def server_address_faults(database: str, prefect_database: str, artifacts: str, s3_endpoint: str) -> list[str]:
    """Return what is wrong with the addresses of a workspace's own servers, as sentences; an empty address is right."""
    faults = []
    if prefect_database and not _is_postgresql(prefect_database):
        faults.append(
            f"prefect_database is {without_password(prefect_database)!r}, expected postgresql://USER@HOST/DATABASE"
        )
    elif prefect_database and _same_database(prefect_database, database):
        faults.append("prefect_database is the database of MLflow; each server needs its own: both would migrate it")
    if artifacts and not _is_s3(artifacts):
        # a key in it is not shown again
        shown = "an address with a login" if credential_in(artifacts) else repr(artifacts)
        faults.append(f"artifacts is {shown}, expected s3://BUCKET/PREFIX, or nothing for a folder in .elp/")
    if s3_endpoint and not _is_web(s3_endpoint):
        faults.append(f"s3_endpoint is {without_password(s3_endpoint)!r}, expected https://HOST:PORT without a login")
    return faults


def _is_postgresql(address: str) -> bool:
    try:
        parsed = urlsplit(address)
        # an unknown option would stop Prefect's driver with a message about Python
        known = {name for name, _ in parse_qsl(parsed.query)} <= {"sslmode"}
        # after a password with a slash, the host is a part of the path
        named = bool(parsed.path.strip("/")) and "@" not in parsed.path
        return parsed.scheme == "postgresql" and named and known and parsed.port != 0
    except ValueError:
        return False


def _same_database(one: str, other: str) -> bool:
    addresses = [urlsplit(text.replace("postgresql+psycopg2://", "postgresql://")) for text in (one, other)]
    first, second = ((each.scheme, each.hostname, each.port or 5432, each.path) for each in addresses)
    return first == second


def _is_s3(address: str) -> bool:
    try:
        parsed = urlsplit(address)
    except ValueError:
        return False
    plain = posixpath.normpath("/" + parsed.path.strip("/")) == "/" + parsed.path.strip("/")
    # the guard compares paths below the prefix: one with dots or empty parts would have two spellings
    named = bool(parsed.netloc) and "@" not in parsed.netloc
    return parsed.scheme == "s3" and named and not (parsed.query or parsed.fragment) and plain


def _is_web(address: str) -> bool:
    try:
        parsed = urlsplit(address)
        return parsed.scheme in {"http", "https"} and bool(parsed.hostname) and not parsed.username and parsed.port != 0
    except ValueError:
        return False
