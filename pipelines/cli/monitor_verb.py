"""`elp monitor`: whether the audio that a site sends is still like the golden set of its slot."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from pipelines.cli.options import SLOT, on_workspace
from pipelines.cli.output import emit, fields, progress, table
from pipelines.local.addresses import mlflow_uri
from pipelines.local.workspace import Workspace
from pipelines.monitoring.entry_text import entry_text, entry_title
from pipelines.monitoring.look_list import monitor_folder, recorded_looks
from pipelines.number_text import count, metric_title, percent
from pipelines.registry.slot import Slot

if TYPE_CHECKING:
    from pipelines.monitoring.fleet_status import SlotEvidence
    from pipelines.monitoring.labels import LabelResult
    from pipelines.monitoring.monitor_slot import LookResult
    from pipelines.monitoring.sent_audio import AudioSource

ALARM = 4
"""Exit code of a look while an alarm is open."""


@click.command(name="monitor")
@click.argument("slot", type=SLOT, metavar="SITE/TASK", required=False)
@click.option(
    "--from",
    "source",
    type=click.Path(path_type=Path),
    metavar="FOLDER|MANIFEST",
    help="What the site sent: a subfolder for each session, or JSON lines with a session.",
)
@click.option(
    "--labels",
    type=click.Path(path_type=Path),
    metavar="MANIFEST",
    help="Transcripts or labels that arrived later: the measured error, with a bound.",
)
@click.option("--column", default="", metavar="NAME", help="Column of the manifest that names the session.")
@click.option("--list", "listing", is_flag=True, help="List the looks so far; without a source, that is the default.")
@click.option("--retrain", is_flag=True, help="Retrain the slot if the policy asks for it; needs elp up.")
@click.option("--restart", is_flag=True, help="End the alarm: the evidence starts again from nothing.")
@click.option("--reason", default="", metavar="TEXT", help="The reason of the restart, for the record.")
@on_workspace
def monitor_verb(
    workspace: Workspace,
    slot: Slot | None,
    source: Path | None,
    labels: Path | None,
    column: str,
    listing: bool,
    retrain: bool,
    restart: bool,
    reason: str,
) -> None:
    """Compare what a site sent with the golden set of a slot, session by session.

    Without --from, look at monitor.source of the settings, or at the log of the requests that elp serve has answered;
    if there is neither, list the looks so far. Without a slot, list all monitored slots. The exit code is 4 while an
    alarm is open.

    \b
    elp monitor plant-a/asr --from recordings/2026-11-29
    elp monitor plant-a/asr --from sent.jsonl --column call
    elp monitor plant-a/asr --restart --reason "new microphones, see ticket"
    elp monitor
    """
    if slot is None:
        if source or labels or column or listing or retrain or restart or reason:
            raise click.UsageError("the options are for one slot; name it: elp monitor SITE/TASK …")
        from pipelines.monitoring.fleet_status import fleet_evidence

        emit(fleet_evidence(workspace.state), _fleet)
        return
    if reason and not restart:
        raise click.UsageError("--reason belongs to --restart")
    if (retrain and (labels or listing or restart)) or (column and not (source or labels)):
        raise click.UsageError("--retrain belongs to a look, --column to --from or --labels")
    if sum(map(bool, (source, labels, restart, listing))) > 1:
        raise click.UsageError("--from, --labels, --restart and --list are four commands; give one of them")
    folder = monitor_folder(workspace.state, slot)
    if restart:
        from pipelines.monitoring.monitor_slot import restart_monitor

        restart_monitor(folder, slot, reason)
        emit({"slot": str(slot), "restarted": True, "reason": reason}, lambda _: f"{slot}: the monitor starts again")
    elif labels:
        _measure(workspace, slot, labels, column)
    elif not listing and (found := _source(workspace, slot, source, column)):
        _look(workspace, slot, found, retrain)
    elif retrain:
        raise click.UsageError(f"{slot} has no source of audio: name one with --from, or set monitor.source")
    else:
        entries = list(recorded_looks(folder))
        emit(entries, lambda _: _listed(slot, entries))


def _measure(workspace: Workspace, slot: Slot, labels: Path, column: str) -> None:
    from pipelines.monitoring.labels import measure_labels

    found = measure_labels(
        slot,
        workspace.settings,
        labels,
        mlflow_uri=mlflow_uri(workspace),
        cache=workspace.cache,
        folder=monitor_folder(workspace.state, slot),
        column=column,
        log=progress,
    )
    emit(found, _measured)


def _source(workspace: Workspace, slot: Slot, source: Path | None, column: str) -> AudioSource | None:
    from pipelines.monitoring.sent_audio import SentAudio
    from pipelines.orchestration.monitor_source import audio_source

    if source:
        return SentAudio(source, column, log=progress)
    return audio_source(workspace, slot, "", "", progress)


def _look(workspace: Workspace, slot: Slot, source: AudioSource, retrain: bool) -> None:
    # torch and the registry's client are for a look only
    from pipelines.orchestration.monitor_source import look_at_source

    done = look_at_source(workspace, slot, source, progress)
    emit(done, _shown)
    if retrain:
        from pipelines.orchestration.monitor_retrain import retrain_if_needed

        decision = retrain_if_needed(workspace, slot, done)
        progress(f"{slot}: retraining {decision.outcome}: {'; '.join(decision.reasons)}")
    if done.look.alarm_since:
        click.get_current_context().exit(ALARM)


def _shown(done: LookResult) -> str:
    from pipelines.monitoring.look_report import estimate_text, move_text
    from pipelines.monitoring.reference_record import FEW_BLOCKS
    from pipelines.registry.monitor_names import TITLES

    look = done.look
    rows = [(TITLES.get(move.name, move.name), move_text(move), f"{move.evidence:.0%}") for move in look.moves]
    blocks = f"{count(look.blocks, 'new block')} of {count(look.clips, 'recording')}"
    left_out = [
        *([f"{look.known} counted before"] if look.known else []),
        *([f"{count(len(look.short), 'session')} with too few recordings"] if look.short else []),
        *([f"{count(len(done.unreadable), 'recording')} unreadable"] if done.unreadable else []),
        *([f"the last new block was counted on {look.last_counted}"] if look.last_counted and not look.blocks else []),
    ]
    few = f"{count(look.reference_blocks, 'block')}; with fewer than {FEW_BLOCKS}, many changes are found late"
    return "\n".join(
        (
            f"{look.slot}: {done.sentence}",
            fields(
                [
                    ("look", look.number),
                    ("blocks", "; ".join((blocks, *left_out))),
                    *([("golden set", few)] if look.few_blocks else []),
                    ("estimated error", estimate_text(look.estimate)),
                    ("report", done.report),
                ]
            ),
            table(["measurement", "usual to now", "way to an alarm"], rows),
        )
    )


def _measured(found: LabelResult) -> str:
    bound, sessions = found.bound, count(found.bound.sessions, "session")
    title = f"{found.slot} v{found.version}: {metric_title(found.metric)} {percent(bound.mean)} of {sessions}"
    if not bound.steady:
        return f"{title}; it changed meanwhile, so there is no bound"
    return f"{title}, 95 % interval at every look: {percent(bound.low)} to {percent(bound.high)}"


def _listed(slot: Slot, entries: Sequence[dict[str, Any]]) -> str:
    empty = f"{slot} was not monitored yet: elp monitor {slot} --from FOLDER"
    return table(["at", "what", "new blocks", "found"], [_entry(one) for one in entries], empty)


def _entry(one: dict[str, Any]) -> tuple[str, str, int | None, str]:
    blocks = one["blocks"] if one["kind"] == "look" else len(one["rates"]) if one["kind"] == "labels" else None
    return one["at"], entry_title(one), blocks, entry_text(one)


def _fleet(found: Sequence[SlotEvidence]) -> str:
    rows = [(one.slot, one.looks, one.day, one.e_value, one.alarm_since, one.changed) for one in found]
    headers = ["slot", "looks", "last day", "e-value", "alarm since", "changed, over the fleet"]
    return table(headers, rows, "no slot was monitored yet: elp monitor SITE/TASK --from FOLDER")
