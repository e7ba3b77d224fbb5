"""The branch that all machines of a workspace share: bring a clone up to date with it, add a change of data to it."""

import contextlib
import functools
import random
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import ParamSpec, TypeVar

from elp_core.fail_points import durable_write
from elp_core.types import Seconds
from pipelines.datasets.dvc import tracked_hash
from pipelines.datasets.local_files import listed_names
from pipelines.errors import PushRejected, SlotChangedElsewhere, VersioningError, WorkspaceError
from pipelines.local import git
from pipelines.local.dvc_repository import DVC_CONFIG
from pipelines.local.git_server import ORIGIN_HEAD, fetch_branch, git_lock, push_branch
from pipelines.local.workspace import Workspace
from pipelines.number_text import count
from pipelines.registry.slot import Slot

_P = ParamSpec("_P")
_R = TypeVar("_R")

_REPEATS = 10
"""How often a change is begun if another machine changes the same slot first each time."""
_TRIES = 30
"""Pushes of one change: each one that is rejected means that another machine's change has arrived."""
_PAUSE: Seconds = 0.2
"""Longest pause after the first rejected push; it grows with each further one."""


def on_newest_state(change: Callable[_P, _R]) -> Callable[_P, _R]:
    """Do a change of a slot again from its beginning if another machine has changed the same slot meanwhile."""

    @functools.wraps(change)
    def repeated(*args: _P.args, **kwargs: _P.kwargs) -> _R:
        for _ in range(_REPEATS - 1):
            with contextlib.suppress(SlotChangedElsewhere):
                return change(*args, **kwargs)
        return change(*args, **kwargs)

    return repeated


def bring_up_to_date(workspace: Workspace) -> None:
    """Move the branch of a clone to the newest commit at its Git address; call it with the lock on the data.

    Commits that were not pushed stay on top. A worker's clone has none, so it follows a branch that was rewritten, and
    another default branch. The files of versions that are no longer in force leave the folders of their slots; DVC's
    cache keeps them.

    Raise ServiceError if the server does not answer, WorkspaceError if both sides have commits of their own, if files
    that the new commits change have changes here, or if the server has other branches only.
    """
    root, address = workspace.root, workspace.settings.git
    branch = _followed_branch(workspace)
    tip, head = fetch_branch(workspace, branch), git.resolve(root)
    if not tip:
        return
    if workspace.home:
        _remove_old_files(root, head, tip)
        with durable_write("move of clone"):
            git.git(root, "reset", "--quiet", "--hard", tip)
        git.git(root, "clean", "--quiet", "--force", "-d", "--exclude=/.elp", "--exclude=/.dvc")
    elif git.is_ancestor(root, tip, head):
        return
    elif git.is_ancestor(root, head, tip):
        _move(root, head, tip, "merge", "--quiet", "--ff-only")
    else:
        ours, theirs = (git.git(root, "rev-list", "--count", f"{a}..{b}") for a, b in ((tip, head), (head, tip)))
        raise WorkspaceError(
            f"the branch {branch} of {root} and that of {address} have diverged ({count(int(ours), 'commit')} here, "
            f"{theirs} there); run: git pull --rebase {address} {branch}"
        )


def push_change(workspace: Workspace, subject: Slot | Path, revision: str, tags: Mapping[str, str]) -> str:
    """Push the commit of a change, which is the newest one here, with its tags; return the commit as it was pushed.

    `tags` has the message of each. If another machine was first and left the `subject` alone, a slot or a file, the
    commit is made again on top of its commits.

    Raise SlotChangedElsewhere if it has changed the subject or the DVC remote, ServiceError if the server does not
    answer, VersioningError if it refuses the change, WorkspaceError if the branch has diverged otherwise.
    """
    root, branch = workspace.root, _followed_branch(workspace)
    for attempt in range(_TRIES):
        for tag, message in tags.items():
            # moved, if the commit was made again
            if git.resolve(root, f"refs/tags/{tag}") != revision:
                git.tag(root, tag, message, revision, force=True)
        try:
            push_branch(workspace, branch, tags)
            return revision
        except PushRejected:
            tip = fetch_branch(workspace, branch)
        if tip and git.is_ancestor(root, revision, tip):
            # an earlier push had arrived, and its answer had not
            return revision
        if tip:
            revision = _again_on(workspace, subject, revision, tip)
        time.sleep(random.uniform(0.0, _PAUSE * (attempt + 1)))
    raise SlotChangedElsewhere(
        f"other machines pushed to {workspace.settings.git} before each of {_TRIES} tries; nothing was changed, "
        "try again"
    )


def withdraw_commit(root: Path, revision: str, tags: Iterable[str]) -> None:
    """Take back the commit of a change that was not pushed, and its tags; the files stay as they are.

    Raise WorkspaceError if another commit was made on top of it.
    """
    if git.resolve(root) != revision:
        raise WorkspaceError(
            f"the commit {revision[:12]} of {root} was not pushed, and others are on top of it; push them: git push"
        )
    for tag in tags:
        # one of the same name that came from the server is another commit's
        if git.resolve(root, f"refs/tags/{tag}") == revision:
            with durable_write("git tag taken back"):
                git.git(root, "tag", "--delete", tag)
    with durable_write("git commit taken back"):
        git.git(root, "reset", "--quiet", "--soft", f"{revision}^")


def _followed_branch(workspace: Workspace) -> str:
    """Return the branch of a clone; that of a worker's clone is renamed to the default branch that it read last."""
    root, branch = workspace.root, git.current_branch(workspace.root)
    if workspace.home is None:
        return branch
    default = git.git(root, "symbolic-ref", ORIGIN_HEAD).removeprefix("refs/remotes/origin/")
    if default != branch:
        with durable_write("branch renamed"):
            git.git(root, "branch", "--move", "--force", branch, default)
    return default


def _again_on(workspace: Workspace, subject: Slot | Path, revision: str, tip: str) -> str:
    """Make the commit of a change again on top of `tip`; return the new commit.

    Raise SlotChangedElsewhere if the commits in between change the subject or the DVC remote.
    """
    root, base, address = workspace.root, git.resolve(workspace.root, f"{revision}^"), workspace.settings.git
    place = subject.folder if isinstance(subject, Slot) else subject
    if git.git(root, "diff", "--name-only", f"{base}...{tip}", "--", place.as_posix()):
        raise SlotChangedElsewhere(f"another machine has changed {subject} at {address} first; try again")
    if git.git(root, "diff", "--name-only", f"{base}...{tip}", "--", str(DVC_CONFIG)):
        # the files of the change are at the former remote only
        raise SlotChangedElsewhere(f"the DVC remote at {address} has changed during the change of {subject}; try again")
    if not git.is_ancestor(root, base, tip):
        raise WorkspaceError(
            f"{root} has commits that are not at {address}, which has others; nothing was changed, run: "
            f"git pull --rebase {address} {git.current_branch(root)}"
        )
    message = git.git(root, "log", "-1", "--format=%B", revision)
    paths = git.listed(root, "diff", "--name-only", base, revision)
    with git_lock(workspace):
        if workspace.home:
            # a run that was opened meanwhile may have put a newer one there, which would count as a change
            git.git(root, "checkout", "--quiet", "HEAD", "--", str(DVC_CONFIG))
        # between this and the commit, the change is one that was not committed yet: a recovery undoes it
        _move(root, base, tip, "reset", "--quiet", "--keep")
    git.git(root, "checkout", "--quiet", revision, "--", *paths)
    return git.commit(root, [Path(path) for path in paths], message)


def _move(root: Path, before: str, tip: str, *command: str) -> None:
    """Move the branch and the unchanged files of the working tree to a commit that was made on top of `before`."""
    # first: a file that stays behind would belong to no version, and one that is missing is fetched again
    _remove_old_files(root, before, tip)
    try:
        with durable_write("move of branch"):
            git.git(root, *command, tip)
    except VersioningError as error:
        names = git.listed(root, "diff", "--name-only", "HEAD")
        raise WorkspaceError(
            f"{root} cannot follow its Git server: {', '.join(names[:3]) or tip[:12]} is changed here and there; "
            "commit or put back the changes here and try again"
        ) from error


def _remove_old_files(root: Path, before: str, after: str) -> None:
    """Remove the files of tracked folders that changed between two commits; the next reader fetches the new ones."""
    if not before:
        return
    for name in git.listed(root, "diff", "--name-only", before, after, "--", "*.dvc"):
        metafile = Path(name)
        tracked = tracked_hash(git.show(root, before, metafile))
        # a person may track a single file, which has no listing
        for file in listed_names(root, tracked) if tracked.endswith(".dir") else ():
            # some are of the new version, too: it is fetched as a whole
            with contextlib.suppress(FileNotFoundError):
                (root / metafile.with_suffix("") / file).unlink()
