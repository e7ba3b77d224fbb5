"""What the ledger of the MLflow server means for people: verdicts that did not pass, overrides, drift."""

from __future__ import annotations

import math
import urllib.error
import uuid
from collections.abc import Iterator, Mapping
from typing import Any

from pipelines.errors import AttestationError
from pipelines.local import accounts
from pipelines.local import http_client as web
from pipelines.local.workspace import Workspace
from pipelines.orchestration.alerts.alert import EVENTS, Alert, plain_text
from pipelines.registry.ledger.entry import LedgerEntry, read_entry
from pipelines.registry.signing.canonical_json import moment
from pipelines.registry.signing.envelope import read_envelope
from pipelines.registry.verdict_statement import VerdictStatement, stored_verdict

_API = "/elp/api/v1"
_PAGE = 100
_NAMES = uuid.UUID("6f1d8b0e-3f0c-4c62-9d5c-6a3f2a9e7c11")
_OVERRIDES = {
    "override asked": ("elp.override.asked", "{who} asks for an override of {name}", "approve it as the second person: "
                       "elp approve {slot}; or refuse it: elp withdraw {slot}"),
    "overridden": ("elp.override.approved", "{name} is champion by an override that {who} approved, without a verdict "
                   "that counts", "gate a better version, or end it: elp withdraw {slot}"),
    "override expired": ("elp.override.ended", "the override of {slot} has expired",
                         "look at: elp versions list {slot}"),
    "override withdrawn": ("elp.override.ended", "{who} withdrew the override of {slot}",
                           "look at: elp versions list {slot}"),
}  # fmt: skip


def read_head(workspace: Workspace, mlflow: str, before: float = math.inf) -> int:
    """Return the number of the newest ledger entry, or of the newest one before a moment; 0 if there is none.

    No answer raises OSError.
    """
    head = int(_get(workspace, mlflow, "/status")["ledger"]["seq"])
    while before < math.inf and head > 0:
        start = max(0, head - _PAGE)
        rows = _get(workspace, mlflow, f"/ledger?after={start}&limit={_PAGE}")["entries"]
        if older := [int(row["seq"]) for row in rows if int(row["seq"]) <= head and _made(row) < before]:
            return max(older)
        head = start
    return head


def _made(row: Mapping[str, Any]) -> float:
    try:
        return moment(read_entry(str(row["text"])).at, "at").timestamp()
    except (AttestationError, KeyError, TypeError, ValueError):
        # what cannot be read gives no alert, so its moment does not matter
        return math.inf


def ledger_alerts(workspace: Workspace, mlflow: str, after: int) -> Iterator[tuple[int, list[Alert]]]:
    """Yield, for each ledger entry after a number, its own number and the alerts that it gives, oldest first.

    An entry that cannot be read gives none: the audit names it. No answer raises OSError.
    """
    while rows := _get(workspace, mlflow, f"/ledger?after={after}&limit={_PAGE}")["entries"]:
        for row in rows:
            after = int(row["seq"])
            try:
                alerts = _entry_alerts(workspace, mlflow, read_entry(str(row["text"])))
            except (AttestationError, KeyError, TypeError, ValueError):
                alerts = []
            yield after, alerts
        if len(rows) < _PAGE:
            return


def _entry_alerts(workspace: Workspace, mlflow: str, entry: LedgerEntry) -> list[Alert]:
    page = f"{mlflow}/elp/slots/{entry.slot}"
    name, version = f"{entry.slot} v{entry.after}", f"{page}?version={entry.after}"
    if entry.event in _OVERRIDES:
        event, what, step = _OVERRIDES[entry.event]
        words = {"who": entry.principal.name, "name": name, "slot": entry.slot}
        return [_alert(event, entry.hash, entry, what.format(**words), entry.reason, page, step.format(**words))]
    if entry.event != "gated":
        return []
    found = []
    outcome = entry.detail.get("outcome")
    if outcome in ("failed", "undecided"):
        step = {
            "failed": "read the report; nothing was promoted, the champion stays",
            "undecided": f"add the test clips that the report names, then: elp data golden {entry.slot}, and: "
            f"elp gate {entry.slot} --version {entry.after}",
        }[outcome]
        event, verb = (
            ("elp.gate.refused", "did not pass")
            if outcome == "failed"
            else ("elp.gate.undecided", "could not decide on")
        )
        reason = _first_reason(workspace, mlflow, entry)
        found.append(_alert(event, entry.hash, entry, f"the gate {verb} {name}", reason, version, step))
    for drift in _get_readable(workspace, mlflow, f"/drifts?slot={entry.slot}").get("drifts", ()):
        if drift["seq"] == entry.seq and drift["margin"] is not None and drift["change"] > drift["margin"]:
            found.append(_drift_alert(drift, entry, page))
    return found


def _drift_alert(drift: Mapping[str, Any], entry: LedgerEntry, page: str) -> Alert:
    then, now, margin = (f"{100 * drift[key]:.1f} %" for key in ("then", "now", "margin"))
    other = "; the golden set is another one now" if drift["other_golden"] else ""
    what = f"the champion {entry.slot} v{drift['version']} has become worse"
    reason = (
        f"{drift['metric']} was {then} when it was promoted and is {now} now, more than the margin of {margin}{other}"
    )
    step = f"train on newer recordings: elp retrain {entry.slot}"
    return _alert("elp.drift", f"{entry.hash} drift", entry, what, reason, page, step)


def _first_reason(workspace: Workspace, mlflow: str, entry: LedgerEntry) -> str:
    for digest in entry.statements:
        envelope = _get_readable(workspace, mlflow, f"/statements/{digest}").get("envelope", "")
        try:
            verdict: VerdictStatement = stored_verdict(read_envelope(envelope).payload)
        except (AttestationError, KeyError, TypeError, ValueError):
            # the refusal is reported without its reason; the audit names the statement
            continue
        if verdict.details and verdict.details.reasons:
            return verdict.details.reasons[0]
    return ""


def _alert(event: str, key: str, entry: LedgerEntry, what: str, reason: str, link: str, step: str) -> Alert:
    # the same entry gives the same id, so that Prefect keeps one event however often it is sent
    made = uuid.uuid5(_NAMES, key)
    return Alert(
        id=str(made), event=event, kind=EVENTS[event], at=entry.at, what=plain_text(what), slot=entry.slot,
        reason=plain_text(reason), link=link, next_step=step,
    )  # fmt: skip


def _get_readable(workspace: Workspace, mlflow: str, route: str) -> dict[str, Any]:
    """Return an answer; empty if the server cannot read the record, which the audit names. No answer raises OSError."""
    try:
        found: dict[str, Any] = _get(workspace, mlflow, route)
        return found
    except urllib.error.HTTPError as error:
        # asked again for ever, one damaged record would hold up every later alert of the ledger
        if error.code in (400, 404):
            return {}
        raise


def _get(workspace: Workspace, mlflow: str, route: str) -> Any:
    return web.request(f"{mlflow}{_API}{route}", timeout=15.0, login=accounts.service_login(workspace))
