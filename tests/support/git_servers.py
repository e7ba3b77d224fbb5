"""Real Git servers for tests: a bare repository by ``file://``, and the same by ``git daemon``."""

from __future__ import annotations

import contextlib
import re
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

from pipelines.local import git
from pipelines.local.http_client import free_port
from pipelines.local.initialise import init_workspace
from pipelines.local.workspace import Workspace, open_workspace

START_SECONDS = 60.0


def bare(folder: Path) -> str:
    """Make an empty bare repository; return its address by ``file://``."""
    folder.mkdir(parents=True)
    git.git(folder, "init", "--quiet", "--bare", "--initial-branch=main")
    return f"file://{folder}"


def shared_workspace(root: Path, settings: str = "") -> Workspace:
    """A workspace whose `git` is a bare repository next to it, pushed there, with a DVC remote that clones reach."""
    address, remote = bare(root.parent / "server" / "foundry.git"), root.parent / "dvc-remote"
    init_workspace(root, str(remote))
    return publish(root, address, remote, settings)


def publish(root: Path, address: str, remote: Path, settings: str = "") -> Workspace:
    """Set `git` in the settings of a workspace, commit and push it."""
    (root / "elp.yaml").write_text(f"remote: {remote}\ngit: {address}\n{settings}", encoding="utf-8")
    config = root / ".dvc" / "config"
    config.write_text(re.sub(r"url = .*", f"url = {remote}", config.read_text()))
    git.git(root, "commit", "--quiet", "--all", "--message", "Share it")
    git.git(root, "push", "--quiet", address, "main")
    return open_workspace(root)


@contextlib.contextmanager
def git_daemon(base: Path) -> Iterator[str]:
    """Serve the bare repositories in `base` by ``git daemon``, which takes pushes; yield the address of `base`."""
    port = free_port("127.0.0.1")
    command = ["git", "daemon", "--reuseaddr", "--listen=127.0.0.1", f"--port={port}", f"--base-path={base}"]
    process = subprocess.Popen(
        [*command, "--export-all", "--enable=receive-pack", str(base)], stderr=subprocess.PIPE, start_new_session=True
    )
    address, begun = f"git://127.0.0.1:{port}", time.monotonic()
    try:
        while subprocess.run(["git", "ls-remote", f"{address}/foundry.git"], capture_output=True).returncode:
            assert process.poll() is None, process.stderr and process.stderr.read()
            assert time.monotonic() - begun < START_SECONDS
            time.sleep(0.05)
        yield address
    finally:
        process.terminate()
        process.communicate()
