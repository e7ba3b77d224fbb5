"""Take in what is complete in a slot's inbox, each delivery once, and finish what a killed run began.

A delivery is claimed, taken in, and moved to those that were taken. A kill between two of these steps leaves a claim:
the next run of the same machine, or after the lease one of another machine, takes the delivery in again, unless it has
changed. This makes no second version, because a dataset version knows its deliveries by their content.
"""

from __future__ import annotations

import contextlib
import functools
import re
import shutil
import socket
import threading
import time
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

from elp_core.errors import OpsError
from elp_core.types import Seconds
from pipelines.errors import DataRefused, IntakeError, WorkspaceError
from pipelines.inbox.delivery_completeness import RIGHT, Readiness, readiness
from pipelines.inbox.inbox_entry import Entry, shown_name
from pipelines.inbox.inbox_looks import monotonic, read_looks, write_looks
from pipelines.inbox.inbox_records import LEASE_SECONDS, RENEW_SECONDS, Claim, Refusal, Taken
from pipelines.inbox.slot_inbox import SlotInbox, open_inbox, owner_id
from pipelines.local.workspace import Workspace
from pipelines.locks import file_lock
from pipelines.registry.slot import Slot

_WAIT: Seconds = 600.0
"""How long another run of this machine that takes in the same inbox may take."""

Ingest = Callable[[Path], str]
"""Take a delivery in, and return the tag of the dataset version that holds it."""


@dataclass
class InboxPass:
    """One pass over a slot's inbox: what was done."""

    taken: list[Taken] = field(default_factory=list)
    refused: list[Refusal] = field(default_factory=list)
    """Refused in this pass."""
    left: dict[str, str] = field(default_factory=dict)
    """Name of a delivery that was left -> why."""


def take_waiting(
    workspace: Workspace,
    slot: Slot,
    ingest: Ingest,
    report: Callable[[Refusal], None],
    log: Callable[[str], None] = lambda line: None,
) -> InboxPass:
    """Take in every complete delivery of a slot's inbox, by name; return what was done.

    If a delivery only lacks its second look, wait for that once, at most `inbox.stable` seconds. A delivery that
    `ingest` refuses with IntakeError or DataRefused is left in place with its reason, given to `report` once, and not
    tried again until it changes. Any other error puts the delivery back and is raised. Raises WorkspaceError if the
    inbox is not visible on this machine, or another run of this machine does not end.
    """
    done = InboxPass()
    try:
        with file_lock(workspace.state / "inbox" / f"{slot.site}.{slot.task}.lock", wait=_WAIT):
            inbox, looks = open_inbox(workspace, slot, read_looks(workspace, slot, workspace.settings.inbox_of(slot)))
            write_looks(workspace, slot, looks)
            taker = _Taker(workspace, slot, inbox, ingest, log, done)
            # a run that was killed has left it
            shutil.rmtree(taker.scratch, ignore_errors=True)
            _remove_former_copies(taker.scratch.parent)
            taker.finish_claims()
            if (wait := taker.take_complete()) > 0:
                log(f"waiting {wait:.0f} s for the second look at the inbox of {slot}")
                time.sleep(wait)
                taker.take_complete()
            _report(inbox, report, log)
    except TimeoutError as error:
        raise WorkspaceError(
            f"another run on this machine is taking in the inbox of {slot}; wait until it ends and try again"
        ) from error
    for name, reason in done.left.items():
        log(f"left in the inbox of {slot}: {shown_name(name)}: {reason}")
    return done


def _remove_former_copies(fetched: Path) -> None:
    """Remove what killed runs of earlier releases have left: they named a copy by the start of its fingerprint."""
    for path in fetched.glob("*"):
        # the name of a slot has a dot
        if re.fullmatch("[0-9a-f]{16}", path.name):
            shutil.rmtree(path, ignore_errors=True)


@dataclass(frozen=True)
class _Taker:
    workspace: Workspace
    slot: Slot
    inbox: SlotInbox
    ingest: Ingest
    log: Callable[[str], None]
    done: InboxPass
    claimed: set[str] = field(default_factory=set)
    """Fingerprints of what living machines take in."""

    @property
    def owner(self) -> str:
        return owner_id(self.workspace)

    @property
    def scratch(self) -> Path:
        """Return the folder for a fetched delivery, one of the slot's own: two slots may get the same one at once."""
        return self.workspace.state / "inbox" / "fetched" / f"{self.slot.site}.{self.slot.task}"

    def finish_claims(self) -> None:
        """Take over the claims of runs that are dead, and take in what they claimed."""
        for claim in self.inbox.claims():
            if self.inbox.is_taken(claim):
                # killed between the record and the move; a living owner moves it itself, then this one is too late
                with contextlib.suppress(FileNotFoundError):
                    self.inbox.finish(claim, None)
                continue
            # this process holds the lock of this owner, so the one that claimed is dead
            dead = claim.owner == self.owner or self.inbox.expired_after(claim) > LEASE_SECONDS
            if not dead:
                self.claimed.add(claim.fingerprint)
                # an empty one is of a machine that is about to claim, or was killed then: it has no delivery
                if claim.name:
                    self.done.left[claim.name] = f"it is being taken in by {claim.host or 'another machine'}"
            elif own := self.inbox.take_over(claim, self.owner):
                self.log(f"taking over the claim of {claim.host or 'a machine'}: {shown_name(claim.name) or 'empty'}")
                self.take(own)

    def take_complete(self) -> Seconds:
        """Look, and take in what is complete; return after how long another look may find more, 0 if none."""
        wait: Seconds = 0.0
        refusals = self.inbox.refusals()
        refused = {refusal.fingerprint for refusal in refusals}
        found = look_at(self.workspace, self.slot, self.inbox, refused)
        present = {entry.fingerprint for entry, _ in found}
        for refusal in refusals:
            if refusal.reported and refusal.fingerprint not in present:
                # the delivery was changed or removed
                self.inbox.forget(refusal)
        for entry, ready in found:
            if entry.fingerprint in self.claimed:
                # in a bucket, a claimed delivery is still listed
                continue
            if entry.fingerprint in refused:
                self.done.left[entry.name] = "it was refused before and has not changed"
            elif ready.state == "incomplete":
                self.done.left[entry.name] = ready.reason
                wait = max(wait, ready.wait)
            elif ready.state == "faulty":
                self.done.left.pop(entry.name, None)
                self._refuse(entry.name, entry.fingerprint, ready.reason)
            elif claim := self.inbox.claim(entry, self.owner):
                self.done.left.pop(entry.name, None)
                self.take(claim)
            else:
                self.done.left[entry.name] = "another run has claimed it, or it has just changed"
        return wait

    def take(self, claim: Claim) -> None:
        """Take a claimed delivery in, and move it to those that were taken; a refused or changed one goes back.

        A sender may write it again after a kill of the run that claimed it: a look has to find it complete again.
        """
        entry, path = self.inbox.content(claim), self.scratch
        if entry is None or entry.unfinished or entry.fault or entry.fingerprint != claim.fingerprint:
            if entry:
                self.done.left[claim.name] = "it has changed since it was claimed"
            self.inbox.release(claim)
            return
        try:
            with _renewed(self.inbox, claim), self.inbox.fetched(claim, entry, self.scratch) as path:
                version = self.ingest(path)
        except Exception as error:
            after = self.inbox.content(claim)
            if not self.inbox.holds(claim):
                self.done.left[claim.name] = "another machine took it over"
            elif after is None or after.fingerprint != claim.fingerprint:
                self.done.left[claim.name] = "it changed while it was read"
                self.inbox.release(claim)
            elif isinstance(error, IntakeError | DataRefused):
                # the place where it was read is gone when somebody looks for it
                self._put_back(claim, str(error).replace(str(path), self.inbox.address(claim.name)))
            else:
                self.inbox.release(claim)
                raise
        else:
            host, files = socket.gethostname(), len(entry.files)
            record = Taken(claim.name, claim.fingerprint, version, _now(), host, files, entry.size)
            # gone if another machine has taken it over: that one finds the same version
            with contextlib.suppress(FileNotFoundError):
                self.inbox.finish(claim, record)
            self.done.taken.append(record)
        finally:
            shutil.rmtree(self.scratch, ignore_errors=True)

    def _put_back(self, claim: Claim, reason: str) -> None:
        # the refusal first: a kill between the two leaves a claim, whose delivery is refused again, and nothing is lost
        self._refuse(claim.name, claim.fingerprint, reason)
        name = self.inbox.release(claim)
        if name != claim.name:
            renamed = next((one for one in self.inbox.entries() if one.name == name), None)
            if renamed:
                self.inbox.forget(self.done.refused[-1])
                self.inbox.refuse(replace(self.done.refused[-1], name=name, fingerprint=renamed.fingerprint))

    def _refuse(self, name: str, fingerprint: str, reason: str) -> None:
        refusal = Refusal(name, fingerprint, reason, _now(), socket.gethostname())
        self.inbox.refuse(refusal)
        self.done.refused.append(refusal)
        self.log(f"refused in the inbox of {self.slot}: {shown_name(name)}: {reason}")


def look_at(
    workspace: Workspace, slot: Slot, inbox: SlotInbox, refused: Collection[str] | None = None
) -> list[tuple[Entry, Readiness]]:
    """Look at an inbox, keep what was seen, and return each entry with its readiness, by name.

    With the fingerprints of what was refused, check wrong digests of every other delivery again: the refusal of one may
    have been removed on another machine, whose looks are not those of this one.
    """
    settings, address = workspace.settings.inbox, workspace.settings.inbox_of(slot)
    entries, now = inbox.entries(), monotonic()
    looks = read_looks(workspace, slot, address).after({one.name: one.fingerprint for one in entries}, now)
    found = []
    for entry in entries:
        open_file = functools.partial(inbox.open_file, entry.name)
        look = looks.entries[entry.name]
        if refused is not None and entry.fingerprint not in refused and look.digests != RIGHT:
            look = replace(look, digests="")
        ready, look = readiness(entry, look, settings, open_file, now)
        looks = replace(looks, entries={**looks.entries, entry.name: look})
        found.append((entry, ready))
    write_looks(workspace, slot, looks)
    return found


def retry_refused(workspace: Workspace, slot: Slot, names: tuple[str, ...] = ()) -> list[str]:
    """Forget why deliveries were refused, so that they are tried again; return their names. No name means all.

    Raises WorkspaceError if a name is none of a refused delivery.
    """
    address = workspace.settings.inbox_of(slot)
    looks = read_looks(workspace, slot, address)
    inbox, _ = open_inbox(workspace, slot, looks)
    refusals = inbox.refusals()
    known = sorted({shown_name(one.name) for one in refusals})
    if unknown := [name for name in names if name not in known]:
        raise WorkspaceError(
            f"{unknown[0]} was not refused in the inbox of {slot}; refused: {', '.join(known) or 'nothing'}"
        )
    chosen = [one for one in refusals if not names or shown_name(one.name) in names]
    for refusal in chosen:
        inbox.forget(refusal)
    # the next look of this workspace checks the digests again; a run does so for all that is not refused
    gone = {one.name for one in chosen}
    write_looks(workspace, slot, replace(looks, entries={k: v for k, v in looks.entries.items() if k not in gone}))
    return sorted({shown_name(one.name) for one in chosen})


def _report(inbox: SlotInbox, report: Callable[[Refusal], None], log: Callable[[str], None]) -> None:
    """Report each refusal that was not: a run that was killed before its report leaves it to the next one."""
    try:
        for refusal in inbox.refusals():
            if not refusal.reported:
                report(refusal)
                inbox.refuse(replace(refusal, reported=True))
    except OSError as error:
        log(f"the refusals are reported by a later run: {error}")


@contextlib.contextmanager
def _renewed(inbox: SlotInbox, claim: Claim) -> Iterator[None]:
    """Renew a claim while the block runs."""
    ended = threading.Event()

    def renew() -> None:
        while not ended.wait(RENEW_SECONDS):
            # a store that does not answer for a while: the next renewal may succeed, and a lost claim does no harm
            with contextlib.suppress(OSError, OpsError):
                inbox.renew(claim)

    thread = threading.Thread(target=renew, daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def _now() -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
