"""The workspace of a flow run: opened in place, or cloned from its Git address into the home of a worker.

<home>/clones/<digest of the address>/   a clone, whose branch moves only while a run changes data; with its `.elp/`
<home>/cache/                            what was fetched and computed, by content
<home>/keys/, <home>/locks/

Clones and cache may be deleted whenever no run is in progress: a clone is made again.
"""

import contextlib
import dataclasses
import hashlib
import json
import os
import socket
import tempfile
from pathlib import Path

from elp_core.checkpoint_folders import look_below
from elp_core.fail_points import durable_write
from elp_core.files import write_whole
from pipelines.errors import DiskFull, RemoteAway, ServiceError, VersioningError, WorkspaceError, WrongRelease
from pipelines.local import git
from pipelines.local.dvc_repository import DVC_CONFIG, require_shared_remote
from pipelines.local.git_address import address_faults, is_git_address
from pipelines.local.git_server import BRANCHES, ORIGIN_HEAD, TAGS, ask_server, git_lock, server_refs
from pipelines.local.settings import Settings, read_settings
from pipelines.local.worker_home import worker_home
from pipelines.local.worker_plan import WORKER
from pipelines.local.workspace import SETTINGS_FILE, Workspace, open_workspace
from pipelines.locks import file_lock
from pipelines.registry.client.workers import server_release
from pipelines.release import installed_release, require_release, require_same_release

_ORIGIN, _TAGS = "refs/remotes/origin/", ("refs/tags/data/", "refs/tags/golden/")


def open_for_run(workspace: str, revision: str = "") -> Workspace:
    """Open the workspace of a flow run: a folder in place, a Git address as a clone in the home of the worker.

    The settings are those of `revision`, by default of the newest commit. MLflow and Prefect are those that the
    environment of the worker names (MLFLOW_TRACKING_URI, PREFECT_API_URL), else those of the settings.

    Raise ServiceError if the Git server does not answer, WorkspaceError if the repository is no workspace, lacks the
    revision or has a DVC remote that is not shared, ConfigError if its settings have faults.
    """
    if not is_git_address(workspace):
        return open_workspace(Path(workspace))
    if faults := address_faults(workspace):
        raise WorkspaceError(f"the workspace of this run cannot be opened: {faults[0]}")
    home = worker_home()
    opened = Workspace(clone_folder(home, workspace), Settings(git=workspace), home=home)
    with git_lock(opened):
        if not _fetched(opened):
            _clone(opened)
        commit = _commit(opened, revision)
        _follow_dvc_config(opened)
    require_shared_remote(opened.root, workspace)
    text = _text_at(opened, commit, Path(SETTINGS_FILE))
    if text is None:
        raise WorkspaceError(
            f"{workspace} has no {SETTINGS_FILE} at {commit[:12]}; make a workspace with: elp init DIR"
        )
    settings = read_settings(text, f"{SETTINGS_FILE} of {workspace} at {commit[:12]}")
    look_below(opened.root)
    return dataclasses.replace(opened, settings=_for_worker(settings, workspace), revision=commit)


def require_release_of_run(workspace: str, release: str) -> None:
    """Raise WrongRelease if a run asks for another release than the installed one; an empty text asks for none.

    Raise WorkerEnded instead if it is this worker that differs from the server: another one does the run, and
    `elp worker` ends. Without `elp worker`, as in a pod, nothing would end, and the run would come back for ever.
    """
    try:
        require_release(release)
    except WrongRelease:
        uri = os.environ.get("MLFLOW_TRACKING_URI")
        if uri and is_git_address(workspace) and WORKER in os.environ:
            require_same_release(installed_release(), server_release(uri))
        raise


def clone_folder(home: Path, address: str) -> Path:
    """Return the folder of the clone of an address."""
    return home / "clones" / hashlib.sha256(address.encode()).hexdigest()[:16]


def _for_worker(settings: Settings, address: str) -> Settings:
    servers = dataclasses.replace(
        settings.servers,
        mlflow_uri=os.environ.get("MLFLOW_TRACKING_URI") or settings.servers.mlflow_uri,
        prefect_api=os.environ.get("PREFECT_API_URL") or settings.servers.prefect_api,
    )
    # the address by which it was opened: a commit of the time before has none
    return dataclasses.replace(settings, git=address, servers=servers)


def _fetched(workspace: Workspace) -> bool:
    """Make the remote branches and tags of a clone those of the server; return False if it is missing or damaged.

    This takes one request if the clone is up to date, else two.
    """
    root, address = workspace.root, workspace.settings.git
    if not _sound(root, address):
        return False
    default, refs = server_refs(root, address)
    there = {
        name.replace("refs/heads/", _ORIGIN, 1): value
        for name, value in refs.items()
        if name.startswith(("refs/heads/", *_TAGS)) and not name.endswith("^{}")
    }
    try:
        here = _refs(root)
        # in this order: a change has its journal before its tags, and pushes them under the lock that this run holds
        if gone := here.keys() - there.keys() - _unpushed_tags(workspace):
            with durable_write("branches and tags removed"):
                git.delete_refs(root, sorted(gone))
        if there.items() - here.items():
            ask_server(root, address, "fetch", "--quiet", "--no-prune", "--no-tags", "origin", BRANCHES, *TAGS)
        if f"{_ORIGIN}{default}" not in there:
            default = _default_branch(root, address)
        git.git(root, "symbolic-ref", ORIGIN_HEAD, f"{_ORIGIN}{default}")
    except (RemoteAway, DiskFull):
        # also if the fetch took longer than its time limit
        raise
    except (ServiceError, VersioningError):
        # the server has answered before, so it is the clone
        return False
    return git.is_whole(root, git.resolve(root, ORIGIN_HEAD))


def _refs(root: Path) -> dict[str, str]:
    """Return the object of each remote branch and tag of data in a clone; raise VersioningError if one is missing."""
    # the type is read from the object
    form = "--format=%(refname) %(objectname) %(objecttype)"
    lines = git.lines(git.git(root, "for-each-ref", form, _ORIGIN, *_TAGS))
    return {name: value for name, value, _ in (line.split(" ") for line in lines) if name != ORIGIN_HEAD}


def _unpushed_tags(workspace: Workspace) -> set[str]:
    """Return the tags that the journals of changes name: such a change pushes its tags at its end."""
    found = set[str]()
    for journal in (workspace.state / "journal").glob("*.json"):
        with contextlib.suppress(FileNotFoundError):
            found |= {f"refs/tags/{tag}" for tag in json.loads(journal.read_bytes())["tags"]}
    return found


def _sound(root: Path, address: str) -> bool:
    try:
        return (
            git.is_repository(root)
            and git.configured(root, "remote.origin.url") == address
            # it reads the index and the newest commit, and changes nothing
            and git.git(root, "--no-optional-locks", "status", "--porcelain", "--untracked-files=no") is not None
        )
    except VersioningError:
        return False


def _clone(workspace: Workspace) -> None:
    """Clone the repository; a damaged clone is replaced, unless a run changes data in it."""
    root, address = workspace.root, workspace.settings.git
    root.parent.mkdir(parents=True, exist_ok=True)
    with contextlib.ExitStack() as stack:
        if root.exists():
            try:
                stack.enter_context(file_lock(workspace.state / "locks" / "data.lock", wait=0))
            except TimeoutError as error:
                raise ServiceError(f"the clone {root} is damaged, and another run uses it; try again later") from error
        # an interrupted clone must not look like one to the next run
        scratch = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix=".clone-", dir=root.parent)))
        ask_server(scratch, address, "clone", "--quiet", "--no-tags", "--no-checkout", "--", address, "new")
        new = scratch / "new"
        ask_server(new, address, "fetch", "--quiet", "--no-tags", "origin", *TAGS)
        branch = _default_branch(new, address)
        git.git(new, "checkout", "--quiet", "--force", "-B", branch, f"{_ORIGIN}{branch}")
        git.git(new, "symbolic-ref", ORIGIN_HEAD, f"{_ORIGIN}{branch}")
        _give_identity(new)
        if root.exists():
            os.replace(root, scratch / "damaged")
        with durable_write("clone"):
            os.replace(new, root)


def _default_branch(root: Path, address: str) -> str:
    """Return the branch that the repository names as its own; if that does not exist, the only one that does."""
    if git.resolve(root, ORIGIN_HEAD):
        return git.git(root, "symbolic-ref", ORIGIN_HEAD).removeprefix(_ORIGIN)
    found = git.lines(git.git(root, "for-each-ref", "--format=%(refname)", _ORIGIN))
    if len(branches := [name.removeprefix(_ORIGIN) for name in found if name != ORIGIN_HEAD]) == 1:
        return branches[0]
    if not branches:
        raise WorkspaceError(f"{address} has no commit; push the workspace there with: git push {address} main")
    raise WorkspaceError(
        f"{address} names no branch of its own and has {', '.join(branches)}; run there: "
        f"git symbolic-ref HEAD refs/heads/{branches[0]}"
    )


def _follow_dvc_config(workspace: Workspace) -> None:
    """Write the DVC settings of the newest commit into the clone: its files follow only while a run changes data."""
    path = workspace.root / DVC_CONFIG
    text = f"{_text_at(workspace, ORIGIN_HEAD, DVC_CONFIG) or ''}\n"
    if not path.is_file() or path.read_bytes() != text.encode():
        write_whole(path, text)


def _text_at(workspace: Workspace, revision: str, path: Path) -> str | None:
    try:
        return git.show(workspace.root, revision, path)
    except UnicodeDecodeError as error:
        raise WorkspaceError(f"{path} of {workspace.settings.git} is not UTF-8: {error}") from error


def _give_identity(root: Path) -> None:
    """Let commits of this clone have an author if the account of the worker has none."""
    try:
        git.require_identity(root)
    except WorkspaceError:
        host = socket.gethostname() or "worker"
        git.git(root, "config", "user.name", f"ELP worker on {host}")
        git.git(root, "config", "user.email", f"elp-worker@{host}")


def _commit(workspace: Workspace, revision: str) -> str:
    """Return the commit of a revision that a branch or a tag of the repository contains."""
    root, address = workspace.root, workspace.settings.git
    if not revision:
        return git.resolve(root, ORIGIN_HEAD)
    commit = git.resolve(root, f"{_ORIGIN}{revision}") or git.resolve(root, revision)
    if not commit:
        raise WorkspaceError(
            f"{address} has no revision {revision!r}; push it from the clone that has it: git push {address} BRANCH"
        )
    if not git.git(root, "for-each-ref", "--count=1", "--format=%(refname)", "--contains", commit, _ORIGIN, *_TAGS):
        raise WorkspaceError(
            f"no branch of {address} contains the revision {revision!r} any more; it was rewritten or deleted: "
            "start the run again from a commit that it has"
        )
    return commit
