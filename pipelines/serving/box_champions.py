"""The champions that a box pulled: what it serves without a registry and without a network.

The set changes by one rename of a file, so a look finds the old set or the new one. Expired metadata stop updates and
never the service; `updates_stopped` says so.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path

from elp_core.errors import ElpError
from pipelines.errors import RegistryError, ServiceError
from pipelines.local.box_home import CURRENT, active_set, last_pull, read_box, readable_sets
from pipelines.local.verified_metadata import metadata_until, newest_seen
from pipelines.registry.adapter_version import CHAMPION
from pipelines.registry.slot import Slot
from pipelines.serving.champion_source import Champion, FetchedBundle

_TAKEN = ("activated", "unchanged")
"""Outcomes of a pull that brought the box up to date."""


class BoxChampions:
    """The active set of a box. Bundles of the set before it can be asked for by their version.

    Args:
        box: The folder that `elp pull` writes.
        clock: Returns the present moment.
    """

    def __init__(self, box: Path, clock: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self.name = str(box)
        self._box, self._clock = box, clock

    def champions(self) -> Mapping[Slot, Champion | None]:
        """Return the adapters of the active set; raises ServiceError before the first pull."""
        found = active_set(self._box)
        if found is None:
            site = read_box(self._box).site
            raise ServiceError(f"the box {self._box} has pulled no set yet; pull one: elp pull {site}")
        return {Slot.parse(one.slot): Champion(one.version, one.bundle) for one in found.site_set.adapters}

    def fetch(self, slot: Slot, version: int | str) -> FetchedBundle:
        """Return the bundle of a version; raises RegistryError if neither the set nor the one before names it."""
        # it raises if it is damaged; a damaged set before is as good as none
        active_set(self._box)
        sets = readable_sets(self._box)
        for file, one in sets.items():
            adapter = one.site_set.find(str(slot))
            # the one of the set before is no champion
            if adapter and version in ((CHAMPION, adapter.version) if file == CURRENT else (adapter.version,)):
                return FetchedBundle(adapter.version, one.bundle(adapter), adapter.bundle)
        wanted = f"a champion of {slot}" if version == CHAMPION else f"{slot} v{version}"
        has = ", ".join(adapter.name for one in sets.values() for adapter in one.site_set.adapters) or "no adapter"
        again = f"bring it up to date: elp pull {read_box(self._box).site}"
        raise RegistryError(f"the box {self._box} does not have {wanted}; it has {has}; {again}")

    def updates_stopped(self) -> str:
        """Return that the last pull was refused or that the signed metadata have expired; empty if neither is so."""
        try:
            pull, until = last_pull(self._box), metadata_until(self._box)
            now = max(self._clock(), newest_seen(self._box))
        except (ElpError, OSError) as error:
            return str(error)
        if pull is not None and pull.outcome not in _TAKEN:
            return f"the last pull, at {pull.at[:16]} UTC, ended with: {pull.outcome}: {pull.detail}"
        if until is not None and now > until:
            again = f"elp pull {read_box(self._box).site}"
            return f"the signed metadata expired at {until:%Y-%m-%d %H:%M} UTC; pull again: {again}"
        return ""
