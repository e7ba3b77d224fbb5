"""The projection: aliases, tags and descriptions that MLflow's pages show, written from what was decided."""

import posixpath
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from typing import Any

from mlflow.store.model_registry.dbmodels.models import (
    SqlModelVersionTag,
    SqlRegisteredModel,
    SqlRegisteredModelAlias,
)
from mlflow.utils.time import get_current_time_millis
from sqlalchemy import delete, insert, select
from sqlalchemy.orm import Session

from pipelines.errors import AttestationError
from pipelines.registry.adapter_version import CHALLENGER, CHAMPION, GateRecord, Tags
from pipelines.registry.description import (
    describe_version,
    flagged,
    language_rows,
    licence_rows,
    promoted,
    report_row,
    verdict_headline,
    verdict_rows,
)
from pipelines.registry.ledger.entry import LedgerEntry
from pipelines.registry.signing.envelope import read_envelope
from pipelines.registry.slot import Slot
from pipelines.registry.slot_description import champion_link, with_champion
from pipelines.registry.statements import LineageStatement, parse_statement
from pipelines.registry.verdict_statement import VerdictStatement
from pipelines.server.storage.version_rows import (
    alias_version,
    newest_statements,
    present_champion,
    tags_of_version,
    version_row,
)
from pipelines.server.transitions.version_facts import predecessor

_DESCRIPTION = 5000
"""Characters that MLflow keeps of a description."""
_TAG = 5000
"""Characters that MLflow keeps of a tag."""
_STATUS = {"passed": "candidate", "failed": "rejected", "undecided": "candidate"}


def set_alias(session: Session, model: str, name: str, version: int) -> None:
    """Make an alias point to a version."""
    workspace = _workspace(session, model, version)
    session.merge(SqlRegisteredModelAlias(workspace=workspace, name=model, alias=name, version=version))


def remove_alias(session: Session, model: str, name: str) -> None:
    """Remove an alias if it is set."""
    table = SqlRegisteredModelAlias
    session.execute(delete(table).where(table.name == model, table.alias == name))


def set_tags(session: Session, model: str, version: int, tags: Mapping[str, str]) -> None:
    """Set tags on a version."""
    workspace, table = _workspace(session, model, version), SqlModelVersionTag
    # two statements for all tags, on every database; an upsert is spelled differently on each
    session.execute(delete(table).where(table.name == model, table.version == version, table.key.in_(tags)))
    rows = [{"name": model, "version": version, "key": key, "value": value} for key, value in tags.items()]
    session.execute(insert(table), [{"workspace": workspace, **row} for row in rows])


def show_change(session: Session, model: str, entry: LedgerEntry) -> None:
    """Move the alias champion as a ledger entry says; write the tags of both versions, and the descriptions."""
    _describe_slot(session, model, entry)
    if entry.before is not None and version_row(session, model, entry.before) is not None:
        set_tags(session, model, entry.before, {Tags.STATUS: "retired"})
    if entry.after is None:
        remove_alias(session, model, CHAMPION)
        return
    set_alias(session, model, CHAMPION, entry.after)
    # a champion is no challenger any more
    if alias_version(session, model, CHALLENGER) == entry.after:
        remove_alias(session, model, CHALLENGER)
    before = predecessor(session, entry.slot, entry.after)
    tags = {
        Tags.STATUS: CHAMPION,
        Tags.PROMOTED_AT: entry.at[:19] + "+00:00",
        Tags.PROMOTED_BY: entry.principal.name,
        Tags.PROMOTED_WHY: entry.reason,
        # empty, not left out: an earlier promotion of this version may have set it
        Tags.PREDECESSOR: "" if before is None else str(before),
    }
    set_tags(session, model, entry.after, tags)
    _describe(session, model, entry.after, promoted(_description(session, model, entry.after), tags))


def show_override(session: Session, model: str, version: int, summary: str) -> None:
    """Write a version's override into its tag and its description; an empty summary removes it from both."""
    if summary:
        set_tags(session, model, version, {Tags.OVERRIDE: summary[:_TAG]})
    else:
        table = SqlModelVersionTag
        session.execute(delete(table).where(table.name == model, table.version == version, table.key == Tags.OVERRIDE))
    # an override of a deleted version ends too
    if version_row(session, model, version) is not None:
        _describe(session, model, version, flagged(_description(session, model, version), summary))


def show_verdict(session: Session, verdict: VerdictStatement) -> None:
    """Write a verdict on its version: tags, description, and the alias challenger if it may be promoted now."""
    model, version, present = verdict.model, verdict.version, present_champion(session, verdict.model)
    serving = present is not None and present.version == version
    ready = verdict.outcome == "passed" and not serving and verdict.against == present
    if ready:
        set_alias(session, model, CHALLENGER, version)
    elif alias_version(session, model, CHALLENGER) == version:
        remove_alias(session, model, CHALLENGER)
    status = CHAMPION if serving else CHALLENGER if ready else _STATUS[verdict.outcome]
    record = GateRecord(
        verdict=verdict.outcome,
        bundle=verdict.bundle,
        golden=verdict.golden.tag,
        golden_digest=verdict.golden.digest,
        champion=verdict.against.version if verdict.against else None,
        champion_bundle=verdict.against.bundle if verdict.against else "",
        policy=verdict.policy,
        evidence=posixpath.dirname(verdict.evidence.path),
        decided_at=verdict.decided_at,
    )
    tags = {
        Tags.VERDICT: verdict.outcome,
        Tags.STATUS: status,
        Tags.METRIC: verdict.metric,
        Tags.VALUE: "" if verdict.challenger is None else f"{verdict.challenger:.4f}",
        Tags.GOLDEN: verdict.golden.tag,
        Tags.GATE: record.to_json(),
    }
    set_tags(session, model, version, tags)
    shown = tags_of_version(session, model, version)
    rows = [*verdict_rows(verdict), report_row(verdict), *_signed_rows(session, model, version)]
    text = promoted(describe_version(verdict_headline(verdict), rows, shown), shown)
    _describe(session, model, version, flagged(text, shown.get(Tags.OVERRIDE, "")))


def _description(session: Session, model: str, version: int) -> str:
    return _row(session, model, version).description or ""


def _describe(session: Session, model: str, version: int, text: str) -> None:
    row = _row(session, model, version)
    row.description, row.last_updated_time = text[:_DESCRIPTION], get_current_time_millis()


def _describe_slot(session: Session, model: str, entry: LedgerEntry) -> None:
    slot = Slot.of_model(model)
    for row in session.scalars(select(SqlRegisteredModel).where(SqlRegisteredModel.name == model)):
        assert slot is not None, f"{model} is no slot's model"
        row.description = with_champion(row.description or "", slot, champion_link(slot, entry))[:_DESCRIPTION]
        row.last_updated_time = get_current_time_millis()


def _signed_rows(session: Session, model: str, version: int) -> list[tuple[str, str]]:
    """Return the rows on language, units and backbone from the newest lineage of a version; none without one."""
    row = session.execute(newest_statements("lineage", model, version).limit(1)).mappings().first()
    # the audit names a statement that was damaged
    with suppress(AttestationError):
        lineage = parse_statement(read_envelope(row["envelope"]).payload) if row else None
        if isinstance(lineage, LineageStatement):
            # the verdict names the normaliser, too
            language = language_rows(replace(lineage.language, normaliser=None))
            return language + licence_rows(lineage.backbone_origin)
    return []


def _workspace(session: Session, model: str, version: int) -> Any:
    return _row(session, model, version).workspace


def _row(session: Session, model: str, version: int) -> Any:
    row = version_row(session, model, version)
    assert row is not None, f"{model} v{version} does not exist"
    return row
