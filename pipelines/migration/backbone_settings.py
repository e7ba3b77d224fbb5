"""The backbones of slots in `elp.yaml`: one commit, which is pushed if the workspace has a Git address."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from elp_core.fail_points import durable_write
from elp_core.files import write_whole
from elp_core.types import Seconds
from pipelines.datasets.shared_branch import on_newest_state, push_change, withdraw_commit
from pipelines.datasets.slot_change import data_turn
from pipelines.errors import ServiceError, SlotChangedElsewhere, VersioningError, WorkspaceError
from pipelines.local import git
from pipelines.local.settings import read_settings
from pipelines.local.workspace import SETTINGS_FILE, Workspace
from pipelines.local.yaml_splice import set_in_yaml
from pipelines.registry.slot import Slot

_FILE = Path(SETTINGS_FILE)
_WAIT: Seconds = 60.0
"""How long another run may change the data meanwhile."""


def write_backbones(workspace: Workspace, names: Mapping[str, str], subject: str) -> str:
    """Name the backbones of slots in `elp.yaml` and commit it; return the commit, empty if it says so already.

    With a Git address, the commit is pushed, on top of what other machines have pushed; one that an earlier call could
    not push is pushed, too.

    Raises WorkspaceError if the file is written in a way that cannot be changed safely, if the branch has diverged, or
    if the commit was made and could not be pushed; ServiceError if the Git server does not answer before.
    """
    if workspace.settings.git:
        return _pushed_backbones(workspace, names, subject)
    return _committed_backbones(workspace, names, subject)


def prepare_settings(workspace: Workspace, names: Mapping[str, str]) -> None:
    """Bring `elp.yaml` up to date with the Git address, if there is one; raise what would keep it from being changed.

    Errors are those of `require_no_other_change` and `data_turn`.
    """
    if workspace.settings.git:
        with data_turn(workspace, wait=_WAIT):
            require_no_other_change(workspace, names)
    else:
        require_no_other_change(workspace, names)


def require_no_other_change(workspace: Workspace, names: Mapping[str, str]) -> None:
    """Raise WorkspaceError if `elp.yaml` cannot be changed, or has uncommitted changes.

    Those of the same switch, which was killed before its commit, are none.
    """
    present = _text(workspace)
    _with_backbones(present, names)
    try:
        git.require_clean(workspace.root, Path(SETTINGS_FILE))
    except WorkspaceError:
        committed = git.show(workspace.root, "HEAD", Path(SETTINGS_FILE))
        if committed is None or not _same(_with_backbones(committed, names), present):
            raise


def _text(workspace: Workspace) -> str:
    # not as text: that would change the ends of lines
    return (workspace.root / SETTINGS_FILE).read_bytes().decode("utf-8")


def _same(one: str, other: str) -> bool:
    """Return whether two texts differ at most as Git prints them: in ends of lines, and empty lines at the end."""
    return one.rstrip().splitlines() == other.rstrip().splitlines()


def _with_backbones(text: str, names: Mapping[str, str]) -> str:
    """Return the text of `elp.yaml` with the backbones of slots; raise WorkspaceError if that is not safe."""
    settings = read_settings(text)
    changes = [
        (("slots", slot, "backbone"), name)
        for slot, name in sorted(names.items())
        if settings.backbone_of(Slot.parse(slot)) != name
    ]
    changed = set_in_yaml(text, changes, SETTINGS_FILE) if changes else text
    read_settings(changed)
    return changed


@on_newest_state
def _pushed_backbones(workspace: Workspace, names: Mapping[str, str], subject: str) -> str:
    root, address = workspace.root, workspace.settings.git
    with data_turn(workspace, wait=_WAIT):
        made = _committed_backbones(workspace, names, subject)
        revision = made or git.resolve(root)
        try:
            pushed = push_change(workspace, _FILE, revision, {})
        except SlotChangedElsewhere:
            if made:
                withdraw_commit(root, made, ())
                with durable_write("settings taken back"):
                    git.git(root, "checkout", "--quiet", "HEAD", "--", SETTINGS_FILE)
            raise
        except (ServiceError, VersioningError, WorkspaceError) as error:
            branch = git.current_branch(root)
            raise WorkspaceError(
                f"the commit {revision[:12]} is not at {address}: {error}; then push it: git push {address} {branch}"
            ) from error
    return pushed if made else ""


def _committed_backbones(workspace: Workspace, names: Mapping[str, str], subject: str) -> str:
    before = _text(workspace)
    after = _with_backbones(before, names)
    if after != before:
        write_whole(workspace.root / SETTINGS_FILE, after)
    if _same(after, git.show(workspace.root, "HEAD", _FILE) or ""):
        return ""
    return git.commit(workspace.root, [_FILE], f"Set the backbone of {subject}")
