"""DVC's file system over SSH, with the host's key compared: DVC itself accepts whatever server answers."""

from typing import Any

from dvc_ssh import SSHFileSystem


class CheckedSSHFileSystem(SSHFileSystem):  # type: ignore[misc]
    """The file system of a remote at ``ssh://…`` whose host is in `known_hosts`, as OpenSSH demands it."""

    def _prepare_credentials(self, **config: Any) -> dict[str, Any]:
        login: dict[str, Any] = super()._prepare_credentials(**config)
        # without it, sshfs turns the comparison off; empty selects ~/.ssh/known_hosts, or what ~/.ssh/config names
        login["known_hosts"] = ()
        # a store needs no agent, and its administrator could use a forwarded one
        login["agent_forwarding"] = False
        return login
