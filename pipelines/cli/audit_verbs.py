"""`elp audit`, `elp erasure plan`: what an adapter is made of, what it was trained on, and what an erasure needs."""

from __future__ import annotations

import contextlib
import json
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from pipelines.cli.options import SLOT, json_option, workspace_option
from pipelines.cli.output import progress, table, warn_of_override
from pipelines.errors import UsageError
from pipelines.local.workspace import Workspace
from pipelines.registry.slot import Slot

if TYPE_CHECKING:
    from pipelines.audit.adapter_records import Dossier
    from pipelines.audit.facts import Fact
    from pipelines.audit.tables import Section, Sheet

FORMATS = ("text", "json", "html", "cyclonedx")
_slot = click.argument("slot", type=SLOT, metavar="[SITE/TASK]", required=False)
_speaker = click.option("--speaker", default="", metavar="ID", help="The adapters that were trained on this speaker.")
_clip = click.option("--clip", default="", metavar="ID", help="The same for a clip (8 digits or more of its id).")
_output = click.option("-o", "--output", type=click.Path(path_type=Path), metavar="FILE", help="Write it to a file.")


@click.command()
@_slot
@click.argument("version", required=False, metavar="[VERSION]")
@click.option("--version", "option", metavar="N", help="The same as VERSION, as other verbs take it.")
@click.option("--verify", is_flag=True, help="Compute every digest and signature again.")
@click.option("--at", metavar="DATE", help="What was champion then.")
@click.option("--backbone", metavar="FINGERPRINT", help="Every adapter on it (8 digits will do).")
@_speaker
@_clip
@click.option("--format", "form", type=click.Choice(FORMATS), default="text", show_default=True)
@_output
@json_option
@workspace_option
def audit(
    slot: Slot | None,
    version: str | None,
    option: str | None,
    verify: bool,
    at: str | None,
    backbone: str | None,
    speaker: str,
    clip: str,
    form: str,
    output: Path | None,
    as_json: bool,
    workspace: Workspace,
) -> int:
    """Show where an adapter came from: the champion of SITE/TASK, or VERSION of it.

    With --at, --backbone, --speaker or --clip another question, for one slot or for all; with --verify and without a
    slot, the whole ledger against the registry. Exit code 1 where something is otherwise than recorded.
    """
    asked = {"--at": at, "--backbone": backbone, "--speaker": speaker, "--clip": clip}
    questions = [name for name, value in asked.items() if value]
    version = version or option
    _refuse_contradiction(slot, version, verify, questions, form)
    form = "json" if as_json else form
    if questions:
        return _answer(workspace, slot, questions[0], str(asked[questions[0]]), form, output)
    return _tree(workspace, slot, _number(version), verify, form, output)


@click.group()
def erasure() -> None:
    """Plan the erasure of a speaker or a clip."""


@erasure.command()
@_slot
@_speaker
@_clip
@click.option("--format", "form", type=click.Choice(FORMATS[:3]), default="text", show_default=True)
@_output
@json_option
@workspace_option
def plan(
    slot: Slot | None, speaker: str, clip: str, form: str, output: Path | None, as_json: bool, workspace: Workspace
) -> None:
    """Plan the erasure of a speaker or a clip, in one slot or in all. Nothing is changed.

    Shows what holds the recordings, which adapters were trained on them, which of those serve, what to do in which
    order, and what stays.
    """
    from pipelines.audit import erasure as planning
    from pipelines.audit.tables import of_plan
    from pipelines.datasets.dvc_remote import dvc_remote
    from pipelines.datasets.subject import Subject

    subject = Subject(speaker, clip)
    with _index(workspace) as (db, uri), dvc_remote(workspace.root) as stored:
        planned = planning.plan(db, subject, slot, stored.place)
    _put(planned, of_plan(planned), uri, "json" if as_json else form, output)


def _answer(workspace: Workspace, slot: Slot | None, question: str, value: str, form: str, output: Path | None) -> int:
    """One of the questions over slots."""
    from pipelines.audit import champion_periods as reigns
    from pipelines.audit import learned
    from pipelines.audit import tables as sheet
    from pipelines.datasets.subject import Subject

    with _index(workspace) as (db, uri):
        if question == "--at":
            at = reigns.champions_at(db, reigns.read_moment(value), slot)
            _put(at, sheet.of_champions(at), uri, form, output)
        elif question == "--backbone":
            standing = reigns.on_backbone(db, value, slot)
            _put(standing, sheet.of_backbone(standing), uri, form, output)
        else:
            subject = Subject(**{question.removeprefix("--"): value})
            found = learned.learned(db, subject, slot)
            _put(found, sheet.of_learned(found), uri, form, output)
    return 0


def _tree(
    workspace: Workspace, slot: Slot | None, version: int | None, verify: bool, form: str, output: Path | None
) -> int:
    """One adapter, or the whole registry."""
    from pipelines.audit.adapter_records import dossier, tree
    from pipelines.audit.bill_of_materials import bill
    from pipelines.audit.server_index import ServerRecords
    from pipelines.audit.tables import of_tree

    with _index(workspace) as (db, uri):
        records = ServerRecords(uri)
        if slot is None:
            found = _verified(workspace, records, db, None)
        else:
            subject = dossier(db, records, slot, version)
            if form == "cyclonedx":
                _write(bill(subject, _packages(uri, subject)), output)
                return 0
            found = _verified(workspace, records, db, subject) if verify else tree(db, subject)
            warn_of_override(subject.name, subject.override)
    _put(found, of_tree(found, verify), uri, form, output)
    for fact in found.mismatches:
        progress(f"mismatch: {fact.name} {fact.value}: {fact.note}")
    return 1 if found.mismatches else 0


def _verified(workspace: Workspace, records: Any, db: sqlite3.Connection, subject: Dossier | None) -> Fact:
    from pipelines.audit.verify import bench, verify_adapter, verify_registry

    tools = bench(workspace, records, progress)
    return verify_registry(tools) if subject is None else verify_adapter(db, tools, subject)


def _packages(uri: str, subject: Dossier) -> list[str]:
    """What was installed when the adapter was trained, where its run says so."""
    from pipelines.audit.checks.bundle_checks import packages_of
    from pipelines.registry.client import model_registry as registry

    return packages_of(registry.connect(uri), subject.lineage) if subject.lineage else []


@contextlib.contextmanager
def _index(workspace: Workspace) -> Iterator[tuple[sqlite3.Connection, str]]:
    """The index, up to date, and the address of the server."""
    from pipelines.audit.open_index import index_of
    from pipelines.audit.server_index import ServerRecords
    from pipelines.local.addresses import mlflow_uri

    uri = mlflow_uri(workspace)
    with index_of(workspace, ServerRecords(uri), progress) as db:
        yield db, uri


def _put(value: Any, sheet: Sheet, source: str, form: str, output: Path | None) -> None:
    """Print an answer, or write it to a file, in the form asked for."""
    from pipelines.audit.html_page import render
    from pipelines.registry.plain_json import plain

    if form == "json":
        values = value.to_json() if sheet.tree else plain(value)
        _write(json.dumps(values, indent=2, ensure_ascii=False) + "\n", output)
    elif form == "html":
        _write(render(sheet, source), output)
    else:
        _write(_text(sheet) + "\n", output)


def _write(text: str, output: Path | None) -> None:
    if output is None:
        click.echo(text, nl=False)
        return
    output.write_text(text, encoding="utf-8")
    progress(f"written to {output}")


def _text(sheet: Sheet) -> str:
    from pipelines.audit.facts import render

    if sheet.tree:
        return "\n".join([render(sheet.tree), "", *sheet.lead])
    return "\n".join([click.style(sheet.title, bold=True), *sheet.lead, *map(_section, sheet.sections)])


def _section(section: Section) -> str:
    if not section.rows:
        return f"\n{click.style(section.title, bold=True)}: {section.empty}"
    if not section.head:
        lines = [f"- {row[0]}" for row in section.rows]
    elif section.head[-1] == "commands":
        lines = [line for number, row in enumerate(section.rows, 1) for line in _step(number, *row)]
    else:
        lines = [table(section.head, section.rows)]
    return "\n".join(["", click.style(section.title, bold=True), *lines])


def _step(number: int, what: str, commands: str) -> list[str]:
    return [f"{number}. {what}", *(f"     {command}" for command in commands.splitlines())]


def _refuse_contradiction(
    slot: Slot | None, version: str | None, verify: bool, questions: list[str], form: str
) -> None:
    if len(questions) > 1:
        raise UsageError(f"{' and '.join(questions)} are two questions; ask one at a time")
    if questions and (version or verify):
        raise UsageError(f"{questions[0]} asks over versions; leave out {'VERSION' if version else '--verify'}")
    if not questions and slot is None and not verify:
        raise UsageError("name a slot (elp audit SITE/TASK), or ask --at, --backbone, --speaker, --clip or --verify")
    if form == "cyclonedx" and (questions or slot is None or verify):
        raise UsageError("a bill of materials is of one adapter: elp audit SITE/TASK [VERSION] --format cyclonedx")


def _number(version: str | None) -> int | None:
    if version is None:
        return None
    digits = version.removeprefix("v")
    if not digits.isdigit() or not int(digits):
        raise UsageError(f"VERSION is a number such as 3, got {version!r}")
    return int(digits)
