"""Holds on the server: who makes and ends them, and which one keeps a version. The ledger is their only record."""

from datetime import UTC, datetime

from sqlalchemy import Connection, select
from sqlalchemy.orm import Session

from pipelines.errors import AttestationError
from pipelines.registry.holds import HeldSubject, Hold, holds_in_force
from pipelines.registry.ledger.entry import Principal, read_entry
from pipelines.registry.signing.canonical_json import moment
from pipelines.server.auth.principal import PROMOTE, authorize
from pipelines.server.ledger import LEDGER
from pipelines.server.refusal import Attempt
from pipelines.server.storage.locked_store import LockedStore
from pipelines.server.storage.version_rows import version_row

EVENTS = ("held", "hold ended")


def stored_holds(session: Session | Connection, now: datetime | None = None) -> list[Hold]:
    """Return the holds in force, oldest first."""
    texts = session.scalars(select(LEDGER.c.entry).where(LEDGER.c.event.in_(EVENTS)).order_by(LEDGER.c.seq))
    return holds_in_force(map(read_entry, texts), now)


def hold_on_adapter(session: Session | Connection, slot: str, version: int | None) -> Hold | None:
    """Return a hold that keeps an adapter version, or (None) any version of the slot; None if there is none."""
    return next((hold for hold in stored_holds(session) if hold.held.covers_adapter(slot, version)), None)


def make_hold(store: LockedStore, subject: HeldSubject, until: str, reason: str, principal: Principal) -> Hold:
    """Hold a subject until a moment (ISO 8601 with its offset). A Refusal is recorded in the ledger."""
    model, number = subject.slot.model_name if subject.slot else "", subject.version
    attempt = Attempt("hold", model, number)
    with store.refusing(principal):
        authorize(PROMOTE, attempt)
        if not reason.strip():
            raise attempt.refused(f"say why {_name(subject)} is held: elp hold {_name(subject)} --reason TEXT")
        try:
            end = moment(until, "until").astimezone(UTC)
        except (AttestationError, OverflowError) as error:
            raise attempt.refused(f"until: {until[:40]!r} is no moment such as 2027-01-31T00:00+00:00") from error
        if end <= datetime.now(UTC):
            raise attempt.refused(f"a hold ends in the future, got {until[:40]}: --until DATE")
        with store.locked() as transaction:
            if number is not None and version_row(transaction.session, model, number) is None:
                raise attempt.refused(
                    f"{subject.slot} v{number} is not in the registry; if it is in the trash, bring it back first: "
                    f"elp gc undo {subject.slot}@v{number}"
                )
            detail = {"subject": str(subject), "until": end.isoformat(timespec="microseconds")}
            slot = str(subject.slot or "")
            entry = transaction.append("held", slot, principal, after=number, reason=reason.strip(), detail=detail)
        return Hold(entry.seq, detail["subject"], detail["until"], principal.name, entry.at, entry.reason)


def end_hold(store: LockedStore, number: int, reason: str, principal: Principal) -> Hold:
    """End a hold before its date. A Refusal is recorded in the ledger."""
    attempt = Attempt("end a hold")
    with store.refusing(principal):
        authorize(PROMOTE, attempt)
        if not reason.strip():
            raise attempt.refused(f"say why hold {number} ends: elp hold end {number} --reason TEXT")
        with store.locked() as transaction:
            found = next((hold for hold in stored_holds(transaction.session) if hold.number == number), None)
            if found is None:
                raise attempt.refused(f"there is no hold {number} in force; list them: elp hold list")
            held = found.held
            slot, why = str(held.slot or ""), reason.strip()
            transaction.append("hold ended", slot, principal, after=held.version, reason=why, detail={"hold": number})
        return found


def _name(subject: HeldSubject) -> str:
    return "speaker:NAME" if subject.speaker else str(subject)
