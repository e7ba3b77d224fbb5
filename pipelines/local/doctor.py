"""The checks of `elp doctor`: what is wrong, and what to do about it."""

from __future__ import annotations

import importlib.metadata
import platform
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from elp_core.errors import ElpError
from pipelines.local import git
from pipelines.local import http_client as web
from pipelines.local.addresses import MLFLOW, PREFECT
from pipelines.local.lifecycle import roles_here
from pipelines.local.service_commands import POOLS
from pipelines.local.service_status import ServiceStatus, service_status
from pipelines.local.workspace import Workspace
from pipelines.registry.signing.keys import PRIVATE_FOLDER, key_folder, load_trusted_keys

PACKAGE = "elp-foundry"
LOCK = Path(__file__).resolve().parents[2] / "constraints.txt"
"""The lock next to the source; an installed wheel has none, and only its declared requirements are checked."""

_GB = 1024**3


@dataclass(frozen=True)
class Finding:
    """One line of `elp doctor`."""

    name: str
    outcome: str
    """``ok``, ``warn`` or ``fail``."""
    detail: str
    remedy: str = ""


def examine(workspace: Workspace) -> Iterator[Finding]:
    """Yield each finding as soon as it is known; a check that fails is a finding, not an error."""
    checks: list[tuple[str, Callable[[Workspace], Finding]]] = [
        ("python", _python),
        ("packages", _packages),
        ("disk", _disk),
        ("git", _git),
        ("dvc remote", _remote),
        ("keys", _keys),
        ("clock", _clock),
        ("gpu", _gpu),
        ("backbone", _backbone),
    ]
    for name, check in checks:
        try:
            yield check(workspace)
        except (ElpError, OSError) as error:
            yield Finding(name, "fail", str(error))
    for service in service_status(workspace, patience=15.0):
        yield _service(workspace, service)


def _python(_: Workspace) -> Finding:
    version = platform.python_version()
    if version.startswith("3.11."):
        return Finding("python", "ok", version)
    return Finding("python", "fail", version, "use Python 3.11; the packages are locked for it")


def _packages(_: Workspace) -> Finding:
    from packaging.requirements import Requirement

    faults = []
    for line in importlib.metadata.requires(PACKAGE) or []:
        wanted = Requirement(line)
        if wanted.marker is not None and not wanted.marker.evaluate({"extra": "pipelines"}):
            continue
        installed = _installed(wanted.name)
        if installed is None:
            faults.append(f"{wanted.name} is missing")
        elif not wanted.specifier.contains(installed, prereleases=True):
            faults.append(f"{wanted.name} is {installed}, wanted {wanted.specifier}")
    if faults:
        return Finding("packages", "fail", "; ".join(faults), "install from the lock: make setup")
    differing = _differing()
    if differing:
        shown = ", ".join(differing[:5]) + (" …" if len(differing) > 5 else "")
        return Finding(
            "packages", "warn", f"other versions than the lock: {shown}", "install from the lock: make setup"
        )
    return Finding("packages", "ok", "as locked" if LOCK.is_file() else "as required")


def _differing() -> list[str]:
    """Return the packages whose installed version is not the lock's; a local build of a version counts as it."""
    lines = LOCK.read_text(encoding="utf-8").splitlines() if LOCK.is_file() else []
    pinned = dict(line.split("==", 1) for line in lines if "==" in line and not line.startswith("#"))
    found = []
    for name, version in pinned.items():
        installed = _installed(name)
        if installed is not None and installed.partition("+")[0] != version.strip().partition("+")[0]:
            found.append(f"{name} {installed} ({version.strip()})")
    return found


def _installed(name: str) -> str | None:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def _disk(workspace: Workspace) -> Finding:
    free = shutil.disk_usage(workspace.root).free / _GB
    remedy = "free some space: audio, bundles and the servers' files need it"
    if free < 1:
        return Finding("disk", "fail", f"{free:.1f} GB free", remedy)
    return Finding("disk", "warn" if free < 5 else "ok", f"{free:.1f} GB free", remedy if free < 5 else "")


def _git(workspace: Workspace) -> Finding:
    if shutil.which("git") is None:
        return Finding("git", "fail", "not installed", "install git")
    if not git.is_repository(workspace.root):
        return Finding("git", "fail", f"{workspace.root} is not a Git repository", f"run: elp init {workspace.root}")
    git.require_identity(workspace.root)
    changed = git.git(workspace.root, "status", "--porcelain", "--untracked-files=no").splitlines()
    if changed:
        return Finding("git", "warn", f"{len(changed)} uncommitted change(s)", "commit them, or lineage will say dirty")
    return Finding("git", "ok", "identity set, nothing uncommitted")


def _remote(workspace: Workspace) -> Finding:
    remote = workspace.remote
    if "://" in remote:
        return Finding("dvc remote", "ok", f"{remote} (asked when data is pushed)")
    folder = Path(remote)
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryFile(dir=folder) as file:
        file.write(b"written and gone again")
    return Finding("dvc remote", "ok", f"{remote} can be written")


def _keys(workspace: Workspace) -> Finding:
    trusted_keys = load_trusted_keys(key_folder(workspace.state))
    for role in roles_here(workspace):
        trusted_keys.signer(role)
    loose = [path.name for path in trusted_keys.orphans()]
    if loose:
        shown = ", ".join(name[:16] for name in loose[:3])
        remedy = f"delete them from {trusted_keys.folder / PRIVATE_FOLDER}: nothing they sign counts"
        return Finding("keys", "warn", f"{len(loose)} private key(s) of no active key: {shown}", remedy)
    ended = sum(not key.active for key in trusted_keys.keys)
    return Finding(
        "keys", "ok", f"can sign {', '.join(roles_here(workspace))}; {len(trusted_keys.keys)} trusted, {ended} ended"
    )


def _clock(workspace: Workspace) -> Finding:
    try:
        newest = float(git.git(workspace.root, "log", "-1", "--format=%ct"))
    except (ElpError, ValueError):
        return Finding("clock", "ok", time.strftime("%Y-%m-%d %H:%M:%S %Z"))
    if newest > time.time() + 60:
        behind = f"it is {time.strftime('%Y-%m-%d %H:%M')}, which is before the newest commit"
        return Finding("clock", "fail", behind, "set the clock: dates of versions and verdicts come from it")
    return Finding("clock", "ok", time.strftime("%Y-%m-%d %H:%M:%S %Z"))


def _gpu(_: Workspace) -> Finding:
    import torch

    if torch.cuda.is_available():
        return Finding("gpu", "ok", torch.cuda.get_device_name(0))
    # a GPU that torch cannot use is worth a warning; no GPU is a normal machine
    smi = shutil.which("nvidia-smi")
    if smi and subprocess.run([smi, "-L"], capture_output=True, check=False).returncode == 0:
        return Finding(
            "gpu", "warn", f"there is one, but torch {torch.__version__} cannot use it", "install torch for CUDA"
        )
    return Finding("gpu", "ok", "none: training runs on the CPU")


def _backbone(workspace: Workspace) -> Finding:
    from elp_core.backbones import Backbone

    backbone = Backbone.from_pretrained(workspace.settings.backbone)
    return Finding("backbone", "ok", f"{workspace.settings.backbone} loads, {backbone.fingerprint[:19]}…")


def _service(workspace: Workspace, found: ServiceStatus) -> Finding:
    place = f" at {found.address}" if found.address else ""
    if found.state == "up":
        return Finding(found.name, "ok", f"up{place}{f' ({found.detail})' if found.detail else ''}")
    if found.state == "silent":
        return Finding(found.name, "fail", f"no answer{place}; {found.detail}", "restart: elp down, then elp up")
    servers = workspace.settings.servers
    port = {MLFLOW: servers.mlflow_port, PREFECT: servers.prefect_port}.get(found.name, 0)
    if port and not web.port_is_free(servers.host, port):
        owner = web.port_owner(port) or "another program"
        remedy = f"stop it, set servers.{found.name}_port in elp.yaml, or run: elp up --free-ports"
        return Finding(found.name, "fail", f"down, and its port {port} is taken by {owner}", remedy)
    kind = "no worker" if found.name in POOLS else "down"
    return Finding(found.name, "warn", kind, "start it with: elp up")
