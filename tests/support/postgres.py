"""A real PostgreSQL of the tests' own: a fresh cluster in a temporary folder, on a free port, ended by its pid."""

from __future__ import annotations

import contextlib
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil

from tests.support.missing import skip_without
from tests.support.mlflow_server import free_port

START_SECONDS = 60.0
_SETTINGS = {
    # the cluster dies with the tests, so a crash of the machine costs nothing; a crash of a client costs as ever
    "fsync": "off",
    "full_page_writes": "off",
    "shared_buffers": "32MB",
    "max_connections": "100",
}


@dataclass
class Postgres:
    """A running cluster; one database for each user of it."""

    port: int
    binaries: Path
    folder: Path
    user: str | None
    process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start the server, or start it again with what it has stored; return when it answers."""
        options = [part for name, value in _SETTINGS.items() for part in ("-c", f"{name}={value}")]
        command = [str(self.binaries / "postgres"), "-D", str(self.folder / "data"), "-p", str(self.port)]
        command += ["-h", "127.0.0.1", "-k", str(self.folder), *options]
        with (self.folder / "server.log").open("ab") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=log, user=self.user, cwd=self.folder)
        _wait(self.process, self.binaries, self.port, self.folder / "server.log")

    def kill(self) -> None:
        """End the main process at once; return when its children have noticed it and ended, too."""
        assert self.process
        children = psutil.Process(self.process.pid).children(recursive=True)
        self.process.kill()
        self.process.wait()
        psutil.wait_procs(children, timeout=30)
        self.process = None

    def end(self) -> None:
        """End the server in order, if it runs."""
        if self.process is None:
            return
        # SIGINT is PostgreSQL's fast shutdown: clients are cut off, the server ends in order
        self.process.send_signal(signal.SIGINT)
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

    def database(self, name: str) -> str:
        """Make a database and give its URI, in SQLAlchemy's spelling."""
        self.psql("postgres", f'create database "{name}"')
        return f"postgresql://elp@127.0.0.1:{self.port}/{name}"

    def psql(self, database: str, statement: str) -> str:
        """Run one statement as the owner of the cluster; what it printed."""
        command = [str(self.binaries / "psql"), "-h", "127.0.0.1", "-p", str(self.port), "-U", "elp", "-d", database]
        # without a home: psql reads a password file from there
        environment = {"PATH": os.environ.get("PATH", ""), "PGCONNECT_TIMEOUT": "5"}
        ran = subprocess.run(
            [*command, "-qAtX", "-v", "ON_ERROR_STOP=1", "-c", statement],
            capture_output=True,
            text=True,
            check=True,
            env=environment,
        )
        return ran.stdout


def postgres_binaries() -> Path:
    """Return the folder of initdb and postgres; the test is skipped if there is none."""
    places = sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    if asked := shutil.which("pg_config"):
        listed = subprocess.run([asked, "--bindir"], capture_output=True, text=True)
        places.insert(0, Path(listed.stdout.strip()))
    for place in places:
        if (place / "initdb").is_file() and (place / "postgres").is_file():
            return place
    skip_without("no PostgreSQL: initdb and postgres are in no folder that pg_config or /usr/lib/postgresql names")


@contextlib.contextmanager
def postgres_server() -> Iterator[Postgres]:
    """A cluster for the length of the block, open to 127.0.0.1 without a password."""
    binaries, user = postgres_binaries(), _account()
    # not among pytest's folders: another account must be able to enter it
    folder = Path(tempfile.mkdtemp(prefix="elp-pg-"))
    try:
        if user is not None:
            os.chown(folder, pwd.getpwnam(user).pw_uid, pwd.getpwnam(user).pw_gid)
        _initialise(binaries, folder, user)
        server = Postgres(free_port(), binaries, folder, user)
        try:
            server.start()
            yield server
        finally:
            server.end()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _account() -> str | None:
    """Who runs the server: PostgreSQL refuses root, so another account then."""
    if os.geteuid() != 0:
        return None
    known = {entry.pw_name for entry in pwd.getpwall()}
    for name in ("postgres", "nobody"):
        if name in known:
            return name
    skip_without("no PostgreSQL: it refuses to run as root, and the users postgres and nobody do not exist")


def _initialise(binaries: Path, folder: Path, user: str | None) -> None:
    command = [str(binaries / "initdb"), "-D", str(folder / "data"), "-U", "elp", "-A", "trust", "-N"]
    made = subprocess.run(
        [*command, "-E", "UTF8", "--locale=C.UTF-8"], capture_output=True, text=True, user=user, cwd=folder
    )
    if made.returncode:
        raise RuntimeError(f"initdb failed:\n{made.stdout[-1000:]}{made.stderr[-2000:]}")


def _wait(server: subprocess.Popen[bytes], binaries: Path, port: int, log: Path) -> None:
    ends = time.monotonic() + START_SECONDS
    asks = [str(binaries / "pg_isready"), "-q", "-h", "127.0.0.1", "-p", str(port)]
    while time.monotonic() < ends and server.poll() is None:
        if subprocess.run(asks).returncode == 0:
            return
        time.sleep(0.1)
    raise RuntimeError(f"PostgreSQL did not start:\n{log.read_text(errors='replace')[-3000:]}")
