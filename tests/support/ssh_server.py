"""A real OpenSSH server of the tests' own: the test's user, its own keys, a free port of 127.0.0.1."""

from __future__ import annotations

import contextlib
import getpass
import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil

from tests.support.die_with_parent import die_with_parent
from tests.support.missing import skip_without
from tests.support.mlflow_server import free_port

START_SECONDS = 60.0


@dataclass(frozen=True)
class SshServer:
    """A running server; who has the key in its folder may log in."""

    port: int
    folder: Path
    pid: int

    @property
    def address(self) -> str:
        """Return ``ssh://user@127.0.0.1:port``."""
        return f"ssh://{getpass.getuser()}@127.0.0.1:{self.port}"

    @property
    def known(self) -> str:
        """Return the line of `known_hosts` for this server."""
        kind, key = (self.folder / "host.pub").read_text().split()[:2]
        return f"[127.0.0.1]:{self.port} {kind} {key}\n"

    def let_in(self, home: Path) -> None:
        """Give the user with this home the key, and make the server's key known there."""
        place = home / ".ssh"
        place.mkdir(mode=0o700, exist_ok=True)
        shutil.copy(self.folder / "user", place / "id_ed25519")
        (place / "id_ed25519").chmod(0o600)
        (place / "known_hosts").write_text(self.known)


@contextlib.contextmanager
def ssh_server() -> Iterator[SshServer]:
    """A server for the length of the block; what it logs is in its folder."""
    binary = Path("/usr/sbin/sshd")
    if not binary.is_file():
        skip_without("no SSH server: /usr/sbin/sshd is missing; install openssh-server")
    folder, port = Path(tempfile.mkdtemp(prefix="elp-ssh-")), free_port()
    if os.geteuid() == 0:
        # where the processes of a server that root runs are locked in; the package's service makes it
        Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)
    for name in ("host", "user"):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(folder / name)], check=True)
    shutil.copy(folder / "user.pub", folder / "authorized_keys")
    options = {
        "ListenAddress": "127.0.0.1",
        "Port": port,
        "HostKey": folder / "host",
        "AuthorizedKeysFile": folder / "authorized_keys",
        "PidFile": folder / "sshd.pid",
        "PermitRootLogin": "prohibit-password",
        "PasswordAuthentication": "no",
        "StrictModes": "no",
        "UsePAM": "no",
        "Subsystem": "sftp internal-sftp",
    }
    (folder / "sshd_config").write_text("".join(f"{name} {value}\n" for name, value in options.items()))
    command = [str(binary), "-D", "-f", str(folder / "sshd_config"), "-E", str(folder / "sshd.log")]
    # not a pipe: the process of a connection that a client keeps open would hold it after the server's end
    with (folder / "stderr").open("wb") as stderr:
        server = subprocess.Popen(command, start_new_session=True, stderr=stderr, preexec_fn=die_with_parent)
    try:
        _wait(server, port, folder)
        yield SshServer(port, folder, server.pid)
    finally:
        # the process of a connection has a session of its own
        for process in (*psutil.Process(server.pid).children(recursive=True), server):
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        server.wait()
        shutil.rmtree(folder, ignore_errors=True)


def _wait(server: subprocess.Popen[bytes], port: int, folder: Path) -> None:
    ends = time.monotonic() + START_SECONDS
    while time.monotonic() < ends and server.poll() is None:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 2):
            return
        time.sleep(0.05)
    said = [path.read_text() for name in ("stderr", "sshd.log") if (path := folder / name).is_file()]
    raise RuntimeError(f"sshd did not start: {' '.join(said)}")
