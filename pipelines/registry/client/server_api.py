"""The client of the server's own API: signed statements in; statements, ledger entries and champion changes out.

Every function takes the address of the MLflow server and raises ServiceError if no guarded server answers there. A
refusal of the server becomes GateRefused, any other error RegistryError, both with the server's sentence.
"""

import contextlib
import getpass
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from pipelines.errors import AttestationError, GateRefused, RegistryError, RemoteAway, ServiceError
from pipelines.registry.adapter_version import CHALLENGER, AdapterVersion
from pipelines.registry.client import model_registry
from pipelines.registry.client.connection import (
    PASSWORD,
    USERNAME,
    Account,
    check_health,
    connect,
    needs_login,
    send_request,
    unreachable,
)
from pipelines.registry.holds import Hold
from pipelines.registry.ledger.entry import LedgerEntry, LedgerRow, read_entry
from pipelines.registry.ledger.site_moves import about_slot
from pipelines.registry.registered_adapter import ChampionChange, RegisteredAdapter
from pipelines.registry.slot import Slot

API = "/elp/api/v1"
PAGE = 500
"""Statements or ledger entries in one answer."""
_NO_LOGIN = ("/workers/enrol", "/boxes/enrol", "/boxes/report", "/boxes/serving")
"""Routes that check a token or a signature: a person names their address, which need not be that of the login."""


@dataclass(frozen=True)
class StoredStatement:
    """A signed statement as the server keeps it."""

    digest: str
    """SHA-256 (hex) of its payload, by which the ledger names it."""
    kind: Literal["lineage", "verdict"]
    seq: int
    """Number of the ledger entry that recorded it."""
    model: str
    version: int
    at: str
    """When the server accepted it. UTC, ISO 8601."""
    envelope: str
    """DSSE envelope."""


def submit_statement(uri: str, model: str, version: int, envelope: str) -> str:
    """Send a signed statement on a version and return its digest (hex); a second time changes nothing."""
    answer = call_server(uri, "POST", "/statements", json={"model": model, "version": version, "envelope": envelope})
    return str(answer["digest"])


def list_statements(uri: str, **wanted: str | int) -> Iterator[StoredStatement]:
    """Return statements, newest first, by `model`, `version`, `kind`, `fingerprint`, `dataset` or `bundle`."""
    before: dict[str, int] = {}
    while page := call_server(uri, "GET", "/statements", params={**wanted, **before, "limit": PAGE})["statements"]:
        yield from map(_statement, page)
        if len(page) < PAGE:
            return
        before = {"before": page[-1]["seq"]}


def find_statement(uri: str, digest: str) -> StoredStatement | None:
    """Return one recorded statement, or None."""
    try:
        return _statement(call_server(uri, "GET", f"/statements/{digest}"))
    except RegistryError:
        return None


def registered_records(uri: str, slot: str = "", fingerprint: str = "") -> list[RegisteredAdapter]:
    """Return every adapter ever registered, of a slot or of all, and by the beginning of a fingerprint."""
    found: list[RegisteredAdapter] = []
    wanted: dict[str, Any] = {"slot": slot or None, "fingerprint": fingerprint or None, "after": 0}
    while (page := call_server(uri, "GET", "/adapters", params=wanted))["adapters"]:
        found += [RegisteredAdapter.from_json(one) for one in page["adapters"]]
        wanted["after"] = page["last"]
    return found


def bring_back_trained(uri: str, slot: Slot, keys: Sequence[str]) -> int | None:
    """Bring back the version that one of these training keys made, if the retention put it into the trash."""
    found = call_server(uri, "POST", "/restore-trained", json={"slot": str(slot), "keys": list(keys)})["version"]
    return None if found is None else int(found)


def change_champion(
    uri: str,
    action: Literal["promote", "rollback", "retire"],
    slot: Slot,
    *,
    version: int | None = None,
    by: str = "",
    reason: str = "",
    again: bool = False,
) -> ChampionChange:
    """Promote a version that passed, roll back to a former champion, or retire the champion.

    A rollback without `version` takes the champion before. An empty `by` takes the user of this process; on a server
    with a login, the login counts. For an empty `reason` the server writes one, but not for a retirement. `again`
    promotes even a version that was rolled back before.
    """
    request: dict[str, Any] = {"slot": str(slot), "by": by or current_user(), "reason": reason}
    # the server refuses a key that the action does not have
    request |= ({} if version is None else {"version": version}) | ({"again": True} if again else {})
    if action != "promote":  # which has connected
        # a server that hangs is reported in seconds
        check_health(uri)
    return ChampionChange(**call_server(uri, "POST", f"/{action}", json=request))


def promote_version(
    slot: Slot,
    version: int | None = None,
    *,
    mlflow_uri: str,
    policy: str,
    golden: str = "",
    by: str = "",
    reason: str = "",
    again: bool = False,
    log: Callable[[str], None] = print,
) -> ChampionChange:
    """Make a version, or the challenger, the champion if its signed verdict passed against the present champion.

    The server decides. The client refuses only what the server cannot know: a verdict under other limits than the
    workspace has now (`policy`, their `policy_digest`), or on another golden set than the one pinned now (`golden`, its
    tag; empty does not compare it). `by`, `reason` and `again` are as in `change_champion`.
    """
    client = connect(mlflow_uri)
    present = model_registry.find_champion(client, slot)
    if version is not None:
        chosen = model_registry.get(client, slot, version)
    elif challenger := model_registry.find(client, slot, CHALLENGER):
        chosen = challenger
    else:
        serving = f"; the champion is v{present.version}" if present else ""
        raise RegistryError(f"{slot} has no challenger to promote{serving}; gate a candidate first: elp gate {slot}")
    if present is None or chosen.version != present.version:
        _refuse_other_terms(chosen, policy, golden)
    done = change_champion(mlflow_uri, "promote", slot, version=chosen.version, by=by, reason=reason, again=again)
    instead = f", in place of v{done.previous}" if done.previous else ""
    log(f"{chosen.name} is the champion now{instead}" if done.changed else f"{chosen.name} is the champion already")
    return done


def change_override(
    uri: str, action: Literal["override", "approve", "withdraw"], slot: Slot, **more: Any
) -> Mapping[str, Any]:
    """Request an override for some days (`version`, `reason`, `days`), approve another's, or end it (`reason`)."""
    return call_server(uri, "POST", f"/{action}", json={"slot": str(slot), **more})


def ledger_entries(uri: str, slot: Slot | None = None, after: int = 0) -> list[LedgerEntry]:
    """Return the entries of one slot or of all, oldest first, after the entry with the number `after`."""
    found = []
    for row in ledger_rows(uri, str(slot or ""), after):
        # an entry that cannot be read is left out here: the audit names it
        with contextlib.suppress(AttestationError):
            entry = read_entry(row.entry)
            if mine := about_slot(entry, slot) if slot else entry:
                found.append(mine)
    return found


def ledger_rows(uri: str, slot: str = "", after: int = 0) -> Iterator[LedgerRow]:
    """Return the entries as `ledger_entries` does, in their stored form, page after page."""
    wanted = {"slot": slot or None, "limit": PAGE}
    while page := call_server(uri, "GET", "/ledger", params={**wanted, "after": after})["entries"]:
        for row in page:
            after = int(row["seq"])
            yield LedgerRow(after, str(row["text"]), str(row["hash"]), str(row["envelope"]))
        if len(page) < PAGE:
            return


def read_holds(uri: str) -> list[Hold]:
    """Return the holds in force, oldest first."""
    return [Hold(**one) for one in call_server(uri, "GET", "/holds")["holds"]]


def call_server(uri: str, method: str, route: str, login: Account | None = None, **content: Any) -> Mapping[str, Any]:
    """Return the server's answer at a route; `content` is passed to `requests.request`, and may have a `timeout`.

    Without a `login`, the account in the environment is used, except for routes that need none.
    """
    user = os.environ.get(USERNAME) if route not in _NO_LOGIN else None
    login = login or (Account(user, os.environ.get(PASSWORD, "")) if user else None)
    answer = send_request(uri, method, API + route, login, **content)
    try:
        values = answer.json()
    except ValueError:
        values = None
    if answer.ok and isinstance(values, dict):
        return values
    raise _failure(uri, answer.status_code, values)


def _failure(uri: str, status: int, values: Any) -> ServiceError | GateRefused | RegistryError:
    """Return the error for an answer that is not a success."""
    sentence = str(values.get("message", "")) if isinstance(values, dict) else ""
    # the server does not know by which address it is reached
    sentence = sentence.replace(" /elp/slots/", f" {uri.rstrip('/')}/elp/slots/")
    if status == 401:
        return needs_login(uri)
    if status == 403:
        return GateRefused(sentence or f"the MLflow server at {uri} refused")
    if status >= 500 and not sentence:
        return unreachable(uri, f"it answered {status}", away=True)
    if status >= 500:
        return RemoteAway(f"the guard at {uri} has a fault ({status}): {sentence}")
    if not sentence:
        return ServiceError(
            f"the MLflow server at {uri} has no guard (it answered {status}), so statements cannot be recorded and no "
            "version can be promoted there; start it with elp up, or with the command line of "
            "docs/explanation/registry.md"
        )
    return RegistryError(f"the guard at {uri}: {sentence}")


def _refuse_other_terms(chosen: AdapterVersion, policy: str, golden: str) -> None:
    """Refuse a verdict made under other limits, or on another golden set, than this workspace has now."""
    record, gate = chosen.gate_record, f"gate it again: elp gate {chosen.slot} --version {chosen.version}"
    if record is None or record.verdict != "passed":
        return
    if record.policy != policy:
        raise GateRefused(f"{chosen.name} passed under other limits than elp.yaml has now; {gate}")
    if golden and record.golden != golden:
        raise GateRefused(f"{chosen.name} passed on {record.golden}, but {golden} is pinned now; {gate}")


def _statement(values: Mapping[str, Any]) -> StoredStatement:
    # a newer server may send more
    return StoredStatement(**{name: values[name] for name in StoredStatement.__dataclass_fields__})


def current_user() -> str:
    """Return the name of this process's user, which the server records if the caller does not log in."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        # a container may run under a user id without a name
        return "unknown"
