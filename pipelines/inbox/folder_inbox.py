"""An inbox that is a folder, also on a network file system: polled by listing, claimed by rename.

    NAME, NAME.done              a delivery and its marker, as the sender wrote them
    .claimed/ID/NAME             a delivery that a machine takes in, next to its .claim.json
    .taken/ID/NAME               one that was taken in, next to its .taken.json; nothing here is ever deleted
    .refused/FINGERPRINT.json    why a delivery was left in place

The names of the records are hidden, so no delivery can have them. Earlier releases wrote `claim.json` and `taken.json`:
these are read if the hidden record is not there and the delivery itself does not have the name.

A rename succeeds for one of two machines only. The age of a claim is measured by the clock of the file server: by the
difference to a file that is touched now.
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
from pipelines.inbox.inbox_entry import MARKER, Entry, is_delivery_name
from pipelines.inbox.inbox_records import Claim, R, Refusal, Taken, read_record_json, record_json

_CLAIMED, _TAKEN, _REFUSED = ".claimed", ".taken", ".refused"
_CLAIM, _DONE = ".claim.json", ".taken.json"
_EARLIER = {_CLAIM: "claim.json", _DONE: "taken.json"}
"""Names of the records that earlier releases wrote."""


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
                write_whole(place / _CLAIM, record_json(claim))
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
        clock = self.folder / _CLAIMED / ".clock"
        with contextlib.suppress(FileNotFoundError), self._errors("read"):
            clock.touch()
            os.utime(clock)
            return clock.stat().st_mtime - _claim_file(claim).stat().st_mtime
        return 0.0

    def take_over(self, claim: Claim, owner: str) -> Claim | None:
        """Take the claim of a machine that is gone; None if another one was first, or nothing is left of it."""
        place = self._new_place(claim.fingerprint)
        taken = replace(claim, owner=owner, host=socket.gethostname(), place=str(place))
        try:
            with self._errors("claimed"):
                # renewed before the rename: under its new name it has no age for another machine
                os.utime(_claim_file(claim))
                os.utime(claim.place)
                with durable_write("inbox claim by another"):
                    os.rename(claim.place, place)
                write_whole(place / _CLAIM, record_json(taken))
                if claim.name != _EARLIER[_CLAIM]:
                    (place / _EARLIER[_CLAIM]).unlink(missing_ok=True)
        except FileNotFoundError:
            return None
        return taken

    def renew(self, claim: Claim) -> None:
        """Say that the owner of a claim is at work; nothing if it lost it."""
        with contextlib.suppress(FileNotFoundError):
            os.utime(Path(claim.place) / _CLAIM)
            # a worker of an earlier release does not know the hidden record, and looks at the age of the folder
            os.utime(claim.place)

    def holds(self, claim: Claim) -> bool:
        """Return whether nobody took the claim over."""
        return (Path(claim.place) / _CLAIM).is_file()

    def content(self, claim: Claim) -> Entry | None:
        """Return what was claimed, as it is now; None if nothing is there."""
        return scan_entry(Path(claim.place) / claim.name) if claim.name else None

    def is_taken(self, claim: Claim) -> bool:
        """Return whether the claimed delivery was taken in and only has to be moved."""
        file = _record_file(Path(claim.place), _DONE)
        return file.is_file() and file.name != claim.name

    @contextlib.contextmanager
    def fetched(self, claim: Claim, scratch: Path) -> Iterator[Path]:
        """Give the path of a claimed delivery on this machine; `scratch` is not used."""
        yield Path(claim.place) / claim.name

    def finish(self, claim: Claim, taken: Taken | None) -> None:
        """Record that a claimed delivery was taken in, and move it to those; None: the record is there already."""
        place = Path(claim.place)
        record = _record_file(place, _CLAIM).name
        with self._errors("moved"):
            if taken:
                write_whole(place / _DONE, record_json(taken), durable=True)
            (self.folder / _TAKEN).mkdir(exist_ok=True)
            with durable_write("inbox move"):
                os.rename(place, self.folder / _TAKEN / place.name)
            if record != claim.name:
                (self.folder / _TAKEN / place.name / record).unlink(missing_ok=True)

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
            (place / _CLAIM).unlink(missing_ok=True)
            # a folder with something else in it stays, for people
            with contextlib.suppress(OSError):
                place.rmdir()
        return name

    def refusals(self) -> list[Refusal]:
        """Return the refused deliveries, also those that have changed or are gone."""
        folder = self.folder / _REFUSED
        with self._errors("read"):
            texts = [path.read_bytes() for path in sorted(folder.glob("*.json"))] if folder.is_dir() else []
        return [found for text in texts if (found := read_record_json(Refusal, text))]

    def refuse(self, refusal: Refusal) -> None:
        """Keep why a delivery was refused."""
        with self._errors("written to"):
            write_whole(self._refusal(refusal), record_json(refusal), durable=True)

    def forget(self, refusal: Refusal) -> None:
        """Remove a refusal, so that the delivery is tried again."""
        with self._errors("written to"):
            self._refusal(refusal).unlink(missing_ok=True)

    def taken(self, limit: int) -> list[Taken]:
        """Return the newest deliveries that were taken in, the newest first."""
        places = self._subfolders(_TAKEN)[::-1][:limit]
        return [found for place in places if (found := _read_record(Taken, _record_file(place, _DONE)))]

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
        return self.folder / _CLAIMED / f"{moment}-{fingerprint[:12]}-{uuid.uuid4().hex[:8]}"

    def _subfolders(self, kind: str) -> list[Path]:
        folder = self.folder / kind
        with self._errors("read"):
            return sorted(p for p in folder.iterdir() if p.is_dir()) if folder.is_dir() else []

    def _read_claim(self, place: Path) -> Claim | None:
        """Return the claim of a folder; one without a readable record has no owner. None if it is gone."""
        try:
            names = sorted(name for name in os.listdir(place) if is_delivery_name(name))
        except FileNotFoundError:
            return None
        if found := _read_record(Claim, _record_file(place, _CLAIM)):
            return replace(found, place=str(place))
        # a damaged record of an earlier release is no delivery, unless nothing else is there
        content = [name for name in names if name not in _EARLIER.values()] or names or [""]
        return Claim(content[0], "", "", "", "", str(place))

    def _refusal(self, refusal: Refusal) -> Path:
        return self.folder / _REFUSED / f"{refusal.fingerprint}.json"

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


def _record_file(place: Path, name: str) -> Path:
    """Return the file of a record in the folder of a claimed or taken delivery, which may not be there."""
    # a folder that has a hidden record is of this release: what has an earlier name there is a delivery
    earlier = not any((place / hidden).exists() for hidden in _EARLIER)
    return place / (_EARLIER[name] if earlier else name)


def _read_record(kind: type[R], file: Path) -> R | None:
    """Return the record in a file; None if it is damaged or not there."""
    # a delivery may be a folder of this name
    with contextlib.suppress(FileNotFoundError, IsADirectoryError):
        return read_record_json(kind, file.read_bytes())
    return None


def _claim_file(claim: Claim) -> Path:
    """Return the file whose age is that of the claim; the folder if its record is missing."""
    file = _record_file(Path(claim.place), _CLAIM)
    return file if file.is_file() else Path(claim.place)


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
