"""The hosts of a server: one for each backbone that a champion needs, two while a site changes its backbone.

It answers as one `AdapterHost` with adapters of several backbones. A backbone is loaded for the first version that
needs it, and dropped after the last one: batches that still compute keep theirs until they end.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from elp_core.types import Seconds
from pipelines.local.settings import Settings
from pipelines.local.slot_backbone import find_backbone
from pipelines.registry.slot import Slot

if TYPE_CHECKING:
    from elp_core.backbones import Backbone
    from elp_core.inference import AdapterHost, Request
    from elp_core.inference.host_request import PooledOutput
    from elp_core.metrics.verification import Match
    from elp_core.tasks import Task

OpenHost = Callable[[str, str, str], "AdapterHost"]
"""Takes an adapter's name in the host, the fingerprint of its backbone, and what its bundle calls the backbone."""


class ResidentHosts:
    """Adapters by name on the backbones that they need. Every method may be called from many threads at once.

    Args:
        first: Of the backbone that the settings name.
        open_host: Makes the host of another backbone.
        report: Called with a sentence when a backbone is loaded or dropped.
    """

    def __init__(self, first: AdapterHost, open_host: OpenHost, report: Callable[[str], None] = print) -> None:
        self._open, self._report = open_host, report
        self._lock = threading.Lock()
        self._hosts = {first.backbone.fingerprint: first}
        self._places: dict[str, AdapterHost] = {}
        """The host of each adapter, by its name."""

    @property
    def hosts(self) -> tuple[AdapterHost, ...]:
        """The hosts in memory, in the order in which they were loaded."""
        with self._lock:
            return tuple(self._hosts.values())

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the adapters served, sorted."""
        with self._lock:
            return tuple(sorted(self._places))

    @property
    def backbone(self) -> Backbone:
        """The backbone that was loaded first of those in memory."""
        return self.hosts[0].backbone

    @property
    def resident_bytes(self) -> int:
        """Bytes of the adapters and heads that are in memory, without the backbones."""
        return sum(host.resident_bytes for host in self.hosts)

    def backbone_of(self, name: str) -> Backbone:
        """Return the backbone of an adapter; raises HostError if the name is not in use."""
        return self._host(name).backbone

    def load(self, name: str, folder: Path) -> None:
        """Serve a bundle under a new name, on the backbone that it belongs to; errors are those of `AdapterHost`.

        Raises BackboneError if that backbone cannot be loaded, FingerprintMismatch if no known one is it.
        """
        from elp_core.bundle import verify_bundle

        manifest = verify_bundle(folder)
        with self._lock:
            host = self._hosts.get(manifest.fingerprint)
        if host is None:
            host = self._open(name, manifest.fingerprint, manifest.backbone_id)
            with self._lock:
                self._hosts[manifest.fingerprint] = host
                resident = len(self._hosts)
            self._report(f"the backbone {host.backbone.id} is loaded: {resident} are in memory")
        try:
            host.load(name, folder)
        except BaseException:
            self.drop_unused()
            raise
        with self._lock:
            self._places[name] = host

    def remove(self, name: str) -> None:
        """Stop serving `name`; a backbone that no adapter needs any more is dropped, but for the last one."""
        host = self._host(name)
        with self._lock:
            del self._places[name]
        host.remove(name)
        self.drop_unused()

    def drop_unused(self) -> None:
        """Drop every backbone that no adapter needs, but for the last one."""
        with self._lock:
            used = {id(host) for host in self._places.values()}
            unused = [key for key, host in self._hosts.items() if id(host) not in used]
            dropped = [self._hosts.pop(key) for key in unused if len(self._hosts) > 1]
        for host in dropped:
            self._report(f"the backbone {host.backbone.id} is dropped: no champion needs it")

    def outputs(self, requests: Sequence[Request]) -> list[Any]:
        """Return what the answers are made of, as `AdapterHost.outputs`; each backbone computes its own requests."""
        return self._each(requests, lambda host, some: host.outputs(some))

    def pooled_outputs(self, requests: Sequence[Request]) -> list[PooledOutput]:
        """Return `outputs`, each with the mean of the CNN features that it was computed from."""
        return self._each(requests, lambda host, some: host.pooled_outputs(some))

    def compare(self, name: str, enrolment: Sequence[Any], test: Any) -> Match:
        """Compare answers of the adapter under `name`, as `AdapterHost.compare`."""
        return self._host(name).compare(name, enrolment, test)

    def digest(self, name: str) -> str:
        """Return the digest of the bundle that is served under `name` now."""
        return self._host(name).digest(name)

    def task(self, name: str) -> Task:
        """Return the task of the adapter that is served under `name` now."""
        return self._host(name).task(name)

    def _host(self, name: str) -> AdapterHost:
        from elp_core.errors import HostError

        with self._lock:
            host = self._places.get(name)
        if host is None:
            raise HostError(f"no adapter is served under {name!r}")
        return host

    def _each(
        self, requests: Sequence[Request], answer: Callable[[AdapterHost, Sequence[Request]], Sequence[Any]]
    ) -> list[Any]:
        """Return one result for each request, in their order."""
        groups: dict[int, tuple[AdapterHost, list[int]]] = {}
        for position, request in enumerate(requests):
            host = self._host(request.adapter)
            groups.setdefault(id(host), (host, []))[1].append(position)
        found: dict[int, Any] = {}
        for host, positions in groups.values():
            found |= dict(zip(positions, answer(host, [requests[one] for one in positions]), strict=True))
        return [found[position] for position in range(len(requests))]


def resident_hosts(
    settings: Settings,
    memory_bytes: int | None,
    batch_seconds: Seconds,
    report: Callable[[str], None],
    settings_now: Callable[[], Settings] | None = None,
) -> ResidentHosts:
    """Return the host of the backbone that the settings name; those of other versions' backbones are opened on demand.

    These are named by `settings_now`, or without it by the same settings. Raises BackboneError if there is no such
    backbone.
    """
    from elp_core.backbones import Backbone
    from elp_core.inference import AdapterHost

    def opened(name: str, fingerprint: str, called: str) -> AdapterHost:
        slot = Slot.parse(name.partition("@")[0])
        found = find_backbone(settings_now() if settings_now else settings, slot, fingerprint, called, as_named=True)
        return AdapterHost(found, memory_bytes, batch_seconds)

    first = AdapterHost(Backbone.from_pretrained(settings.backbone), memory_bytes, batch_seconds)
    return ResidentHosts(first, opened, report)


def backbone_in(host: AdapterHost | ResidentHosts, name: str) -> Backbone:
    """Return the backbone of an adapter in a host of one backbone or of several."""
    return host.backbone_of(name) if isinstance(host, ResidentHosts) else host.backbone
