"""Check what was signed about an adapter that a box received, with the keys that the offline root names.

TUF says that the server's keys published these bytes. This says that a trainer, a gate and the ledger's key, which the
offline root names, stand for them: whoever has the server's keys for metadata alone can deliver no other adapter.
"""

from __future__ import annotations

from collections.abc import Mapping

from pipelines.errors import AttestationError, DeliveryRefused
from pipelines.registry.delivery.site_set import ENTRY, LINEAGE, VERDICT, DeliveredAdapter
from pipelines.registry.ledger.entry import MOVES, LedgerEntry, read_entry
from pipelines.registry.ledger.site_moves import about_slot
from pipelines.registry.signing.envelope import Envelope, read_envelope, verify
from pipelines.registry.signing.keys import KeyRing, Role
from pipelines.registry.slot import Slot
from pipelines.registry.statements import LineageStatement, parse_statement
from pipelines.registry.verdict_statement import VerdictStatement


def check_statements(
    adapter: DeliveredAdapter, envelopes: Mapping[str, bytes], keys: KeyRing, *, accept_override: bool = False
) -> None:
    """Check lineage, verdict and ledger entry of an adapter; raise DeliveryRefused if they do not stand for it.

    `envelopes` are the contents of the adapter's files by name. A champion by override has no verdict, and is refused
    unless `accept_override` is set.
    """
    try:
        lineage = parse_statement(_signed(adapter, LINEAGE, envelopes, keys, "lineage", adapter.lineage_at).payload)
        if not isinstance(lineage, LineageStatement):
            raise _differs(adapter, f"{LINEAGE} is no lineage")
        _check_lineage(adapter, lineage)
        entry = read_entry(_signed(adapter, ENTRY, envelopes, keys, "ledger", None).payload.decode())
        _check_entry(adapter, entry)
        if not adapter.verdict:
            _check_override(adapter, entry, accept_override)
            return
        verdict = parse_statement(_signed(adapter, VERDICT, envelopes, keys, "verdict", adapter.verdict_at).payload)
        if not isinstance(verdict, VerdictStatement):
            raise _differs(adapter, f"{VERDICT} is no verdict")
        _check_verdict(adapter, verdict)
    except AttestationError as error:
        more = "; if that key is right, the root has to name it: elp root" if error.reason == "unknown key" else ""
        raise DeliveryRefused("statement", f"{adapter.name}: {error}{more}") from error
    except UnicodeDecodeError as error:
        raise DeliveryRefused("statement", f"{adapter.name}: {ENTRY} is not UTF-8") from error


def _signed(
    adapter: DeliveredAdapter,
    name: str,
    envelopes: Mapping[str, bytes],
    keys: KeyRing,
    role: Role,
    recorded_at: str | None,
) -> Envelope:
    if name not in envelopes:
        raise _differs(adapter, f"{name} is missing")
    envelope = read_envelope(envelopes[name])
    if role == "ledger":
        # the entry has its own date, which decides whether a retired key counts
        recorded_at = read_entry(envelope.payload.decode()).at
    verify(envelope, keys, role, recorded_at)
    return envelope


def _check_lineage(adapter: DeliveredAdapter, lineage: LineageStatement) -> None:
    _same(adapter, LINEAGE, "model", lineage.model, Slot.parse(adapter.slot).model_name)
    _same(adapter, LINEAGE, "bundle", lineage.bundle, adapter.bundle)
    _same(adapter, LINEAGE, "fingerprint", lineage.fingerprint, adapter.fingerprint)


def _check_verdict(adapter: DeliveredAdapter, verdict: VerdictStatement) -> None:
    _same(adapter, VERDICT, "slot", verdict.slot, adapter.slot)
    _same(adapter, VERDICT, "version", verdict.version, adapter.version)
    _same(adapter, VERDICT, "bundle", verdict.bundle, adapter.bundle)
    _same(adapter, VERDICT, "fingerprint", verdict.fingerprint, adapter.fingerprint)
    _same(adapter, VERDICT, "outcome", verdict.outcome, "passed")


def _check_entry(adapter: DeliveredAdapter, entry: LedgerEntry) -> None:
    mine = about_slot(entry, adapter.slot)
    if mine is None:
        raise _differs(adapter, f"{ENTRY} is about {entry.slot or 'other slots'}, expected {adapter.slot}")
    _same(adapter, ENTRY, "version", mine.after, adapter.version)
    _same(adapter, ENTRY, "bundle", mine.bundle, adapter.bundle)
    if entry.event not in MOVES:
        raise _differs(adapter, f"{ENTRY} says that it was {entry.event}, expected a change of champion")


def _check_override(adapter: DeliveredAdapter, entry: LedgerEntry, accepted: bool) -> None:
    if entry.event != "overridden":
        raise _differs(adapter, f"there is no passed verdict, and {ENTRY} is no override but says {entry.event}")
    if not accepted:
        raise DeliveryRefused(
            "override",
            f"{adapter.name} is champion by override ({entry.reason[:200]}), without a passed verdict; end the "
            "override, or repeat the pull with --accept-override",
        )


def _same(adapter: DeliveredAdapter, file: str, what: str, got: object, expected: object) -> None:
    if got != expected:
        raise _differs(adapter, f"{file} has the {what} {str(got)[:80]}, expected {str(expected)[:80]}")


def _differs(adapter: DeliveredAdapter, text: str) -> DeliveryRefused:
    return DeliveryRefused("statement", f"{adapter.name}: {text}")
