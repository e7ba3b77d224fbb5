"""Hosts of the tests' own on one machine: each with its own network address, disk, process ids and name.

A host is a set of Linux namespaces. Its folder is all that it has of a disk: it sees it at `/mnt`, which is its HOME,
and the folders of the others are hidden from it. The installed programs are the same on all, and read-only. Needs root,
and `unshare`, `nsenter` and `ip`.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from tests.support.missing import skip_without

ROOT = Path(__file__).resolve().parents[2]
DISK = Path("/mnt")
"""Where a host sees its folder."""
_SHARED = tuple(map(Path, ("/dev/shm", "/run", "/tmp", "/var/tmp")))
"""Folders that every program may write to."""
_ASIDE = Path("/media")
_ENDS_WITH_US = ("setpriv", "--pdeathsig", "KILL")
"""The hosts end with the process that made them, however that ends."""
_COLLECT = """
import os, time
while True:
    try:
        os.waitpid(-1, 0)
    except ChildProcessError:
        time.sleep(0.1)
"""
"""Process 1 of a host: it collects the ended processes, as an init does."""


@dataclass
class Host:
    """A host that can be switched off and on. Everything that runs on it is a child of its process 1."""

    name: str
    address: str
    folder: Path
    network: Network
    process: subprocess.Popen[bytes] | None = None
    environment: dict[str, str] = field(default_factory=dict)
    started: list[subprocess.Popen[bytes]] = field(default_factory=list)

    @property
    def init(self) -> int:
        """The id of its process 1, as seen from outside."""
        assert self.process is not None, f"{self.name} is off"
        return _child(self.process)

    def switch_on(self) -> None:
        """Start its process 1, with the disk as the host left it and the cable plugged in."""
        (self.folder / "tmp").mkdir(parents=True, exist_ok=True)
        # an empty file system over the parent hides the folders of the other hosts
        hidden = (self.folder.parent, *_SHARED)
        mounts = [*_own_disk(self.folder), *(line for place in hidden for line in _covered(place))]
        script = " && ".join([*mounts, f"hostname {self.name}", 'exec "$0" -c "$1"'])
        kinds = ["--net", "--mount", "--pid", "--uts", "--ipc", "--fork", "--kill-child", "--mount-proc"]
        self.process = subprocess.Popen(
            [*_ENDS_WITH_US, "unshare", *kinds, "sh", "-ec", script, sys.executable, _COLLECT],
            stdin=subprocess.DEVNULL,
            # the kernels of some machines know more signals than `unshare`, which says so each time
            stderr=subprocess.DEVNULL,
            env={"PATH": os.environ["PATH"]},
        )
        self.network.plug_in(self)

    def switch_off(self) -> None:
        """End every process of the host at once, as a power cut does."""
        if self.process is not None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.init, signal.SIGKILL)
            for process in (self.process, *self.started):
                process.wait(20)
            self.process, self.started = None, []

    def command(self, *command: str, user: str = "root", **environment: str) -> list[str]:
        """The command line that runs a command on this host, from its disk and with an environment of its own."""
        values = {
            "PATH": f"{Path(sys.executable).parent}:/usr/sbin:/usr/bin:/sbin:/bin",
            "HOME": str(DISK),
            "TMPDIR": str(DISK / "tmp"),
            "LANG": "C.UTF-8",
            "PYTHONPATH": str(ROOT),
            **self.environment,
            **environment,
        }
        enter = ["nsenter", "-t", str(self.init), "-n", "-m", "-p", "-u", "-i", f"--wdns={DISK}"]
        become = [] if user == "root" else ["setpriv", f"--reuid={user}", f"--regid={user}", "--clear-groups"]
        return [*enter, "env", "-i", *(f"{name}={value}" for name, value in values.items()), *become, *command]

    def run(
        self, *command: str, user: str = "root", timeout: float = 300.0, stdin: str = "", **environment: str
    ) -> str:
        """Run a command to its end and return what it printed; an exit code that is not 0 fails the test."""
        line = self.command(*command, user=user, **environment)
        done = subprocess.run(line, input=stdin, capture_output=True, text=True, timeout=timeout)
        said = f"{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
        assert done.returncode == 0, f"{self.name}: {' '.join(command)} ended with {done.returncode}\n{said}"
        return done.stdout

    def start(self, name: str, *command: str, user: str = "root", **environment: str) -> subprocess.Popen[bytes]:
        """Start a process; what it prints is in `<name>.log` on its disk."""
        with (self.folder / f"{name}.log").open("ab") as log:
            line = self.command(*command, user=user, **environment)
            self.started.append(subprocess.Popen(line, stdin=subprocess.DEVNULL, stdout=log, stderr=log))
        return self.started[-1]

    def log(self, name: str) -> str:
        """The end of what a process printed."""
        path = self.folder / f"{name}.log"
        return path.read_text(errors="replace")[-4000:] if path.exists() else ""


@dataclass
class Network:
    """A switch that the hosts are plugged into; it reaches nothing else, this machine neither."""

    process: subprocess.Popen[bytes]
    hosts: list[Host] = field(default_factory=list)

    def plug_in(self, host: Host) -> None:
        """Connect a host, and give it its address."""
        port = f"to-{host.name}"[:15]
        # the port of a host that was switched off may still be there
        self._do("ip", "link", "delete", port, check=False)
        self._do("ip", "link", "add", port, "type", "veth", "peer", "name", "eth0", "netns", str(host.init))
        self._do("ip", "link", "set", port, "master", "switch", "up")
        inside = ["nsenter", "-t", str(host.init), "-n", "ip"]
        _run([*inside, "link", "set", "lo", "up"])
        _run([*inside, "address", "add", f"{host.address}/24", "dev", "eth0"])
        _run([*inside, "link", "set", "eth0", "up"])

    def cut(self, host: Host) -> None:
        """Pull the cable of a host."""
        self._do("ip", "link", "set", f"to-{host.name}"[:15], "down")

    def mend(self, host: Host) -> None:
        """Plug the cable in again."""
        self._do("ip", "link", "set", f"to-{host.name}"[:15], "up")

    def _do(self, *command: str, check: bool = True) -> None:
        _run(["nsenter", "-t", str(self.process.pid), "-n", *command], check=check)


@contextlib.contextmanager
def network(folder: Path, addresses: Mapping[str, str]) -> Iterator[dict[str, Host]]:
    """Hosts by name, each with a folder of its own below `folder`; all are switched off at the end."""
    _require_namespaces()
    process = subprocess.Popen([*_ENDS_WITH_US, "unshare", "--net", "sleep", "infinity"], stdin=subprocess.DEVNULL)
    made = Network(process)
    try:
        _wait_for_namespace(process.pid)
        made._do("ip", "link", "add", "switch", "type", "bridge")
        made._do("ip", "link", "set", "switch", "up")
        for name, address in addresses.items():
            made.hosts.append(Host(name, address, folder / name, made))
            made.hosts[-1].switch_on()
        yield {host.name: host for host in made.hosts}
    finally:
        for host in made.hosts:
            host.switch_off()
        process.kill()
        process.wait()


def _own_disk(folder: Path) -> list[str]:
    """The commands that make all else read-only, and mount a host's folder."""
    return ["mount -o remount,bind,ro /", f"mount --bind '{folder}' {DISK}"]


def _covered(place: Path) -> list[str]:
    """The commands that hide what is in a folder, except the programs in it."""
    programs = {ROOT, Path(sys.prefix).resolve(), Path(sys.base_prefix).resolve()}
    # the virtual environment is usually in the checkout
    within = [path for path in programs if path.is_relative_to(place) and not programs & set(path.parents)]
    if len(within) > 1:
        skip_without(f"no hosts of our own: {place}, which they do not share, has the programs {within}")
    kept = f"mount --bind '{within[0]}' {_ASIDE}" if within else "true"
    shown = f"mkdir -p '{within[0]}' && mount --move {_ASIDE} '{within[0]}'" if within else "true"
    return [kept, f"mount -t tmpfs tmpfs '{place}'", shown]


def _require_namespaces() -> None:
    if os.geteuid() != 0:
        skip_without("no hosts of our own: making network namespaces needs root")
    for tool in ("unshare", "nsenter", "ip", "setpriv"):
        if shutil.which(tool) is None:
            skip_without(f"no hosts of our own: the command {tool} is missing")
    probe = subprocess.run(["unshare", "--net", "--mount", "--pid", "--fork", "true"], capture_output=True, text=True)
    if probe.returncode:
        skip_without(f"no hosts of our own: this machine makes no namespaces ({probe.stderr.strip()})")


def _wait_for_namespace(pid: int) -> None:
    """Wait until a process has left the network namespace of this one."""
    ours = os.readlink("/proc/self/ns/net")
    ends = time.monotonic() + 20
    while os.readlink(f"/proc/{pid}/ns/net") == ours:
        assert time.monotonic() < ends, "unshare did not make a network namespace"
        time.sleep(0.01)


def _child(process: subprocess.Popen[bytes]) -> int:
    """The id of the one child of `unshare`, once its mounts are made and it runs as the init."""
    ends = time.monotonic() + 20
    while time.monotonic() < ends:
        assert process.poll() is None, f"a host ended with {process.returncode}"
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
        if children and Path(f"/proc/{children[0]}/cmdline").read_bytes().startswith(sys.executable.encode()):
            return int(children[0])
        time.sleep(0.01)
    raise AssertionError("a host did not start within 20 s")


def _run(command: list[str], *, check: bool = True) -> None:
    done = subprocess.run(command, capture_output=True, text=True)
    assert not check or done.returncode == 0, f"{' '.join(command)}: {done.stderr.strip()}"
