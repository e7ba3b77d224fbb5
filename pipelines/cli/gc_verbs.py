"""`elp gc | gc undo`: what is kept, what the retention removes, and why."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from pipelines.cli.options import on_folder, on_workspace, refuse_before_verb
from pipelines.cli.output import emit, progress, table
from pipelines.local.workspace import Workspace, open_workspace
from pipelines.number_text import count, size_text
from pipelines.registry.holds import HeldSubject

if TYPE_CHECKING:
    from pipelines.retention.removal_plan import RemovalPlan
    from pipelines.retention.sweep import Swept, Undone

Row = tuple[str, str, str, int, bool, str]


@click.group(name="gc", invoke_without_command=True)
@click.option("--yes", is_flag=True, help="Carry the plan out. Without it nothing is changed.")
@click.option("--speaker", default="", metavar="ID", help="Remove the files with this speaker's recordings, too.")
@click.option("--clip", default="", metavar="ID", help="The same for one clip (8 digits or more of its id).")
@click.option("--by", default="", metavar="NAME", help="Who decides [default: you].")
@on_folder
@click.pass_context
def gc(ctx: click.Context, folder: Path | None, yes: bool, speaker: str, clip: str, by: str) -> None:
    """Show what the retention keeps and removes, with bytes and reasons; with --yes, remove it.

    What is removed waits in a trash. elp gc undo brings it back, and the elp gc after its time there deletes it for
    good (retention in elp.yaml). --speaker and --clip are for an erasure, after elp data drop.
    """
    if ctx.invoked_subcommand is not None:
        refuse_before_verb(ctx, "folder")
        # the verb looks there for what was named before it
        ctx.find_root().obj = folder
        return
    workspace = open_workspace(folder)
    from pipelines.datasets.subject import Subject
    from pipelines.retention.removal_plan import plan_removal
    from pipelines.retention.sweep import sweep

    subject = Subject(speaker, clip) if speaker or clip else None
    if not yes:
        plan = plan_removal(workspace, progress, subject)
        emit(_plain(plan, None), lambda _: _text(plan, None))
        return
    plan, done = sweep(workspace, progress, subject, by)
    emit(_plain(plan, done), lambda _: _text(plan, done))


@gc.command(name="undo")
@click.argument("subject", metavar="[SITE/TASK[@vN]]", required=False, default="")
@click.option("--by", default="", metavar="NAME", help="Who decides [default: you].")
@on_workspace
def undo_verb(workspace: Workspace, subject: str, by: str) -> None:
    """Bring back what is in the trash: everything, or the adapters of a slot and all data.

    What an erasure removed stays there.
    """
    from pipelines.retention.sweep import undo

    what = HeldSubject.parse(subject) if subject else HeldSubject()
    done = undo(workspace, str(what.slot or ""), what.version, by)
    emit(done._asdict(), lambda _: _undone_text(done))


def _undone_text(done: Undone) -> str:
    lines = [f"restored {count(done.adapters, 'adapter')} and {count(done.files, 'data file')}", *done.left]
    if done.erased:
        lines.append(f"{count(done.erased, 'data file')} of an erasure stay in the trash")
    return "\n".join(lines)


def _rows(plan: RemovalPlan) -> Iterator[Row]:
    """Yield slot, kind, name, bytes, whether it is kept, and the reason of everything."""
    for one in plan.records.adapters:
        decision = plan.adapters[one.key]
        yield one.slot, "adapter", f"v{one.version}", one.bytes, decision.keep, decision.reason
    for tag, decision in plan.data.versions.items():
        kind, site, task, name = tag.split("/")
        size = plan.data.bytes.get(tag, 0) if decision.keep else plan.data.freed.get(tag, 0)
        yield (
            f"{site}/{task}",
            "dataset" if kind == "data" else "golden set",
            name,
            size,
            decision.keep,
            decision.reason,
        )


def _plain(plan: RemovalPlan, done: Swept | None) -> dict[str, Any]:
    names = ("slot", "kind", "name", "bytes", "keep", "reason")
    return {
        "done": done,
        "removed_bytes": plan.removed_bytes,
        "items": [dict(zip(names, row, strict=True)) for row in sorted(_rows(plan))],
        "files": {
            "removed": plan.data.removed,
            "unnamed_bytes": plan.data.unnamed,
            "young_bytes": plan.data.young,
            "held_bytes": plan.data.held,
            "blocked": plan.data.blocked,
            "foreign": plan.data.foreign,
        },
        "in_trash": list(plan.records.trash),
        "without_version": {"runs": plan.records.old_runs, "models": plan.records.old_models},
    }


def _text(plan: RemovalPlan, done: Swept | None) -> str:
    rows = [
        (slot, kind, name, size_text(size), "keep" if keep else "remove", reason)
        for slot, kind, name, size, keep, reason in sorted(_rows(plan))
    ]
    parts = [table(("slot", "kind", "version", "size", "", "reason"), rows, "nothing is stored yet")]
    data = plan.data
    notes = [
        f"{size_text(data.unnamed)} of data files that no version names go, too" if data.unnamed else "",
        f"{size_text(data.young)} of data files that nothing names are in their grace" if data.young else "",
        f"{size_text(data.held)} of data files are kept by holds on speakers" if data.held else "",
        f"no data is removed: {data.blocked}" if data.blocked else "",
        data.foreign,
        f"{count(len(plan.records.trash), 'adapter')} in the trash: elp gc undo" if plan.records.trash else "",
    ]
    old, left = plan.records, done is None
    if old.old_runs or old.old_models:
        what = f"{count(old.old_runs, 'MLflow run')} and {count(old.old_models, 'logged model')} without a version"
        notes.append(f"{what} {'would go' if left else 'are deleted'}, too: their time (runs_days) is over")
    parts.append("\n".join(filter(None, notes)))
    removed = f"{count(len(plan.removed_adapters), 'adapter')} and {count(len(data.removed), 'data file')}"
    if done is None:
        parts.append(f"{removed} would go to the trash ({size_text(plan.removed_bytes)}); do it with: elp gc --yes")
    else:
        emptied = done.emptied_adapters + done.emptied_files
        parts.append(
            f"{removed} are in the trash ({size_text(done.bytes)}); {count(emptied, 'item')} deleted for good"
            + (f", {count(done.rescued, 'data file')} brought back from the trash" if done.rescued else "")
        )
    return "\n\n".join(filter(None, parts))
