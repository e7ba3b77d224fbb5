"""An inbox that is a folder, also on a network file system: polled by listing, claimed by rename.

    NAME, NAME.done              a delivery and its marker, as the sender wrote them
    .claimed/ID/NAME             a delivery that a machine takes in, next to its .claim.json
    .taken/ID/NAME               one that was taken in, next to its .taken.json; nothing here is ever deleted
    .refused/FINGERPRINT.json    why a delivery was left in place

A rename succeeds for one of two machines only. The age of a claim is measured by the clock of the file server: by the
difference to a file that is written now. A sender can write all of this: no link among the records is followed.
"""

from __future__ import annotations

import contextlib
import os
import socket
import time
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import BinaryIO

from elp_core.fail_points import durable_write
from elp_core.files import replacing_folder, write_whole
from elp_core.types import Seconds
from pipelines.errors import WorkspaceError
from pipelines.inbox.folder_listing import scan_entry
from pipelines.inbox.folder_records import (
    CLAIM_FILE,
    EARLIER_NAMES,
    TAKEN_FILE,
    claim_file,
    read_record_file,
    record_file,
)
from pipelines.inbox.inbox_entry import MARKER, Entry, is_delivery_name
from pipelines.inbox.inbox_records import Claim, Refusal, Taken, record_json

_CLAIMED, _TAKEN, _REFUSED = ".claimed", ".taken", ".refused"


class FolderInbox:
    """The inbox of one slot in a folder, which need not exist: nothing waits then."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def entries(self) -> list[Entry]:
        """Return what may be deliveries, by name."""
        with self._errors("listed"):
            names = {one.name for one in os.scandir(self.folder)} if self.folder.is_dir() else set()
        found = (self._entry(name, names) for name in sorted(names) if is_delivery_name(name))
        return [entry for entry in found if entry]

    def open_file(self, entry: str, name: str) -> BinaryIO:
        """Open a file of an entry."""
        return (self.folder / entry / name).open("rb")

    def deliver(self, name: str, files: Mapping[str, bytes]) -> None:
        """Put a delivery into the inbox as a folder, in place of one with this name that waits there."""
        # a hidden folder is no delivery, until it is renamed with all of its files
        with self._errors("written to"), replacing_folder(self.folder / name) as scratch:
            for file, content in files.items():
                write_whole(scratch / file, content, durable=True)

    def address(self, name: str) -> str:
        """Return where an entry is, for people."""
        return str(self.folder / name)

    def claim(self, entry: Entry, owner: str) -> Claim | None:
        """Take an entry out of the inbox for this owner; None if another one was first or it has changed meanwhile."""
        host, at = socket.gethostname(), time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        place = self._new_place(entry.fingerprint)
        claim = Claim(entry.name, entry.fingerprint, owner, host, at, str(place))
        try:
            with self._errors("claimed"):
                place.mkdir(parents=True)
                # before the content: what the folder holds then has an owner
                write_whole(place / CLAIM_FILE, record_json(claim))
                # the marker first: one that stays alone would mark the next delivery of this name
                for name in ((entry.name + MARKER,) if entry.marked is not None else ()) + (entry.name,):
                    with durable_write("inbox claim"):
                        os.rename(self.folder / name, place / name)
        except FileNotFoundError:
            self.release(claim)
            return None
        except WorkspaceError:
            with contextlib.suppress(OSError, WorkspaceError):
                self.release(claim)
            raise
        found = self.content(claim)
        if found is None or found.fingerprint != entry.fingerprint:
            # written to between the look and the rename
            self.release(claim)
            return None
        return claim

    def claims(self) -> list[Claim]:
        """Return the claims of all machines, those of killed ones, too."""
        return [found for place in self._subfolders(_CLAIMED) if (found := self._read_claim(place))]

    def expired_after(self, claim: Claim) -> Seconds:
        """Return how long ago a claim was renewed, by the clock of the file server."""
        clock = self._own(_CLAIMED) / ".clock"
        with contextlib.suppress(FileNotFoundError), self._errors("read"):
            write_whole(clock, "")
            return clock.lstat().st_mtime - claim_file(claim).lstat().st_mtime
        return 0.0

    def take_over(self, claim: Claim, owner: str) -> Claim | None:
        """Take the claim of a machine that is gone; None if another one was first, or nothing is left of it."""
        place = self._new_place(claim.fingerprint)
        taken = replace(claim, owner=owner, host=socket.gethostname(), place=str(place))
        try:
            with self._errors("claimed"):
                # renewed before the rename: under its new name it has no age for another machine
                os.utime(claim_file(claim), follow_symlinks=False)
                os.utime(claim.place, follow_symlinks=False)
                with durable_write("inbox claim by another"):
                    os.rename(claim.place, place)
                write_whole(place / CLAIM_FILE, record_json(taken))
                if claim.name != EARLIER_NAMES[CLAIM_FILE]:
                    (place / EARLIER_NAMES[CLAIM_FILE]).unlink(missing_ok=True)
        except FileNotFoundError:
            return None
        return taken

    def renew(self, claim: Claim) -> None:
        """Say that the owner of a claim is at work; nothing if it lost it."""
        with contextlib.suppress(FileNotFoundError):
            os.utime(Path(claim.place) / CLAIM_FILE, follow_symlinks=False)
            # a worker of an earlier release does not know the hidden record, and looks at the age of the folder
            os.utime(claim.place, follow_symlinks=False)

    def holds(self, claim: Claim) -> bool:
        """Return whether nobody took the claim over."""
        return (Path(claim.place) / CLAIM_FILE).is_file()

    def content(self, claim: Claim) -> Entry | None:
        """Return what was claimed, as it is now; None if nothing is there."""
        return scan_entry(Path(claim.place) / claim.name) if claim.name else None

    def is_taken(self, claim: Claim) -> bool:
        """Return whether the claimed delivery was taken in and only has to be moved."""
        file = record_file(Path(claim.place), TAKEN_FILE)
        return file.is_file() and file.name != claim.name

    @contextlib.contextmanager
    def fetched(self, claim: Claim, entry: Entry, scratch: Path) -> Iterator[Path]:
        """Give the path of a claimed delivery on this machine; `scratch` is not used."""
        yield Path(claim.place) / claim.name

    def finish(self, claim: Claim, taken: Taken | None) -> None:
        """Record that a claimed delivery was taken in, and move it to those; None: the record is there already."""
        place = Path(claim.place)
        record = record_file(place, CLAIM_FILE).name
        with self._errors("moved"):
            if taken:
                # the folder is gone if another machine has taken it over
                write_whole(place / TAKEN_FILE, record_json(taken), durable=True, make_folder=False)
            kept = self._own(_TAKEN)
            kept.mkdir(exist_ok=True)
            with durable_write("inbox move"):
                os.rename(place, kept / place.name)
            if record != claim.name:
                (kept / place.name / record).unlink(missing_ok=True)

    def release(self, claim: Claim) -> str:
        """Put a claimed delivery back with its marker; return its name, another one if that is taken meanwhile."""
        place, name = Path(claim.place), claim.name
        with self._errors("put back"):
            if name and os.path.lexists(place / name):
                if os.path.lexists(self.folder / name):
                    name = f"{Path(name).stem}-{place.name[-8:]}{Path(name).suffix}"
                with durable_write("inbox release"):
                    _move_without_replacing(place / claim.name, self.folder / name)
            with contextlib.suppress(FileNotFoundError), durable_write("inbox release of marker"):
                os.rename(place / (claim.name + MARKER), self.folder / (name + MARKER))
            (place / CLAIM_FILE).unlink(missing_ok=True)
            # a folder with something else in it stays, for people
            with contextlib.suppress(OSError):
                place.rmdir()
        return name

    def refusals(self) -> list[Refusal]:
        """Return the refused deliveries, also those that have changed or are gone."""
        folder = self._own(_REFUSED)
        with self._errors("read"):
            paths = sorted(folder.glob("*.json")) if folder.is_dir() else []
            return [found for path in paths if (found := read_record_file(Refusal, path))]

    def refuse(self, refusal: Refusal) -> None:
        """Keep why a delivery was refused."""
        with self._errors("written to"):
            write_whole(self._refusal(refusal), record_json(refusal), durable=True)

    def forget(self, refusal: Refusal) -> None:
        """Remove a refusal, so that the delivery is tried again."""
        with self._errors("written to"):
            self._refusal(refusal).unlink(missing_ok=True)

    def taken(self, limit: int) -> Iterator[Taken]:
        """Yield the newest deliveries that were taken in, the newest first."""
        for place in self._subfolders(_TAKEN)[::-1][:limit]:
            if found := read_record_file(Taken, record_file(place, TAKEN_FILE)):
                yield found

    def _entry(self, name: str, names: set[str]) -> Entry | None:
        found = scan_entry(self.folder / name)
        if found is None or name + MARKER not in names:
            return found
        try:
            return replace(found, marked=(self.folder / (name + MARKER)).stat().st_mtime)
        except OSError:
            return found

    def _new_place(self, fingerprint: str) -> Path:
        moment = time.strftime("%Y%m%dT%H%M%S", time.gmtime())
        return self._own(_CLAIMED) / f"{moment}-{fingerprint[:12]}-{uuid.uuid4().hex[:8]}"

    def _subfolders(self, kind: str) -> list[Path]:
        folder = self._own(kind)
        with self._errors("read"):
            found = sorted(folder.iterdir()) if folder.is_dir() else []
            return [path for path in found if path.is_dir() and not path.is_symlink()]

    def _read_claim(self, place: Path) -> Claim | None:
        """Return the claim of a folder; one without a readable record has no owner. None if it is gone."""
        try:
            names = sorted(name for name in os.listdir(place) if is_delivery_name(name))
        except FileNotFoundError:
            return None
        if found := read_record_file(Claim, record_file(place, CLAIM_FILE)):
            return replace(found, place=str(place))
        # a damaged record of an earlier release is no delivery, unless nothing else is there
        content = [name for name in names if name not in EARLIER_NAMES.values()] or names or [""]
        return Claim(content[0], "", "", "", "", str(place))

    def _refusal(self, refusal: Refusal) -> Path:
        return self._own(_REFUSED) / f"{refusal.fingerprint}.json"

    def _own(self, kind: str) -> Path:
        """Return a folder of records; WorkspaceError if any of them is a link, which may lead out of the inbox."""
        for folder in (self.folder / one for one in (_CLAIMED, _TAKEN, _REFUSED)):
            if folder.is_symlink():
                raise WorkspaceError(
                    f"{folder} on {socket.gethostname()} is a link, which may lead out of the inbox; remove the link, "
                    "and the next run makes a folder there"
                )
        return self.folder / kind

    @contextlib.contextmanager
    def _errors(self, done: str) -> Iterator[None]:
        """Name the machine and the folder in an error of the file system; a missing file stays what it is."""
        try:
            yield
        except FileNotFoundError:
            raise
        except OSError as error:
            raise WorkspaceError(
                f"the inbox {self.folder} cannot be {done} on {socket.gethostname()} ({error.strerror or error}); give "
                "the account of the worker the right to read and write there, and run it again"
            ) from error


def _move_without_replacing(source: Path, target: Path) -> None:
    """Rename; a file is linked first, so that one that is written under the target's name meanwhile is not replaced."""
    if not source.is_dir():
        try:
            os.link(source, target, follow_symlinks=False)
        except (FileExistsError, FileNotFoundError):
            raise
        except (OSError, NotImplementedError):
            # shares of Windows have no links
            os.rename(source, target)
        else:
            source.unlink()
        return
    # the system refuses to replace a folder that is not empty
    os.rename(source, target)
