"""The change of a whole site to another backbone: its statement, and all champions in one ledger entry, there and back.

`state_migration` lets the gate compare versions across two backbones. `move_site` then moves the champions of all
slots of a site in one transaction with one entry, and `move_site_back` returns to the former ones without a training.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from mlflow.store.model_registry.dbmodels.models import SqlRegisteredModelAlias
from sqlalchemy import select
from sqlalchemy.orm import Session

from pipelines.registry.adapter_version import CHAMPION
from pipelines.registry.ledger.entry import SITE_MOVES, LedgerEntry, Principal, read_entry
from pipelines.registry.ledger.site_moves import champion_moves, site_detail
from pipelines.registry.slot import Slot
from pipelines.registry.verdict_statement import ChampionRef
from pipelines.server.auth.principal import PROMOTE, authorize
from pipelines.server.ledger import LEDGER, LedgerTransaction
from pipelines.server.refusal import Attempt
from pipelines.server.storage.artifact_bytes import HashedBundle, hash_bundle
from pipelines.server.storage.locked_store import LockedStore
from pipelines.server.storage.version_rows import present_champion
from pipelines.server.transitions.champion_transition import move_as_entry
from pipelines.server.transitions.rules import Allowed, Denied, decide_transition, short_digest
from pipelines.server.transitions.version_facts import gather_facts, newest_statement, stated_migration


@dataclass(frozen=True)
class NewBackbone:
    """The backbone that a site changes to."""

    name: str
    """As `elp.yaml` is to name it."""
    fingerprint: str


@dataclass(frozen=True)
class _SiteChampion:
    slot: Slot
    champion: ChampionRef
    fingerprint: str
    """Empty if the server has no lineage that counts."""


def state_migration(store: LockedStore, site: str, new: NewBackbone, principal: Principal, reason: str) -> LedgerEntry:
    """State that a site changes from the backbones of its champions to a new one; a second time changes nothing.

    A Refusal (the caller may not promote, or no champion is on another backbone) is recorded in the ledger.
    """
    attempt = Attempt("migrate a site")
    with store.refusing(principal):
        authorize(PROMOTE, attempt)
        with store.locked() as transaction:
            session, keys = transaction.session, transaction.keys
            before = sorted({one.fingerprint for one in _champions(transaction, site)} - {"", new.fingerprint})
            if not before:
                raise attempt.refused(
                    f"{site} has no champion on another backbone than {new.name} ({short_digest(new.fingerprint)}); "
                    f"see: elp backbone plan {new.name}"
                )
            stated = [stated_migration(session, keys, site, one, new.fingerprint) for one in before]
            if known := next((one for one in stated if one), None) if all(stated) else None:
                return known
            detail = {"site": site, "backbone": new.name, "from": before, "to": new.fingerprint}
            return transaction.append("migration stated", "", principal, reason=reason.strip(), detail=detail)


def move_site(
    store: LockedStore,
    site: str,
    new: NewBackbone,
    versions: Mapping[Slot, int],
    without: Collection[Slot],
    principal: Principal,
    reason: str,
    *,
    again: bool = False,
) -> LedgerEntry:
    """Make versions on a new backbone the champions of a site, all in one entry or none.

    Every champion on another backbone must be replaced, or be named in `without`. A Refusal is recorded in the ledger.
    """
    attempt = Attempt("migrate a site")
    with store.refusing(principal):
        authorize(PROMOTE, attempt)
        if other := next((slot for slot in versions if slot.site != site), None):
            raise attempt.refused(f"{other} is no slot of {site}; each site is switched on its own")
        hashed = _hashed(store, versions)
        with store.locked() as transaction:
            present = {one.slot: one for one in _champions(transaction, site)}
            _require_known(site, without, present, attempt)
            left = [slot for slot, one in present.items() if one.fingerprint != new.fingerprint]
            if missing := [str(slot) for slot in left if slot not in versions and slot not in without]:
                raise attempt.refused(
                    f"{', '.join(missing)} would stay on another backbone, so {site} is not switched; migrate it: elp "
                    f"backbone migrate {new.name} {site}, or leave it out: --without {missing[0]}"
                )
            moves = list(_decided(transaction, hashed, present, new.fingerprint, again, attempt))
            if not moves:
                raise attempt.refused(f"nothing of {site} is to be switched to {new.name}")
            before = sorted({present[Slot.parse(move.slot)].fingerprint for move in moves})
            more = {"backbone": new.name, "from": before, "to": new.fingerprint, "without": sorted(map(str, without))}
            return _append(transaction, "migrated", site, moves, principal, reason or "every verdict passed", more)


@dataclass(frozen=True)
class WayBack:
    """A site that is back from its newest switch."""

    entry: LedgerEntry
    """The entry that brought it back; the switch itself if its slots came back one by one."""
    changed: bool
    """False if the site was back already, and nothing was changed."""
    earlier: int | None
    """Ledger entry of an earlier switch that is still in force, or None."""


def move_site_back(
    store: LockedStore,
    site: str,
    principal: Principal,
    reason: str,
    *,
    without: Collection[Slot] = (),
    further: bool = False,
) -> WayBack:
    """Bring the champions before the newest switch of a site back, all in one entry or none.

    A second time changes nothing; with `further` it goes back from the switch before, too. A slot that has the former
    champion already, another one since the switch, or none (it was retired) is left as it is, and so are the slots of
    `without`. A Refusal is recorded in the ledger.
    """
    attempt = Attempt("migrate a site back")
    with store.refusing(principal):
        authorize(PROMOTE, attempt)
        with store.ManagedSessionMaker() as session:
            newest, seen = _newest_moves(session, site)
        if newest is not None and newest.event == "migrated back" and not further:
            return WayBack(newest, False, seen.seq if seen else None)
        if seen is None:
            raise attempt.refused(f"{site} has no switch to another backbone to go back from")
        switched = {Slot.parse(move.slot): move for move in champion_moves(seen)}
        _require_known(site, without, switched, attempt)
        former = {slot: move.before for slot, move in switched.items() if move.before and slot not in without}
        if not former:
            raise attempt.refused(f"nothing of {site} goes back: --without names every slot of its newest switch")
        hashed = _hashed(store, former)
        with store.locked() as transaction:
            if _newest_moves(transaction.session, site) != (newest, seen):
                raise attempt.refused(f"{site} was switched at this moment by somebody else; look again")
            present = {one.slot: one for one in _champions(transaction, site)}
            stayed = {slot: text for slot in former if (text := _since(slot, switched[slot], present.get(slot)))}
            back = {slot: one for slot, one in hashed.items() if slot not in stayed}
            moves = list(_decided(transaction, back, present, "", False, attempt))
            if not back:
                raise attempt.refused(f"nothing of {site} goes back: {'; '.join(stayed.values())}")
            if not moves:
                return WayBack(seen, False, None)
            detail = {"of": seen.seq, "backbone": str(seen.detail.get("backbone", ""))}
            # what has no such slots keeps the form of earlier releases
            detail |= {"without": sorted(map(str, without))} if without else {}
            detail |= {"stayed": sorted(stayed.values())} if stayed else {}
            entry = _append(transaction, "migrated back", site, moves, principal, reason or "back", detail)
            _, before = _newest_moves(transaction.session, site)
            return WayBack(entry, True, before.seq if before else None)


def _require_known(site: str, without: Collection[Slot], known: Collection[Slot], attempt: Attempt) -> None:
    if other := sorted(str(slot) for slot in without if slot not in known):
        raise attempt.refused(
            f"{other[0]} is not among the slots of {site} that would change ({', '.join(sorted(map(str, known)))}), so "
            "it cannot be left out; correct --without"
        )


def _since(slot: Slot, move: LedgerEntry, present: _SiteChampion | None) -> str:
    """Return why a slot keeps what it has on the way back; empty if it has the champion of the switch, or is back."""
    if present is None:
        return f"{slot} was retired after the switch"
    version = present.champion.version
    return "" if version in (move.after, move.before) else f"{slot} got v{version} after the switch"


def _champions(transaction: LedgerTransaction, site: str) -> list[_SiteChampion]:
    """Return the champions of a site by slot, with the backbones that their verified lineages name."""
    session, table, found = transaction.session, SqlRegisteredModelAlias, []
    for name in session.scalars(select(table.name).where(table.alias == CHAMPION, table.name.like(f"elp.{site}.%"))):
        slot, champion = Slot.of_model(name), present_champion(session, name)
        if slot is None or champion is None or slot.site != site:
            continue
        lineage = newest_statement(session, transaction.keys, "lineage", name, champion.version)
        found.append(_SiteChampion(slot, champion, lineage.fingerprint if lineage else ""))
    return sorted(found, key=lambda one: str(one.slot))


def _hashed(store: LockedStore, versions: Mapping[Slot, int]) -> dict[Slot, tuple[int, HashedBundle]]:
    # before the lock: some MB of each would keep every other writer waiting, and the folders are frozen anyway
    return {
        slot: (version, hash_bundle(store.row(slot.model_name, version).storage_location or ""))
        for slot, version in versions.items()
    }


def _decided(
    transaction: LedgerTransaction,
    hashed: Mapping[Slot, tuple[int, HashedBundle]],
    present: Mapping[Slot, _SiteChampion],
    fingerprint: str,
    again: bool,
    attempt: Attempt,
) -> Iterator[LedgerEntry]:
    """Ask the rules about each slot, and yield its move as an entry that is not written yet.

    To a `fingerprint` each is a migration, and without one a way back. The first that the rules deny is a Refusal of
    all; a version that is champion already is left out.
    """
    for slot, (version, bytes_now) in sorted(hashed.items(), key=lambda pair: str(pair[0])):
        facts = gather_facts(transaction, slot, version, bytes_now)
        if facts.champion and facts.champion.version == version:
            continue
        decision = decide_transition(facts, "migrate" if fingerprint else "migrate back", again=again)
        if isinstance(decision, Denied):
            raise attempt.refused(
                f"the site is not switched: {decision.sentence}; or leave the slot out: --without {slot}"
            )
        assert facts.lineage is not None
        if fingerprint and facts.lineage.fingerprint != fingerprint:
            raise attempt.refused(
                f"the site is not switched: {facts.name} is on the backbone {short_digest(facts.lineage.fingerprint)}, "
                f"the site changes to {short_digest(fingerprint)}"
            )
        if fingerprint and slot not in present:
            raise attempt.refused(f"{slot} has no champion to migrate; promote one: elp promote {slot}")
        yield _move(facts.slot, facts.champion, version, facts.bundle, decision)


def _move(slot: str, champion: ChampionRef | None, version: int, bundle: str, decision: Allowed) -> LedgerEntry:
    """Return the part of an entry that concerns one slot, before it has a number."""
    before, nobody = champion.version if champion else None, Principal("", False, "")
    return LedgerEntry(0, "", "", decision.event, slot, before, version, bundle, nobody, "", decision.statements)


def _append(
    transaction: LedgerTransaction,
    event: Any,
    site: str,
    moves: Sequence[LedgerEntry],
    principal: Principal,
    reason: str,
    more: Mapping[str, Any],
) -> LedgerEntry:
    """Append the one entry of all moves, then move every alias; the transaction commits both or neither."""
    statements = tuple(dict.fromkeys(digest for move in moves for digest in move.statements))
    entry = transaction.append(
        event, "", principal, reason=reason, statements=statements, detail=site_detail(site, moves, **more)
    )
    for move in champion_moves(entry):
        move_as_entry(transaction, Slot.parse(move.slot), move)
    return entry


def _newest_moves(session: Session, site: str) -> tuple[LedgerEntry | None, LedgerEntry | None]:
    """Return the newest switch or way back of a site, and the newest switch that nobody took back; each may be None."""
    texts = session.scalars(select(LEDGER.c.entry).where(LEDGER.c.event.in_(SITE_MOVES)).order_by(LEDGER.c.seq.desc()))
    taken_back, newest = set[Any](), None
    for entry in map(read_entry, texts):
        if entry.detail.get("site") != site:
            continue
        newest = newest or entry
        if entry.event == "migrated back":
            taken_back.add(entry.detail.get("of"))
        elif entry.seq not in taken_back:
            return newest, entry
    return newest, None
