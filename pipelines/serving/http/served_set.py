"""The versions that a server answers with: each slot has one at a time, and a request keeps the one it began with."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from elp_core.bundle import deployed_threshold
from pipelines.errors import RegistryError, RequestRefused
from pipelines.registry.slot import Slot
from pipelines.serving.http.resident_hosts import ResidentHosts, backbone_in

if TYPE_CHECKING:
    from elp_core.inference import AdapterHost
    from elp_core.tasks import Task


@dataclass(frozen=True)
class ServedVersion:
    """One version in the host, under a name that no other version has."""

    slot: Slot
    version: int
    digest: str
    """Digest of its bundle, as the host has read it."""
    fingerprint: str
    """Of its backbone."""
    task: Task
    threshold: float | None
    """ASV: this score and higher ones are accepted; None if none was chosen, and for other tasks."""
    since: float
    """When the host had it, in seconds since the epoch."""

    @property
    def hosted(self) -> str:
        """Its name in the host."""
        return f"{self.slot}@{self.version}:{self.digest}"


class ServedSet:
    """Slots and their present versions, on one host or one for each backbone. Threads may call every method at once.

    A version that was replaced stays in the host until the last request that began with it has ended. So a request of
    many windows, or of two recordings, is answered by one version from its beginning to its end.
    """

    def __init__(self, host: AdapterHost | ResidentHosts) -> None:
        self.host = host
        self._lock = threading.Lock()
        self._present: dict[Slot, ServedVersion] = {}
        self._leases: dict[str, int] = {}
        """Requests in progress by the name in the host, for every version that is in the host."""

    @property
    def versions(self) -> tuple[ServedVersion, ...]:
        """The present versions, by slot."""
        with self._lock:
            return tuple(sorted(self._present.values(), key=lambda one: str(one.slot)))

    def find(self, slot: Slot) -> ServedVersion | None:
        """Return the present version of a slot, or None."""
        with self._lock:
            return self._present.get(slot)

    @contextlib.contextmanager
    def lease(self, slot: Slot) -> Iterator[ServedVersion]:
        """Give the present version of a slot, and keep it in the host until the block ends.

        Raises RequestRefused (404) if the slot has none here.
        """
        with self._lock:
            present = self._present.get(slot)
            if present is None:
                raise not_served(slot)
            self._leases[present.hosted] += 1
        try:
            yield present
        finally:
            self._release(slot, present.hosted)

    def put(self, slot: Slot, version: int, folder: Path, digest: str, now: float) -> ServedVersion:
        """Load a bundle next to the present version of a slot, then answer new requests with it.

        If the bundle cannot be loaded, the present version stays. Raises RegistryError if the bundle is not the one
        with this digest; BundleError, FingerprintMismatch and HostError as `AdapterHost.load`.
        """
        name = f"{slot}@{version}:{digest}"
        with self._lock:
            # it may be the present version, or be in use still: then it must not leave the host meanwhile
            held = name in self._leases
            if held:
                self._leases[name] += 1
        try:
            if not held:
                self._load(name, folder, digest)
            try:
                made = self._described(slot, version, name, folder, now)
            except BaseException:
                if not held:
                    # it would be in the way of the next attempt
                    self.host.remove(name)
                raise
            with self._lock:
                before = self._present.get(slot)
                self._present[slot] = made
                self._leases.setdefault(name, 0)
                if before is not None:
                    self._forget(slot, before.hosted)
        finally:
            if held:
                self._release(slot, name)
        return made

    def drop(self, slot: Slot) -> None:
        """Answer no new request for a slot; those in progress are finished."""
        with self._lock:
            before = self._present.pop(slot, None)
            if before is not None:
                self._forget(slot, before.hosted)

    def _described(self, slot: Slot, version: int, name: str, folder: Path, now: float) -> ServedVersion:
        task = self.host.task(name)
        return ServedVersion(
            slot=slot,
            version=version,
            digest=self.host.digest(name),
            fingerprint=backbone_in(self.host, name).fingerprint,
            task=task,
            threshold=deployed_threshold(task, folder),
            since=now,
        )

    def _load(self, name: str, folder: Path, digest: str) -> None:
        self.host.load(name, folder)
        found = self.host.digest(name)
        if found != digest:
            self.host.remove(name)
            raise RegistryError(f"{folder} holds the bundle {found}, expected {digest}; delete the folder")

    def _release(self, slot: Slot, name: str) -> None:
        with self._lock:
            self._leases[name] -= 1
            self._forget(slot, name)

    def _forget(self, slot: Slot, name: str) -> None:
        """Remove a version from the host if it is neither present nor in use; the lock is held."""
        present = self._present.get(slot)
        if self._leases[name] == 0 and (present is None or present.hosted != name):
            del self._leases[name]
            self.host.remove(name)


def not_served(slot: Slot | str) -> RequestRefused:
    """Return the answer for a slot without a version here."""
    return RequestRefused(
        404, "model_not_found", f"no champion of {slot!s} is served here; GET /v1/models lists what is served"
    )
