"""The DVC repository of a workspace, through DVC's Python interface: make it, open it, translate its errors.

DVC is imported only when it is used (the import takes half a second).
"""

import contextlib
import io
import logging
import os
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from configobj import ConfigObj, ConfigObjError

from elp_core.errors import ElpError
from pipelines.errors import DataRemoteAway, VersioningError, WorkspaceError
from pipelines.local.dvc_locks import clear_dead_locks
from pipelines.local.host_keys import compare_host_keys, known_hosts_remedy, unknown_host
from pipelines.local.secret_values import give_data_secrets
from pipelines.outages import disk_is_full, is_away

REMOTE = "storage"
"""Name of the DVC remote in `.dvc/config`."""
DVC_CONFIG = Path(".dvc", "config")
_CONNECT_SECONDS, _READ_SECONDS = 10, 30
_TRANSFER_LOGGERS = ("dvc", "dvc_data", "dvc_objects")


def make_dvc_repository(root: Path, remote: str, s3_endpoint: str = "") -> None:
    """Make the Git repository `root` a DVC repository with this remote: a folder (absolute, or in `root`) or a URL.

    `s3_endpoint` is the address of an S3 store other than AWS. Raise WorkspaceError if `dvc_config` does.
    """
    text = dvc_config(remote, s3_endpoint)
    with dvc_errors("initialise", root):
        from dvc.repo import Repo

        Repo.init(str(root), no_scm=False, force=False).close()
    (root / ".dvc" / "config").write_text(text, encoding="utf-8")


def dvc_config(remote: str, s3_endpoint: str = "") -> str:
    """Return the text of `.dvc/config`; raise WorkspaceError if DVC would read another remote from it."""
    # DVC resolves a relative address from the folder of its config
    url = remote if "://" in remote or os.path.isabs(remote) else os.path.join("..", remote)
    # hard links: a shard is immutable, so that the workspace and the cache can share one file
    # no autostage: the commit of a version stages its own paths and no others
    settings = {
        "core": dict.fromkeys(("analytics", "check_update", "autostage"), "false") | {"remote": REMOTE},
        "cache": {"type": "reflink,hardlink,copy"},
        f'remote "{REMOTE}"': {"url": url, **_remote_options(remote, s3_endpoint)},
    }
    with contextlib.suppress(ConfigObjError):
        text = "".join(f"{line}\n" for line in ConfigObj(settings).write())
        if ConfigObj(io.StringIO(text)).dict() == settings:
            return text
    raise WorkspaceError(
        f"DVC cannot read the remote {remote!r} from its settings; give an address without line breaks, three "
        "quotation marks in a row and %(NAME)s"
    )


def _remote_options(remote: str, s3_endpoint: str) -> dict[str, str]:
    """Return the settings that bound the wait for a store, which is half an hour with SSH by default."""
    if remote.startswith("s3://"):
        waits = {"connect_timeout": str(_CONNECT_SECONDS), "read_timeout": str(_READ_SECONDS)}
        return ({"endpointurl": s3_endpoint} if s3_endpoint else {}) | waits
    return {"timeout": str(_CONNECT_SECONDS)} if remote.startswith("ssh://") else {}


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


def dvc_settings(root: Path) -> dict[str, dict[str, str]]:
    """Return what `.dvc/config` and `.dvc/config.local` say, by section and name in small letters, without DVC.

    Raise VersioningError if they cannot be read.
    """
    found: dict[str, dict[str, str]] = {}
    try:
        # DVC's own reader: it knows quotation marks and comments after a value
        for name in ("config", "config.local"):
            for section, options in ConfigObj(str(root / ".dvc" / name), encoding="utf-8").dict().items():
                texts = {key.lower(): value for key, value in dict(options).items() if isinstance(value, str)}
                found.setdefault(section.lower(), {}).update(texts)
    except (ConfigObjError, ValueError) as error:
        raise VersioningError(
            f"the settings of DVC in {root / '.dvc'} cannot be read: {error}; correct them"
        ) from error
    return found


def remote_options(root: Path) -> dict[str, str]:
    """Return the settings of the default remote, its ``name`` too, as `dvc_settings` reads them."""
    settings = dvc_settings(root)
    name = settings.get("core", {}).get("remote", "")
    return settings.get(f'remote "{name.lower()}"', {}) | {"name": name}


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
