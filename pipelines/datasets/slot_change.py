"""Change a slot's data as a whole or not at all: files, DVC, push, commit, tag, with a journal to undo it.

If the workspace has a Git address, the commit and its tags are pushed there as a part of the change.
"""

import contextlib
import json
import shutil
import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from elp_core.fail_points import durable_write
from elp_core.files import remove_temporary, write_whole
from pipelines.datasets import dvc
from pipelines.datasets.dataset_version import (
    DATASET_FILE,
    GOLDEN,
    GOLDEN_FILE,
    SHARDS,
    TRIALS_FILE,
    DatasetVersion,
    GoldenRef,
    metafiles,
    record_text,
)
from pipelines.datasets.shared_branch import bring_up_to_date, push_change, withdraw_commit
from pipelines.errors import DiskFull, ServiceError, VersioningError, WorkspaceError
from pipelines.local import git
from pipelines.local.dvc_repository import require_shared_remote
from pipelines.local.git_locks import clear_dead_git_locks
from pipelines.local.workspace import Workspace
from pipelines.locks import file_lock
from pipelines.number_text import count, size_text
from pipelines.outages import DISK_FULL
from pipelines.registry.slot import Slot

_WAIT_SECONDS = 600.0

Files = Mapping[str, Sequence[Path]]
"""Paths by the name of their folder in the slot."""


@dataclass(frozen=True)
class SlotChange:
    """A new dataset version of a slot, a new golden set, or both. `store_change` fills in DVC hashes and revisions."""

    slot: Slot
    subject: str
    """Subject line of the commit."""
    dataset: DatasetVersion | None = None
    golden: GoldenRef | None = None
    """A new golden set; None leaves the one in force."""
    arriving: Files = field(default_factory=dict)
    """Staged files."""
    leaving: Files = field(default_factory=dict)
    """Files of the slot that go away (DVC's cache keeps their content)."""
    trials: str = ""
    """Text of the file with the new golden set's trials."""


@contextlib.contextmanager
def slot_transaction(workspace: Workspace, slot: Slot, wait: float = _WAIT_SECONDS) -> Iterator[Path]:
    """Hold the lock on the workspace's data while the block runs, and give an empty staging folder on its disk.

    An earlier run that was killed is finished or undone first, then the branch is brought up to date with the Git
    address of the workspace, if it has one. The staging folder is removed at the end.

    Raise WorkspaceError if another run does not end within `wait` seconds, Git has no identity, the slot's folder has
    uncommitted changes, the branch has diverged or the disk is full; ServiceError if the Git server does not answer.
    """
    root, folder = workspace.root, _staging(workspace, slot)
    with data_turn(workspace, slot, wait), contextlib.ExitStack() as stack:
        # only now, because the recovery takes files back from here
        shutil.rmtree(folder, ignore_errors=True)
        stack.callback(shutil.rmtree, folder, ignore_errors=True)
        try:
            folder.mkdir(parents=True)
            yield folder
        except OSError as error:
            if error.errno not in DISK_FULL:
                raise
            free = size_text(shutil.disk_usage(root).free)
            why = f"the disk of {root} is full ({free} free); free some space and run it again, nothing was changed"
            raise DiskFull(why) from error


@contextlib.contextmanager
def data_turn(workspace: Workspace, slot: Slot | None = None, wait: float = _WAIT_SECONDS) -> Iterator[None]:
    """Do for a block what `slot_transaction` does, without a staging folder; without a `slot`, no folder is checked."""
    root, lock, address = workspace.root, _data_lock(workspace), workspace.settings.git
    with contextlib.ExitStack() as stack:
        try:
            stack.enter_context(file_lock(lock, wait=wait))
        except TimeoutError as error:
            why = f"another run is changing the data of {root} (lock {lock}); wait until it ends and try again"
            raise WorkspaceError(why) from error
        clear_dead_git_locks(root)
        remove_temporary(workspace.state / "journal")  # journals are written under this lock only
        # before the checks: the files of a run that was killed would count as uncommitted changes
        # with a Git address those of other slots, too: their commits would be pushed with this change
        for one in _interrupted(workspace) if address else filter(None, [slot]):
            recover(workspace, one)
        git.require_identity(root)
        if slot and workspace.home is None:
            git.require_clean(root, slot.folder)
        if address:
            bring_up_to_date(workspace)
            require_shared_remote(root, address)
        yield


def refresh_clone(workspace: Workspace) -> str:
    """Bring a clone up to date with its Git address if nothing prevents it; return the reason if something does.

    A clone whose data another run changes is brought up to date by that run.
    """
    with contextlib.suppress(TimeoutError), file_lock(_data_lock(workspace), wait=0):
        try:
            if not _interrupted(workspace):
                bring_up_to_date(workspace)
        except (ServiceError, VersioningError, WorkspaceError) as error:
            return str(error)
    return ""


def require_space(folder: Path, needed: int) -> None:
    """Raise WorkspaceError unless the disk of `folder` has about `needed` bytes free."""
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise DiskFull(
            f"the disk of {folder} has {size_text(free)} free, this needs about {size_text(needed)}; "
            "free some space and run it again, nothing was changed"
        )


def store_change(workspace: Workspace, change: SlotChange) -> SlotChange:
    """Carry out a change: move files, `dvc add`, `dvc push`, commit, tag, `git push`; return it as it was stored.

    Whatever fails before the commit is undone. After the commit only tags can be missing, and `recover` sets them. With
    a Git address, the change is done when commit and tags are pushed, and undone if that fails.

    Raise SlotChangedElsewhere if another machine has changed the slot meanwhile (`on_newest_state`).
    """
    slot, root, folder, paths = change.slot, workspace.root, change.slot.folder, metafiles(change.slot)
    # another program may commit at the same time: the token identifies the commit of this change
    token = uuid.uuid4().hex
    # two folders of a slot may hold files of the same name: each has its own folder for files that go away
    aside = _staging(workspace, slot) / "aside"
    leaving = {folder / kind / path.name: aside / kind / path.name for kind, path in _by_folder(change.leaving)}
    arriving = {folder / kind / staged.name: staged for kind, staged in _by_folder(change.arriving)}
    # a shard is named by its content: a file of this name is the same shard
    added = {target: staged for target, staged in arriving.items() if not (root / target).exists()}
    journal = {
        "head": git.resolve(root),
        "token": token,
        "tags": _tags(change),
        "added": [str(target) for target in added],
        "left": {str(path): str(place) for path, place in leaving.items()},
        "texts": {str(path): _text(root / path) for path in paths},
    }
    # before the first change: what the journal does not name cannot be undone
    write_whole(_journal(workspace, slot), json.dumps(journal))
    try:
        for source, target in (*leaving.items(), *((staged, target) for target, staged in added.items())):
            # an absolute path replaces `root`
            (root / target).parent.mkdir(parents=True, exist_ok=True)
            with durable_write("move in slot"):
                (root / source).replace(root / target)
        folders = sorted({target.parent for target in (*arriving, *leaving)})
        hashes = dvc.track(root, folders) if folders else {}
        # before the commit: a version must never name files that the remote lacks
        if folders:
            dvc.push(root, folders)
        dataset, golden = change.dataset, change.golden
        if dataset:
            dataset = replace(dataset, dvc_hash=hashes.get(folder / SHARDS, dataset.dvc_hash))
            write_whole(root / folder / DATASET_FILE, record_text(dataset))
        if golden:
            golden = replace(golden, dvc_hash=hashes[folder / GOLDEN])
            write_whole(root / folder / GOLDEN_FILE, record_text(golden))
            if change.trials or (root / folder / TRIALS_FILE).exists():
                write_whole(root / folder / TRIALS_FILE, change.trials)
        present = [path for path in paths if (root / path).exists()]
        git.commit(root, present, f"{change.subject}\n\nChange-Id: {token}")
    finally:
        # after a success, too: this sets the tags, pushes and removes the journal
        revision = recover(workspace, slot, own=True)
    return replace(
        change,
        dataset=dataset and replace(dataset, revision=revision),
        golden=golden and replace(golden, revision=revision),
    )


def recover(workspace: Workspace, slot: Slot, *, own: bool = False) -> str:
    """Finish or undo what a run did not complete, because it failed or was killed; return its commit if it is finished.

    A change that cannot be pushed is undone; `own` raises the reason then. Raise ServiceError if the Git server does
    not answer, DiskFull if a disk is full: the change of another run is then kept for the next call, one's own undone.
    """
    path, root = _journal(workspace, slot), workspace.root
    text = _text(path)
    if text is None:
        return ""
    journal = json.loads(text)
    revision = _commit_of(root, journal)
    try:
        if revision:
            for tag, message in journal["tags"].items():
                if not git.resolve(root, f"refs/tags/{tag}"):
                    git.tag(root, tag, message, revision)
            if workspace.settings.git:
                revision = push_change(workspace, slot, revision, journal["tags"])
        else:
            _undo(root, slot, journal)
    except (VersioningError, WorkspaceError, ServiceError) as error:
        if isinstance(error, ServiceError | DiskFull) and not own:
            raise
        if revision := _commit_of(root, journal):
            withdraw_commit(root, revision, journal["tags"])
        _undo(root, slot, journal)
        _end(path)
        if own:
            raise
        return ""
    # last: a recovery that is killed is repeated as a whole
    _end(path)
    return revision


def _end(journal: Path) -> None:
    with durable_write("end of journal"):
        journal.unlink()


def _commit_of(root: Path, journal: Mapping[str, Any]) -> str:
    """Return the commit of a change; empty if it was not made."""
    before = f"{journal['head']}.." if journal["head"] else ""
    grep = ("--format=%H", "--fixed-strings", f"--grep=Change-Id: {journal['token']}")
    # `git log` refuses a repository without a commit
    return git.resolve(root) and git.git(root, "log", *grep, f"{before}HEAD")


def _undo(root: Path, slot: Slot, journal: Mapping[str, Any]) -> None:
    for name in journal["added"]:
        (root / name).unlink(missing_ok=True)
    for name, before in journal["texts"].items():
        if before is None:
            (root / name).unlink(missing_ok=True)
        else:
            write_whole(root / name, before)
    for name, aside in journal["left"].items():
        if Path(aside).exists():
            with durable_write("move back in slot"):
                Path(aside).replace(root / name)
    # a record that was being written would count as an uncommitted change for ever
    remove_temporary(root / slot.folder)
    git.unstage(root, metafiles(slot))
    folders = {(root / name).parent for name in journal["added"]}
    # the deepest first: its parent is not empty before
    for folder in sorted(folders | {root / slot.folder, root / slot.folder.parent}, reverse=True):
        # a folder that is not empty stays
        with contextlib.suppress(OSError):
            folder.rmdir()


def _tags(change: SlotChange) -> dict[str, str]:
    """Return Git's tags for the new records, with their messages."""
    data, golden = change.dataset, change.golden
    tags = {data.tag: f"{count(data.clips, 'clip')}, {data.seconds / 60:.1f} minutes"} if data else {}
    return tags | ({golden.tag: f"{count(golden.clips, 'clip')}, {golden.digest}"} if golden else {})


def _by_folder(files: Files) -> Iterator[tuple[str, Path]]:
    return ((name, path) for name, paths in files.items() for path in paths)


def _journal(workspace: Workspace, slot: Slot) -> Path:
    return workspace.state / "journal" / f"{slot.site}.{slot.task}.json"


def _data_lock(workspace: Workspace) -> Path:
    return workspace.state / "locks" / "data.lock"


def _interrupted(workspace: Workspace) -> list[Slot]:
    """Return the slots with a change that was not completed."""
    # a task has no dot, and a site may
    return [Slot(*path.stem.rsplit(".", 1)) for path in sorted((workspace.state / "journal").glob("*.json"))]


def _staging(workspace: Workspace, slot: Slot) -> Path:
    return workspace.state / "staging" / f"{slot.site}.{slot.task}"


def _text(path: Path) -> str | None:
    return path.read_text(encoding="utf-8") if path.is_file() else None
