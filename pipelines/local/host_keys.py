"""The key of an SSH host: DVC's connections compare it, and a message says how to make it known."""

from urllib.parse import urlsplit

_FILE_SYSTEM = {
    "class": "pipelines.local.checked_ssh.CheckedSSHFileSystem",
    "err": "the Python package dvc-ssh is missing; install it with: pip install 'elp-foundry[team]'",
}
_UNTRUSTED = "HostKeyNotVerifiable"


def compare_host_keys() -> None:
    """Make DVC in this process open ``ssh://`` with the comparison. It imports DVC."""
    from dvc.fs import known_implementations

    known_implementations["ssh"] = _FILE_SYSTEM


def unknown_host(error: BaseException) -> bool:
    """Return whether an error means that the key of a host is not known, or is another one."""
    cause: BaseException | None = error
    while cause is not None:
        # asyncssh is an extra: without a remote over SSH it is not imported
        if type(cause).__name__ == _UNTRUSTED:
            return True
        cause = cause.__cause__ or cause.__context__
    return False


def known_hosts_remedy(address: str) -> str:
    """Return what to do about the unknown key of the host in an ``ssh://`` address."""
    parts = urlsplit(address)
    host, port = parts.hostname or "HOST", f"-p {parts.port} " if parts.port else ""
    return (
        f"its key is not in ~/.ssh/known_hosts, or is another one there; compare it with what the administrator of "
        f"{host} says, then: ssh-keyscan {port}{host} >> ~/.ssh/known_hosts"
    )
