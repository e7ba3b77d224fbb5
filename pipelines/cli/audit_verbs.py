"""`elp audit`, `elp erasure plan`: what an adapter is made of, what it was trained on, and what an erasure needs."""

import contextlib
import json
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from pipelines.audit import tables
from pipelines.audit.adapter_records import AdapterRecords, find_records
from pipelines.audit.adapter_tree import adapter_tree
from pipelines.audit.champion_periods import find_champions, find_on_backbone
from pipelines.audit.data_index import open_index
from pipelines.audit.facts import Fact, tree_text
from pipelines.audit.server_records import ServerRecords
from pipelines.audit.trained_on import find_trained_on
from pipelines.cli.moments import read_moment
from pipelines.cli.options import SLOT, complete_adapter, on_workspace
from pipelines.cli.output import progress, table, wants_json, warn_of_override
from pipelines.errors import UsageError
from pipelines.local.addresses import mlflow_uri
from pipelines.local.workspace import Workspace
from pipelines.registry.plain_json import plain
from pipelines.registry.slot import Slot

if TYPE_CHECKING:
    from pipelines.datasets.subject import Subject

FORMATS = ("text", "json", "html", "cyclonedx")
QUESTIONS = ("at", "backbone", "speaker", "clip")
_slot = click.argument("slot", type=SLOT, metavar="[SITE/TASK]", required=False)
_speaker = click.option("--speaker", default="", metavar="ID", help="The adapters that were trained on this speaker.")
_clip = click.option("--clip", default="", metavar="ID", help="The same for a clip (8 digits or more of its id).")
_output = click.option("-o", "--output", type=click.Path(path_type=Path), metavar="FILE", help="Write it to a file.")


@click.command()
@_slot
@click.argument("version", required=False, metavar="[VERSION]", shell_complete=complete_adapter)
@click.option("--version", "option", metavar="N", shell_complete=complete_adapter, help="The same as VERSION.")
@click.option("--verify", is_flag=True, help="Compute every digest and signature again.")
@click.option("--at", metavar="DATE", help="The champions at that moment.")
@click.option("--backbone", metavar="FINGERPRINT", help="Every adapter on it (8 digits will do).")
@_speaker
@_clip
@click.option("--format", "form", type=click.Choice(FORMATS), default="text", show_default=True)
@_output
@on_workspace
def audit(
    workspace: Workspace,
    slot: Slot | None,
    version: str | None,
    option: str | None,
    verify: bool,
    form: str,
    output: Path | None,
    **asked: str | None,
) -> int:
    """Show where an adapter came from: the champion of SITE/TASK, or VERSION of it.

    With --at, --backbone, --speaker or --clip another question, for one slot or for all; with --verify and without a
    slot, the whole ledger against the registry. The exit code is 1 if a verification failed.
    """
    version, questions = version or option, [name for name in QUESTIONS if asked[name]]
    _refuse_contradiction(slot, version, verify, questions, form)
    form = "json" if wants_json() else form
    if questions:
        return _answer(workspace, slot, questions[0], asked[questions[0]] or "", form, output)
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
@on_workspace
def plan(workspace: Workspace, slot: Slot | None, speaker: str, clip: str, form: str, output: Path | None) -> None:
    """Plan the erasure of a speaker or a clip, in one slot or in all. Nothing is changed.

    Shows what holds the recordings, which adapters were trained on them, which of those serve, what to do in which
    order, and what stays.
    """
    from pipelines.audit.erasure_plan import plan_erasure
    from pipelines.datasets.dvc import dvc_remote
    from pipelines.datasets.subject import Subject
    from pipelines.retention.removal_plan import files_on_hold, unnamed_files
    from pipelines.retention.subject_files import holds_against

    subject = Subject(speaker, clip)
    records = ServerRecords(mlflow_uri(workspace))
    with _index(workspace, records) as db, dvc_remote(workspace.root) as stored:
        logged = _logged(workspace, subject, slot)
        # files of no known version belong to no slot
        unnamed = unnamed_files(workspace, db, stored, records.uri, progress) if slot is None else ()
        planned = plan_erasure(
            db, records, subject, slot, stored.place, logged, lambda name: _teachers(workspace, name), unnamed
        )
        on_hold = files_on_hold(workspace, db, stored, records.uri)
        holds = holds_against(planned, on_hold, stored, records.uri)
    for hold in holds:
        text = f"HELD: {hold.summary}; nothing is erased before: elp hold end {hold.number}"
        click.echo(click.style(text, fg="red", bold=True), err=True)
    _put(planned, tables.erasure_answer(planned), records.uri, "json" if wants_json() else form, output)


def _logged(workspace: Workspace, subject: "Subject", slot: Slot | None) -> dict[str, int]:
    """Return how many requests of a subject `elp serve` has logged in this workspace, by slot."""
    from pipelines.request_log.log_file import log_path, logged_slots, opened_log, subject_numbers

    found = {}
    for one in logged_slots(workspace.state):
        if slot in (None, one):
            with opened_log(log_path(workspace.state, one)) as db:
                if number := len(subject_numbers(db, speaker=subject.speaker, clip=subject.clip)):
                    found[str(one)] = number
    return found


def _teachers(workspace: Workspace, slot: str) -> tuple[str, ...]:
    """Return the bundles that labelled clips of a slot's newest dataset version in this workspace."""
    from pipelines.datasets.versions import find_latest

    newest = find_latest(workspace, Slot.parse(slot))
    return newest.teachers if newest else ()


def _answer(workspace: Workspace, slot: Slot | None, question: str, value: str, form: str, output: Path | None) -> int:
    """Answer one of the questions over slots."""
    found: Any
    if question == "at":
        # before the server is asked for anything
        value = read_moment("--at", value)
    records = ServerRecords(mlflow_uri(workspace))
    if question == "at":
        found = find_champions(records, value, slot)
        answer = tables.champions_answer(found)
    elif question == "backbone":
        found = find_on_backbone(records, value, slot)
        answer = tables.backbone_answer(found)
    else:
        from pipelines.datasets.subject import Subject

        subject = Subject(**{question: value})
        with _index(workspace, records) as db:
            found = find_trained_on(db, records, subject, slot)
        answer = tables.trained_on_answer(found)
    _put(found, answer, records.uri, form, output)
    return 0


def _tree(
    workspace: Workspace, slot: Slot | None, version: int | None, verify: bool, form: str, output: Path | None
) -> int:
    """Show or verify one adapter, or verify the whole registry; return the exit code."""
    records = ServerRecords(mlflow_uri(workspace))
    subject = find_records(records, slot, version) if slot else None
    if subject and form == "cyclonedx":
        _write(_bill_of_materials(records.uri, subject), output)
        return 0
    if verify or subject is None:
        found = _verified(workspace, records, subject)
    else:
        with open_index(workspace, progress) as db:
            found = adapter_tree(db, subject)
    if subject:
        warn_of_override(subject.name, subject.override)
    _put(found, tables.tree_answer(found, verify), records.uri, form, output)
    for fact in found.failed:
        progress(f"failed: {fact.name} {fact.value}: {fact.note}")
    return 1 if found.failed else 0


def _verified(workspace: Workspace, records: ServerRecords, subject: AdapterRecords | None) -> Fact:
    # imported here because it loads gate and training, which the quick answers do not need
    from pipelines.audit.verify import start_verification, verify_adapter, verify_registry

    tools = start_verification(workspace, records, progress)
    if subject is None:
        return verify_registry(tools)
    with open_index(workspace, progress) as db:
        return verify_adapter(db, tools, subject)


def _bill_of_materials(uri: str, subject: AdapterRecords) -> str:
    from pipelines.audit.bill_of_materials import bill_of_materials
    from pipelines.audit.checks.bundle_checks import packages_of
    from pipelines.registry.client.connection import connect

    return bill_of_materials(subject, packages_of(connect(uri), subject.lineage) if subject.lineage else [])


@contextlib.contextmanager
def _index(workspace: Workspace, records: ServerRecords) -> Iterator[sqlite3.Connection]:
    """Open the index, up to date."""
    # a server that does not answer is reported before thousands of files are read
    records.check_server()
    with open_index(workspace, progress) as db:
        yield db


def _put(value: Any, answer: tables.AuditAnswer, source: str, form: str, output: Path | None) -> None:
    """Print an answer, or write it to a file, in this form."""
    if form == "json":
        values = value.to_json() if answer.tree else plain(value)
        _write(json.dumps(values, indent=2, ensure_ascii=False) + "\n", output)
    elif form == "html" and output is not None and output.suffix == ".html":
        # the other languages next to it; a device such as /dev/stdout has no place for them
        for name, page in tables.answer_pages(answer, source, output.name).items():
            _write(page, output.with_name(name))
    elif form == "html":
        _write(tables.answer_page(answer, source), output)
    elif answer.tree:
        _write("\n".join([tree_text(answer.tree), "", *answer.lead]) + "\n", output)
    else:
        title = click.style(answer.title, bold=True)
        _write("\n".join([title, *answer.lead, *map(_table, answer.tables)]) + "\n", output)


def _write(text: str, output: Path | None) -> None:
    if output is None:
        click.echo(text, nl=False)
        return
    output.write_text(text, encoding="utf-8")
    progress(f"written to {output}")


def _table(one: tables.Table) -> str:
    title = click.style(one.title, bold=True)
    if not one.rows:
        return f"\n{title}: {one.empty}"
    if not one.head:
        text = "\n".join(f"- {row[0]}" for row in one.rows)
    elif one.head[-1] == "commands":
        steps = (f"{number}. {what}\n{commands}" for number, (what, commands) in enumerate(one.rows, 1))
        # commands are indented, so that a person sees which lines to copy
        text = "\n".join(step.replace("\n", "\n     ").rstrip() for step in steps)
    else:
        text = table(one.head, one.rows)
    return f"\n{title}\n{text}"


def _refuse_contradiction(
    slot: Slot | None, version: str | None, verify: bool, questions: list[str], form: str
) -> None:
    if len(questions) > 1:
        raise UsageError(f"{' and '.join(f'--{name}' for name in questions)} are two questions; ask one at a time")
    if questions and (version or verify):
        raise UsageError(f"--{questions[0]} asks over versions; leave out {'VERSION' if version else '--verify'}")
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
