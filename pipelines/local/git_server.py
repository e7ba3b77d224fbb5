"""The Git repository that the machines of a workspace share: fetch from it, push to it, see what it has.

Each function talks with the server once. A server that does not answer is a ServiceError, which a task tries again.
"""

import os
import re
import sys
from collections.abc import Iterable, Mapping
from contextlib import AbstractContextManager
from pathlib import Path

from elp_core.errors import OpsError
from elp_core.fail_points import durable_write
from elp_core.types import Seconds
from pipelines.errors import DiskFull, PushRejected, RemoteAway, ServiceError, VersioningError, WorkspaceError
from pipelines.local import git
from pipelines.local.store_checks import DEADLINE, StoreResult
from pipelines.local.workspace import SETTINGS_FILE, Workspace
from pipelines.locks import file_lock
from pipelines.number_text import count
from pipelines.registry.slot import Slot

BRANCHES = "+refs/heads/*:refs/remotes/origin/*"
"""What a worker's clone fetches besides `TAGS`."""
ORIGIN_HEAD = "refs/remotes/origin/HEAD"
"""What names the default branch of the server in a worker's clone."""
TAGS = ("+refs/tags/data/*:refs/tags/data/*", "+refs/tags/golden/*:refs/tags/golden/*")
"""The tags of dataset versions and golden sets; a tag that was moved there is moved here."""
_PATIENCE: Seconds = 180.0
"""How long one conversation may take: the repository holds small files only."""
_SSH = "ssh -o ConnectTimeout=20 -o ServerAliveInterval=15 -o ServerAliveCountMax=4"
_RACE = re.compile(
    r"\[rejected\]|\[remote rejected\].*(lock|failed to update ref|incorrect old value|already exists)"
    r"|cannot lock ref .*(is at [0-9a-f]+ but expected|reference already exists|File exists)"
)
"""What Git prints if another push came first, before or while the server took this one."""

_AWAY = re.compile(
    r"Connection (refused|reset|timed out|closed)|Temporary failure in name resolution|No route to host"
    r"|Network is unreachable|Operation timed out|Failed to connect|Couldn't connect|requested URL returned error: 5"
    r"|unexpected disconnect|early EOF|Broken pipe|did not end within"
)
"""What Git, curl or SSH print if the server is away. A refused login and a wrong address do not match."""
_FULL = re.compile("No space left on device|Disk quota exceeded")


def git_lock(workspace: Workspace) -> AbstractContextManager[None]:
    """Hold the lock on the remote branches and tags of a clone: two fetches at once refuse each other's."""
    return file_lock((workspace.home or workspace.state) / "locks" / f"git-{workspace.root.name}.lock")


def ask_server(folder: Path, address: str, *arguments: str, patience: Seconds = _PATIENCE) -> str:
    """Run a command of Git that talks with the server at `address`.

    Raise ServiceError if that fails, DiskFull if a disk is full.
    """
    try:
        return git.git(folder, *arguments, extra=_patient_ssh(folder), timeout=patience)
    except VersioningError as error:
        raise _failure(error, address, "does not answer", f"look at: git ls-remote {address}") from error


def examine_git_address(workspace: Workspace, patience: Seconds = DEADLINE - 1) -> StoreResult:
    """Return outcome, detail and remedy: whether the server of `git:` lists its branches within a few seconds."""
    address = workspace.settings.git
    remedy = (
        "start the Git server, or correct git in elp.yaml; for SSH, core.sshCommand or GIT_SSH_COMMAND names the key, "
        "for https, credential.helper of Git has the login"
    )
    try:
        heads = ask_server(workspace.root, address, "ls-remote", "--heads", address, patience=patience)
    except (ServiceError, DiskFull) as error:
        return "fail", str(error), remedy
    if not heads:
        return "warn", f"{address} has no branch, so that no worker can read it", f"run: git push {address} HEAD --tags"
    return "ok", f"{address} answers", ""


def server_refs(folder: Path, address: str) -> tuple[str, dict[str, str]]:
    """Return the default branch of the server, empty if it names none, and the object of each of its refs by name."""
    lines = git.lines(ask_server(folder, address, "ls-remote", "--symref", address))
    pairs = [(name, value) for value, name in (line.split("\t") for line in lines)]
    default = dict(reversed(pairs)).get("HEAD", "").partition("ref: refs/heads/")[2]
    return default, {name: value for name, value in pairs if not value.startswith("ref: ")}


def fetch_branch(workspace: Workspace, branch: str) -> str:
    """Fetch a branch and the tags of data; return its commit, or an empty text if the server has no branch at all.

    Raise WorkspaceError if the server has others.
    """
    root, address = workspace.root, workspace.settings.git
    tracking = f"refs/remotes/{_name(root, address) or 'elp'}/{branch}"
    with git_lock(workspace):
        try:
            wanted = (f"+refs/heads/{branch}:{tracking}", *TAGS)
            # tags that were not pushed yet stay, whatever fetch.prune of the user is
            ask_server(root, address, "fetch", "--quiet", "--no-prune", "--no-tags", address, *wanted)
        except ServiceError as error:
            if "couldn't find remote ref" not in str(error):
                raise
            _require_branch(workspace, branch, *server_refs(root, address))
            return ""
    return git.resolve(root, tracking)


def push_branch(workspace: Workspace, branch: str, tags: Iterable[str]) -> None:
    """Push the branch that is checked out, with tags: all of it or nothing.

    Raise PushRejected if the server has commits or tags that are not here, VersioningError if it refuses the change.
    """
    root, address = workspace.root, workspace.settings.git
    refs = [f"HEAD:refs/heads/{branch}", *(f"refs/tags/{tag}" for tag in tags)]
    # by its name, a push also moves the remote branch of this clone
    place = _name(root, address) or address
    quiet = ("-c", "advice.pushUpdateRejected=false")
    with git_lock(workspace):
        wanted = ("push", "--quiet", "--atomic", place, *refs)
        try:
            with durable_write("git push"):
                git.git(root, *quiet, *wanted, extra=_patient_ssh(root), timeout=_PATIENCE)
        except VersioningError as error:
            said = str(error)
            if _RACE.search(said):
                raise PushRejected(f"another machine has pushed to {address} first") from error
            if "failed to push some refs" in said and not _FULL.search(said):
                raise VersioningError(f"the Git server of {address} refuses the change: {_reason(error)}") from error
            raise _failure(error, address, "did not take the change", "run it again when it answers") from error


def pushed_revision(workspace: Workspace) -> str:
    """Return the commit of the workspace as workers can read it.

    Raise WorkspaceError, with the command that helps, if the settings are not committed, or if the server lacks the
    commit or the tag of a version.
    """
    root, address = workspace.root, workspace.settings.git
    head, branch = git.resolve(root), git.current_branch(root)
    if git.git(root, "status", "--porcelain", "--", SETTINGS_FILE):
        raise WorkspaceError(
            f"{SETTINGS_FILE} has changes that are not committed, and workers read it from {address}; run: "
            f"git commit -m 'Change the settings' {SETTINGS_FILE} && git push {address} {branch}"
        )
    default, there = server_refs(root, address)
    _require_branch(workspace, branch, default, there)
    tip = there.get(f"refs/heads/{branch}", "")
    if tip != head and tip:
        tip = fetch_branch(workspace, branch)
    if not (tip and git.is_ancestor(root, head, tip)):
        raise WorkspaceError(
            f"the commit {head[:12]} is not at {address}, so that no worker can read it; run: "
            f"git push {address} {branch}"
        )
    tags = [tag for group in ("data", "golden") for tag in git.tags(root, group) if Slot.of_tag(tag)]
    if missing := [tag for tag in tags if f"refs/tags/{tag}" not in there]:
        raise WorkspaceError(
            f"{address} lacks {count(len(missing), 'tag')} of dataset versions, such as {missing[0]}; run: "
            f"git push {address} --tags"
        )
    return head


def _require_branch(workspace: Workspace, branch: str, default: str, there: Mapping[str, str]) -> None:
    """Raise WorkspaceError if the server has other branches only: nobody would read one that a push makes again."""
    root, address = workspace.root, workspace.settings.git
    if f"refs/heads/{branch}" not in there and any(name.startswith("refs/heads/") for name in there):
        named = f" (its default branch is {default})" if default else ""
        raise WorkspaceError(
            f"{address} has no branch {branch}{named}; if it was renamed there, run in {root}: "
            f"git branch -m {branch} {default or 'NAME'}; if it is new, run: git push {address} {branch}"
        )


def _name(root: Path, address: str) -> str:
    """Return the name of the clone's remote with this address; empty if it has none."""
    # not `git remote --verbose`, which shows what insteadOf makes of an address
    lines = git.git(root, "config", "--null", "--list").split("\0")
    found = (
        key.split(".", 1)[1]
        for key, _, value in (line.partition("\n") for line in lines)
        if value == address and key.startswith("remote.") and key.endswith(".url")
    )
    return next((name.removesuffix(".url") for name in found), "")


def _patient_ssh(folder: Path) -> dict[str, str]:
    """Return the environment in which SSH ends automatically if the server is gone; a user's own command stays."""
    if "GIT_SSH_COMMAND" in os.environ or "GIT_SSH" in os.environ or git.configured(folder, "core.sshCommand"):
        return {}
    # a person at a terminal may be asked for a pass phrase; a worker must not wait for one
    return {"GIT_SSH_COMMAND": _SSH if sys.stderr.isatty() else f"{_SSH} -o BatchMode=yes"}


def _failure(error: VersioningError, address: str, what: str, step: str) -> OpsError:
    """Return the error for what a command of Git said: whether a run waits for the server, or for space on a disk."""
    said = str(error)
    if _FULL.search(said):
        return DiskFull(f"a disk of this machine or of {address} is full: {_reason(error)}; free some space")
    kind = RemoteAway if _AWAY.search(said) else ServiceError
    return kind(f"the Git server of {address} {what}: {_reason(error)}; {step}")


def _reason(error: VersioningError) -> str:
    """Return what Git said as one line, without its advice."""
    text = str(error).partition(": ")[2] or str(error)
    lines = [line.strip() for line in text.splitlines() if line.strip() and not line.startswith("hint:")]
    return "; ".join(lines)[:400]
