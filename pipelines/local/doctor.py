"""The checks of `elp doctor`: what is wrong, and what to do about it."""

import importlib.metadata
import platform
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from elp_core.errors import ElpError
from elp_core.types import Seconds
from pipelines.local import git
from pipelines.local import http_client as web
from pipelines.local.addresses import MLFLOW, PREFECT
from pipelines.local.git_server import examine_git_address
from pipelines.local.lifecycle import roles_here
from pipelines.local.server_store_checks import server_store_checks
from pipelines.local.service_commands import POOLS
from pipelines.local.service_status import HAS_ENDED, ServiceStatus, service_status
from pipelines.local.settings import Settings
from pipelines.local.store_checks import bounded
from pipelines.local.supervision import SUPERVISOR
from pipelines.local.workspace import Workspace
from pipelines.number_text import count
from pipelines.registry.backbone_licence import BackbonePolicy, licence_fault
from pipelines.registry.lineage import BackboneName
from pipelines.registry.signing.keys import PRIVATE_FOLDER, key_folder, load_trusted_keys

PACKAGE = "elp-foundry"
LOCK = Path(__file__).resolve().parents[2] / "constraints.txt"
"""The lock next to the source; an installed wheel has none, and only its declared requirements are checked."""

CHECK_DEADLINE: Seconds = 120.0
"""How long any check may take; a store has less (`store_checks.DEADLINE`)."""
_HANGS = "look for a network share, a server or a disk that hangs, and run it again"
_GB = 1024**3
Result = tuple[str, str, str]
"""Outcome, detail and remedy of a check."""


@dataclass(frozen=True)
class Finding:
    """One line of `elp doctor`."""

    name: str
    outcome: str
    """``ok``, ``warn`` or ``fail``."""
    detail: str
    remedy: str = ""


def examine(workspace: Workspace, more: Mapping[str, Callable[[Workspace], Result]]) -> Iterator[Finding]:
    """Yield each finding as soon as it is known; a check that fails is a finding, not an error.

    A store that is configured gets a round trip, which leaves nothing in it; else nothing is written. `more` has the
    checks, by name, that belong to rooms which this one does not know.
    """
    checks: dict[str, Callable[[Workspace], Result]] = {
        "python": _python,
        "packages": _packages,
        "disk": _disk,
        "git": _git,
        "keys": _keys,
        "clock": _clock,
        "gpu": _gpu,
        "backbone": _backbone,
        **({"git address": examine_git_address} if workspace.settings.git else {}),
        **more,
        **server_store_checks(workspace),
    }
    yield from _findings(checks, workspace)
    for service in service_status(workspace, patience=15.0):
        yield Finding(service.name, *_service(workspace, service))


def examine_machine(folder: Path) -> Iterator[Finding]:
    """Yield the findings that need no workspace; disk is that of `folder`."""
    checks = {"python": _python, "packages": _packages, "disk": _disk, "gpu": _gpu}
    yield from _findings(checks, Workspace(folder, Settings()))
    yield Finding("workspace", "warn", f"none at {folder} or above", "make one with: elp init DIR")


def _findings(checks: Mapping[str, Callable[[Workspace], Result]], workspace: Workspace) -> Iterator[Finding]:
    for name, check in checks.items():
        # a share or a server that hangs must not keep the other checks from being made
        yield Finding(name, *bounded("it", partial(_found, check, workspace), _HANGS, CHECK_DEADLINE))


def _found(check: Callable[[Workspace], Result], workspace: Workspace) -> Result:
    try:
        return check(workspace)
    except (ElpError, OSError) as error:
        return "fail", str(error), ""


def _python(_: Workspace) -> Result:
    from packaging.specifiers import SpecifierSet

    version, supported = platform.python_version(), importlib.metadata.metadata(PACKAGE)["Requires-Python"]
    if SpecifierSet(supported).contains(version):
        return "ok", version, ""
    return "fail", version, f"use Python {supported}: no other one is tested"


def _packages(_: Workspace) -> Result:
    from packaging.requirements import Requirement

    remedy = "install from the lock: make setup"
    required = map(Requirement, importlib.metadata.requires(PACKAGE) or [])
    faults = []
    for wanted in (r for r in required if r.marker is None or r.marker.evaluate({"extra": "pipelines"})):
        installed = _installed(wanted.name)
        if installed is None:
            faults.append(f"{wanted.name} is missing")
        elif not wanted.specifier.contains(installed, prereleases=True):
            faults.append(f"{wanted.name} is {installed}, wanted {wanted.specifier}")
    if faults:
        return "fail", "; ".join(faults), remedy
    if differing := _differing():
        more = " …" if len(differing) > 5 else ""
        return "warn", f"other versions than the lock: {', '.join(differing[:5])}{more}", remedy
    return "ok", "as locked" if LOCK.is_file() else "as required", ""


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


def _disk(workspace: Workspace) -> Result:
    free = shutil.disk_usage(workspace.root).free / _GB
    outcome = "fail" if free < 1 else "warn" if free < 5 else "ok"
    remedy = "free some space: audio, bundles and the servers' files need it"
    return outcome, f"{free:.1f} GB free", "" if outcome == "ok" else remedy


def _git(workspace: Workspace) -> Result:
    if shutil.which("git") is None:
        return "fail", "not installed", "install git"
    if not git.is_repository(workspace.root):
        return "fail", f"{workspace.root} is not a Git repository", f"run: elp init {workspace.root}"
    git.require_identity(workspace.root)
    if changed := git.lines(git.git(workspace.root, "status", "--porcelain", "--untracked-files=no")):
        return "warn", count(len(changed), "uncommitted change"), "commit them, or lineage will say dirty"
    return "ok", "identity set, nothing uncommitted", ""


def _keys(workspace: Workspace) -> Result:
    trusted_keys, roles = load_trusted_keys(key_folder(workspace.state)), roles_here(workspace)
    for role in roles:
        trusted_keys.signer(role)
    if loose := [path.name for path in trusted_keys.orphans()]:
        shown = ", ".join(name[:16] for name in loose[:3])
        remedy = f"delete them from {trusted_keys.folder / PRIVATE_FOLDER}: nothing they sign counts"
        return "warn", f"{count(len(loose), 'private key')} of no active key: {shown}", remedy
    ended = sum(not key.active for key in trusted_keys.keys)
    return "ok", f"can sign {', '.join(roles)}; {len(trusted_keys.keys)} trusted, {ended} ended", ""


def _clock(workspace: Workspace) -> Result:
    try:
        newest = float(git.git(workspace.root, "log", "-1", "--format=%ct"))
    except (ElpError, ValueError):
        newest = 0.0
    # a minute of difference is normal between two machines that commit
    if newest > time.time() + 60:
        behind = f"it is {time.strftime('%Y-%m-%d %H:%M')}, which is before the newest commit"
        return "fail", behind, "set the clock: dates of versions and verdicts come from it"
    return "ok", time.strftime("%Y-%m-%d %H:%M:%S %Z"), ""


def _gpu(_: Workspace) -> Result:
    import torch

    if torch.cuda.is_available():
        return "ok", torch.cuda.get_device_name(0), ""
    # a GPU that torch cannot use is worth a warning; no GPU is a normal machine
    smi = shutil.which("nvidia-smi")
    if smi and subprocess.run([smi, "-L"], capture_output=True, check=False).returncode == 0:
        return "warn", f"there is one, but torch {torch.__version__} cannot use it", "install torch for CUDA"
    return "ok", "none: training runs on the CPU", ""


def _backbone(workspace: Workspace) -> Result:
    found = [_one_backbone(name, workspace.settings.backbones) for name in workspace.settings.backbone_names]
    return next((one for one in found if one[0] != "ok"), ("ok", "; ".join(one[1] for one in found), ""))


def _one_backbone(name: str, policy: BackbonePolicy) -> Result:
    from elp_core.backbones import Backbone

    found = BackboneName(name, Backbone.from_pretrained(name).fingerprint)
    origin, loads = policy.origin_of(found), f"{name} loads, {found.fingerprint[:19]}…"
    if fault := licence_fault(found, origin, policy):
        return "warn", f"{loads}, but {fault}", "choose another one: a champion on it takes an override by two people"
    if not origin.licence:
        return "warn", f"{loads}, its licence is unknown", f"record it: elp backbone add {name}"
    return "ok", f"{loads}, {origin.licence}", ""


def _service(workspace: Workspace, found: ServiceStatus) -> Result:
    place = f" at {found.address}" if found.address else ""
    if found.name == SUPERVISOR and found.detail:
        again = found.detail.startswith(HAS_ENDED)
        remedy = "nothing, if it is up in a minute; else read its log" if again else "start it with: elp up"
        return "warn", f"{found.state}: {found.detail}", remedy
    if found.state == "up":
        return "ok", f"up{place}{f' ({found.detail})' if found.detail else ''}", ""
    if found.state == "silent":
        return "fail", f"no answer{place}; {found.detail}", "restart: elp down, then elp up"
    servers = workspace.settings.servers
    port = {MLFLOW: servers.mlflow_port, PREFECT: servers.prefect_port}.get(found.name, 0)
    if port and not web.port_is_free(servers.host, port):
        owner = web.port_owner(port) or "another program"
        remedy = f"stop it, set servers.{found.name}_port in elp.yaml, or run: elp up --free-ports"
        return "fail", f"down, and its port {port} is taken by {owner}", remedy
    state = "no worker" if found.name in POOLS else "down"
    return "warn", f"{state}; {found.detail}" if found.detail else state, "start it with: elp up"
