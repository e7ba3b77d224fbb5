"""The client of the server's routes about a change of the backbone; errors are those of `server_api`."""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from pipelines.errors import AttestationError
from pipelines.registry.backbone_facts import BackboneFacts
from pipelines.registry.client.server_api import call_server, current_user
from pipelines.registry.ledger.entry import LedgerEntry, read_entry
from pipelines.registry.slot import Slot

_PAGE = 500


@dataclass(frozen=True)
class MovedChampion:
    """What a switch did to a slot."""

    slot: str
    before: int | None
    after: int | None


@dataclass(frozen=True)
class SiteSwitch:
    """A switch of a site to another backbone, or the way back: one entry of the ledger."""

    site: str
    event: str
    seq: int
    by: str
    backbone: str
    """To which the switch led."""
    moves: tuple[MovedChampion, ...]
    changed: bool = True
    """False if the site was back already: the entry is an earlier one."""
    earlier: int | None = None
    """After the way back: the ledger entry of an earlier switch that is still in force."""
    stayed: tuple[str, ...] = ()
    """After the way back: a sentence for each slot that keeps what it got after the switch."""


def backbone_facts(uri: str, backbone: str, sites: Collection[str] = ()) -> BackboneFacts:
    """Return the champions of some sites (of all if none is named), and what is known of a backbone, in one request."""
    wanted = {"backbone": backbone, "site": list(sites)}
    return BackboneFacts.from_json(call_server(uri, "GET", "/backbone/facts", params=wanted))


def stated_migrations(uri: str, site: str) -> list[LedgerEntry]:
    """Return the statements that a site changes to another backbone, newest first."""
    found: list[LedgerEntry] = []
    wanted: dict[str, str | int] = {"event": "migration stated", "limit": _PAGE, "after": 0}
    while page := call_server(uri, "GET", "/ledger", params=wanted)["entries"]:
        for row in page:
            with contextlib.suppress(AttestationError):
                # the audit names an entry that cannot be read
                found.append(read_entry(str(row["text"])))
        if len(page) < _PAGE:
            break
        wanted["after"] = int(page[-1]["seq"])
    return [entry for entry in reversed(found) if entry.detail.get("site") == site]


def state_site_migration(uri: str, site: str, backbone: str, fingerprint: str, reason: str, by: str = "") -> int:
    """State that a site changes to a backbone; return the number of the ledger entry, also of an earlier one."""
    body = {"site": site, "backbone": backbone, "fingerprint": fingerprint, "reason": reason}
    return int(call_server(uri, "POST", "/backbone/statement", json={**body, "by": by or current_user()})["seq"])


def switch_site_to(
    uri: str,
    site: str,
    backbone: str,
    fingerprint: str,
    versions: Mapping[Slot, int],
    *,
    without: Collection[Slot] = (),
    reason: str = "",
    by: str = "",
    again: bool = False,
) -> SiteSwitch:
    """Make these versions the champions of a site, all in one entry; GateRefused if the server does not allow one."""
    body = {"site": site, "backbone": backbone, "fingerprint": fingerprint, "reason": reason, "again": again}
    body |= {"versions": {str(slot): version for slot, version in versions.items()}, "by": by or current_user()}
    return _switch(call_server(uri, "POST", "/backbone/switch", json={**body, "without": list(map(str, without))}))


def switch_site_back(
    uri: str, site: str, reason: str = "", by: str = "", *, without: Collection[Slot] = (), further: bool = False
) -> SiteSwitch:
    """Bring the champions before the newest switch of a site back, all in one entry but those of `without`.

    A second time changes nothing; with `further` it goes back from the switch before.
    """
    body: dict[str, Any] = {"site": site, "reason": reason, "by": by or current_user()}
    # a server of an earlier release knows no such fields
    body |= {"further": True} if further else {}
    body |= {"without": list(map(str, without))} if without else {}
    return _switch(call_server(uri, "POST", "/backbone/back", json=body))


def _switch(values: Mapping[str, Any]) -> SiteSwitch:
    moves = tuple(MovedChampion(one["slot"], one["before"], one["after"]) for one in values["moves"])
    known = {name: values[name] for name in ("site", "event", "seq", "by", "backbone")}
    more = {"changed": values.get("changed", True), "earlier": values.get("earlier")}
    return SiteSwitch(**known, moves=moves, **more, stayed=tuple(values.get("stayed", ())))
