"""The DVC repository of a workspace, through DVC's Python interface: make it, open it, translate its errors.

DVC is imported only when it is used (the import takes half a second).
"""

import configparser
import contextlib
import logging
import os
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from elp_core.errors import ElpError
from pipelines.errors import DataRemoteAway, VersioningError, WorkspaceError
from pipelines.local.dvc_locks import clear_dead_locks
from pipelines.local.host_keys import compare_host_keys, known_hosts_remedy, unknown_host
from pipelines.local.secret_values import give_data_secrets
from pipelines.outages import disk_is_full, is_away

REMOTE = "storage"
"""Name of the DVC remote in `.dvc/config`."""
_CONNECT_SECONDS, _READ_SECONDS = 10, 30
_TRANSFER_LOGGERS = ("dvc", "dvc_data", "dvc_objects")


def make_dvc_repository(root: Path, remote: str, s3_endpoint: str = "") -> None:
    """Make the Git repository `root` a DVC repository with this remote: a folder (absolute, or in `root`) or a URL.

    `s3_endpoint` is the address of an S3 store other than AWS.
    """
    # DVC resolves a relative address from the folder of its config
    url = remote if "://" in remote or os.path.isabs(remote) else os.path.join("..", remote)
    with dvc_errors("initialise", root):
        from dvc.repo import Repo

        Repo.init(str(root), no_scm=False, force=False).close()
    # hard links: a shard is immutable, so that the workspace and the cache can share one file
    # no autostage: the commit of a version stages its own paths and no others
    (root / ".dvc" / "config").write_text(
        "[core]\n    analytics = false\n    check_update = false\n    autostage = false\n"
        f'    remote = {REMOTE}\n[cache]\n    type = "reflink,hardlink,copy"\n'
        f"['remote \"{REMOTE}\"']\n    url = {url}\n{_remote_options(remote, s3_endpoint)}",
        encoding="utf-8",
    )


def _remote_options(remote: str, s3_endpoint: str) -> str:
    """Return the lines of `.dvc/config` that bound the wait for a store, which is half an hour with SSH by default."""
    options: dict[str, object] = {}
    if remote.startswith("s3://"):
        options = {"endpointurl": s3_endpoint} if s3_endpoint else {}
        options |= {"connect_timeout": _CONNECT_SECONDS, "read_timeout": _READ_SECONDS}
    elif remote.startswith("ssh://"):
        options = {"timeout": _CONNECT_SECONDS}
    return "".join(f"    {name} = {value}\n" for name, value in options.items())


def require_shared_remote(root: Path, address: str) -> None:
    """Raise WorkspaceError if the DVC remote is a folder inside each clone of `address`: no other machine reads it."""
    options = remote_options(root)
    name, url = options.get("name", ""), options.get("url", "")
    if "://" not in url and not os.path.isabs(url):
        where = f"is the folder {url} inside each clone" if url else "is not set"
        raise WorkspaceError(
            f"the DVC remote of {address} {where}, so that data would stay on one machine; give it an address, "
            f"commit and push: dvc remote modify {name or REMOTE} url ssh://HOST/PATH"
        )


def dvc_settings(root: Path) -> configparser.ConfigParser:
    """Return what `.dvc/config` and `.dvc/config.local` say, without DVC; VersioningError if they cannot be read."""
    config = configparser.ConfigParser(interpolation=None, strict=False)
    try:
        config.read([root / ".dvc" / "config", root / ".dvc" / "config.local"], encoding="utf-8")
    except (configparser.Error, UnicodeDecodeError) as error:
        raise VersioningError(
            f"the settings of DVC in {root / '.dvc'} cannot be read: {error}; correct them"
        ) from error
    return config


def remote_options(root: Path) -> dict[str, str]:
    """Return the settings of the default remote, its ``name`` too, as `dvc_settings` reads them."""
    config = dvc_settings(root)
    name = config.get("core", "remote", fallback="")
    section = next((title for title in config.sections() if title.strip("'") == f'remote "{name}"'), "")
    return {**(dict(config[section]) if section else {}), "name": name}


@contextlib.contextmanager
def dvc_repository(root: Path, action: str, *, read_only: bool = False) -> Iterator[Any]:
    """Give the DVC repository at `root` while the block runs; an error message names the `action`.

    The locks that a dead process left are cleared, unless the block is `read_only`: then DVC takes none.
    """
    if not read_only:
        clear_dead_locks(root)
    give_data_secrets(root)
    # the default of site_cache_dir is a folder that all users of the machine share
    databases = root / ".elp" / "dvc"
    with dvc_errors(action, root, databases):
        from dvc.repo import Repo

        with Repo(str(root), config={"core": {"site_cache_dir": str(databases)}}) as repository:
            yield repository


@contextlib.contextmanager
def dvc_errors(action: str, place: Path, databases: Path | None = None) -> Iterator[None]:
    """Turn DVC's errors into a VersioningError that names the `action`, and silence its log.

    It is a DataRemoteAway if the remote does not answer. A full disk stays an OSError; `databases` is the folder of
    DVC's SQLite files.
    """
    os.environ.setdefault("DVC_NO_ANALYTICS", "1")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        import dvc.repo  # noqa: F401

        compare_host_keys()
        # the import sets the level that DVC's own command line needs
        logging.getLogger("dvc").setLevel(logging.ERROR)
        try:
            with _transfer_faults() as faults:
                yield
        except ElpError:
            raise
        except Exception as error:
            found = [error, *faults]
            if full := next(filter(None, (disk_is_full(one, databases) for one in found)), None):
                raise full from None
            if any(map(unknown_host, found)):
                url = remote_options(place).get("url", "") if place.is_dir() else ""
                raise VersioningError(f"DVC could not {action} at {url}: {known_hosts_remedy(url)}") from error
            away = next(filter(is_away, found), None)
            kind, reason = (DataRemoteAway, away) if away else (VersioningError, error)
            raise kind(f"DVC could not {action} in {place}: {str(reason) or type(reason).__name__}") from error


@contextlib.contextmanager
def _transfer_faults() -> Iterator[list[Exception]]:
    """Give the errors of single files: DVC logs them, and its own error has only their number."""
    found: list[Exception] = []

    class Collector(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            if record.exc_info and isinstance(record.exc_info[1], Exception):
                found.append(record.exc_info[1])

    collector, loggers = Collector(logging.ERROR), [logging.getLogger(name) for name in _TRANSFER_LOGGERS]
    for logger in loggers:
        logger.addHandler(collector)
    try:
        yield found
    finally:
        for logger in loggers:
            logger.removeHandler(collector)
