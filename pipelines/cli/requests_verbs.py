"""`elp requests`: what `elp serve` has answered and logged."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

import click

from elp_core.files import replacing
from pipelines.cli.options import SLOT, FiniteNumber, on_workspace, on_workspace_or_box, slot_argument
from pipelines.cli.output import emit, table
from pipelines.errors import UsageError, WorkspaceError
from pipelines.local.workspace import Workspace
from pipelines.number_text import count
from pipelines.registry.slot import Slot
from pipelines.request_log.log_file import (
    LogRemoval,
    clean_logs,
    clear_log,
    erase_subject,
    log_path,
    logged_slots,
    opened_log,
    remove_excess,
)
from pipelines.request_log.log_reading import LoggedRequest, RequestFilter, read_requests, request_page
from pipelines.request_log.request_exchange import exported_lines, import_lines

_TEXT = 60
"""Characters of an answer in the table; --json has all of it."""


@dataclass(frozen=True)
class SlotRemoval:
    """What was removed from the log of one slot."""

    slot: str
    requests: int
    recordings: int


@click.group()
def requests() -> None:
    """Show what elp serve has answered and logged, take it to another host, and remove it.

    A slot logs nothing until its settings name a share: requests: {share: 0.05}. Audio is kept only with audio_consent.
    """


@requests.command(name="list", short_help="List the logged requests of a slot, the newest first.")
@slot_argument
@click.option("--below", type=FiniteNumber(0, 1), metavar="SHARE", help="Only with a confidence below this.")
@click.option("--lowest", is_flag=True, help="The lowest confidence first.")
@click.option("--limit", type=click.IntRange(min=1), default=20, show_default=True, help="Requests, at most.")
@on_workspace_or_box
def list_requests(
    workspace: Workspace, box: Path | None, slot: Slot, below: float | None, lowest: bool, limit: int
) -> None:
    """List the logged requests of a slot. The console shows them with their sound."""
    with opened_log(_existing(workspace, slot)) as db:
        _, found = request_page(db, RequestFilter(below=below, lowest_first=lowest), 0, limit)
    rows = [{**asdict(one.record), "slot": str(slot), "number": one.number} for one in found]
    emit([{key: value for key, value in row.items() if key != "features"} for row in rows], lambda _: _table(found))


@requests.command(name="export", short_help="Write logged requests to a file, for another host.")
@slot_argument
@click.option("--to", "target", type=click.Path(path_type=Path, dir_okay=False), required=True, metavar="FILE")
@click.option("--after", type=click.IntRange(min=0), default=0, metavar="NUMBER", help="Only later ones than this.")
@on_workspace_or_box
def export_requests(workspace: Workspace, box: Path | None, slot: Slot, target: Path, after: int) -> None:
    """Write the logged requests of a slot to FILE, with their audio and its consent.

    The output names the highest number: the next export continues there with --after.
    """
    with opened_log(_existing(workspace, slot)) as db, replacing(target) as temporary:
        # recordings of people: for the owner only, from the first byte on
        temporary.touch(mode=0o600)
        found = list(read_requests(workspace.state, slot, after))
        with temporary.open("w", encoding="utf-8") as file:
            file.writelines(f"{line}\n" for line in exported_lines(db, found))
    last = found[-1].number if found else after
    text = f"{count(len(found), 'request')} of {slot} written to {target}; continue with --after {last}"
    emit({"slot": str(slot), "requests": len(found), "last": last, "file": str(target)}, lambda _: text)


@requests.command(name="import", short_help="Add the requests that another host has served.")
@slot_argument
@click.argument("file", type=click.Path(path_type=Path, exists=True, dir_okay=False), metavar="FILE")
@on_workspace
def import_requests(workspace: Workspace, slot: Slot, file: Path) -> None:
    """Add the requests of FILE, which elp requests export wrote on the serving host. Known ones are left out.

    The bounds of this workspace apply from now on, and the audio keeps the time at which it is removed.
    """
    with opened_log(log_path(workspace.state, slot), create=True) as db:
        with file.open("rb") as lines:
            new, number = import_lines(db, slot, lines)
        remove_excess(db, workspace.settings.for_slot(slot).requests, datetime.now(UTC))
    text = f"{new} of {count(number, 'request')} of {file} are new in the log of {slot}"
    emit({"slot": str(slot), "new": new, "requests": number}, lambda _: text)


@requests.command(name="clean", short_help="Remove what is over its time or above the bounds, now.")
@on_workspace_or_box
def clean_requests(workspace: Workspace, box: Path | None) -> None:
    """Remove what is over its time or above the bounds from every log.

    A running elp serve does it every 30 seconds, and the supervision of elp up at each look at the inboxes.
    """
    gone = clean_logs(workspace.state, lambda slot: workspace.settings.for_slot(slot).requests)
    emit([_removal(slot, one) for slot, one in gone.items()], _removed)


@requests.command(name="erase", short_help="Remove all logged requests of a speaker or of a recording.")
@click.argument("slot", type=SLOT, metavar="[SITE/TASK]", required=False)
@click.option("--speaker", default="", metavar="ID", help="As the clients name the speaker.")
@click.option("--clip", default="", metavar="ID", help="A recording (8 digits or more of its id).")
@on_workspace_or_box
def erase_requests(workspace: Workspace, box: Path | None, slot: Slot | None, speaker: str, clip: str) -> None:
    """Remove every logged request of a speaker or of a recording, with its audio, in one slot or in all.

    The content is overwritten in the file. What was taken into the data: elp erasure plan.
    """
    from pipelines.datasets.subject import Subject

    subject, found = Subject(speaker, clip), []
    for one in [slot] if slot else logged_slots(workspace.state):
        with opened_log(_existing(workspace, one)) as db:
            found.append(_removal(one, erase_subject(db, speaker=subject.speaker, clip=subject.clip)))
    emit(found, _removed)


@requests.command(name="clear", short_help="Remove all logged requests of a slot.")
@slot_argument
@click.confirmation_option("--yes", prompt="Remove all logged requests of this slot, with their audio?")
@on_workspace_or_box
def clear_requests(workspace: Workspace, box: Path | None, slot: Slot) -> None:
    """Remove all logged requests of a slot, with their audio; of a damaged log, the file."""
    path = _existing(workspace, slot)
    try:
        with opened_log(path) as db:
            gone = clear_log(db)
    except WorkspaceError:
        path.unlink()
        gone = LogRemoval()
    emit([_removal(slot, gone)], _removed)


def _existing(workspace: Workspace, slot: Slot) -> Path:
    path = log_path(workspace.state, slot)
    if not path.is_file():
        raise UsageError(
            f"{slot} has no log of requests; set slots.{slot}.requests.share in elp.yaml and start elp serve again"
        )
    return path


def _removal(slot: Slot, gone: LogRemoval) -> SlotRemoval:
    return SlotRemoval(str(slot), gone.requests, gone.recordings)


def _removed(found: list[SlotRemoval]) -> str:
    rows = [(one.slot, one.requests, one.recordings) for one in found]
    return table(("slot", "requests removed", "recordings removed"), rows, "there is no log of requests")


def _table(found: list[LoggedRequest]) -> str:
    rows = [
        (
            one.number,
            one.record.at[:19].replace("T", " "),
            f"v{one.record.version}",
            one.record.confidence,
            one.record.block,
            _answer(one),
        )
        for one in found
    ]
    return table(("number", "answered (UTC)", "by", "confidence", "session", "answer"), rows, "no request matches")


def _answer(one: LoggedRequest) -> str:
    answer = one.record.answer
    if answer.score is not None:
        return f"score {answer.score:.3f}"
    text = answer.label or answer.text
    return text if len(text) <= _TEXT else f"{text[: _TEXT - 2]} …"
