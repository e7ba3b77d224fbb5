"""``elp data add | log | show | golden | drop``; the other verbs of ``elp data`` have modules of their own."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from pipelines.cli.align_option import align_option, chosen_aligner
from pipelines.cli.correct_verbs import correct_data, readmit_data
from pipelines.cli.dry_run import filled_text, show_plan
from pipelines.cli.inspect_verb import inspect_data
from pipelines.cli.options import complete_dataset, on_current_workspace, options_of_delivery, slot_argument
from pipelines.cli.output import emit, progress, table, wants_json
from pipelines.cli.progress_bar import clips_progress
from pipelines.cli.pseudo_label_verb import pseudo_label_data
from pipelines.cli.quarantine_verb import show_quarantine
from pipelines.cli.renormalise_verb import renormalise_data
from pipelines.cli.resplit_verb import resplit_data
from pipelines.cli.suggest_verb import suggest_data
from pipelines.cli.version_verb import show_version
from pipelines.datasets.readiness import needs_text
from pipelines.local.workspace import Workspace
from pipelines.number_text import count, duration
from pipelines.registry.description import shown_units
from pipelines.registry.slot import Slot

if TYPE_CHECKING:
    from pipelines.datasets.dataset_version import DatasetVersion, GoldenRef
    from pipelines.datasets.drop import Dropped


@click.group()
def data() -> None:
    """Take in audio, list and show dataset versions."""


data.add_command(correct_data)
data.add_command(renormalise_data)
data.add_command(readmit_data)
data.add_command(resplit_data)
data.add_command(show_version)
data.add_command(inspect_data)
data.add_command(show_quarantine)
data.add_command(suggest_data)
data.add_command(pseudo_label_data)


@data.command(name="add")
@slot_argument
@click.argument("source", type=click.Path(path_type=Path))
@options_of_delivery
@click.option("--dry-run", is_flag=True, help="Say what would be taken in, and change nothing.")
@align_option
@on_current_workspace
def add_data(
    workspace: Workspace,
    slot: Slot,
    source: Path,
    importer: str | None,
    dry_run: bool,
    align: str | None,
    **options: Any,
) -> None:
    """Take SOURCE in as a new version of the slot's data.

    Every clip is measured and checked; a bad one goes to quarantine with its reason. A delivery that is bad as a whole
    is refused, and nothing changes. The same delivery again makes no new version.

    \b
    elp data add plant-a/asr delivery/manifest.jsonl
    elp data add plant-a/asr recordings/ --condition headset
    elp data add plant-a/asr clips.csv --columns path=file,text=sentence --dry-run
    elp data add plant-a/asr meetings/ --align champion
    """
    from pipelines.datasets.importers import accepting, source_remarks
    from pipelines.datasets.ingest import add_delivery
    from pipelines.datasets.slot_needs import doubtful_names, version_needs
    from pipelines.datasets.versions import find_latest

    if importer is None and len(others := [one.name for one in accepting(source)]) > 1:
        progress(f"{source} is read as {others[0]}; it is also {', '.join(others[1:])}: choose with --format")
    aligner = chosen_aligner(workspace, slot, align)
    if dry_run:
        show_plan(workspace, slot, source, importer, options, aligner)
        return
    before = find_latest(workspace, slot)
    with clips_progress(quiet=wants_json()) as report:
        version = add_delivery(workspace, slot, source, importer, options, report, aligner=aligner)
    # a delivery that was taken in before makes no version
    new = before is None or version.version > before.version
    remarks = source_remarks(source, importer, options["format_options"])
    warnings, needs = [*remarks, *doubtful_names(workspace, version)], version_needs(workspace, version)
    emit(
        {"new": new, "dataset": version, "warnings": warnings, "needs": needs},
        lambda _: "\n".join([_added(version, new, needs), *warnings]),
    )


@data.command(name="log")
@slot_argument
@on_current_workspace
def show_log(slot: Slot, workspace: Workspace) -> None:
    """List the versions of a slot's data, the newest first."""
    from pipelines.datasets.versions import dataset_versions

    emit(dataset_versions(workspace, slot)[::-1], lambda found: _log(slot, found))


@data.command(name="golden", short_help="Pin a version's test split as the slot's golden set.")
@slot_argument
@click.option(
    "--from",
    "source",
    required=True,
    metavar="VERSION",
    shell_complete=complete_dataset,
    help="Dataset version (v3, its tag) or revision.",
)
@click.option(
    "--trials",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    metavar="FILE",
    help="List of verification trials, lines such as: 1 id10270/x/00001.wav id10270/y/00002.wav.",
)
@on_current_workspace
def pin_golden_set(workspace: Workspace, slot: Slot, source: str, trials: Path | None) -> None:
    """Pin the test split of a dataset version as the slot's golden set.

    Adapters are judged on it from then on, challenger and champion alike. The first one is pinned automatically.
    """
    from pipelines.datasets.golden_set import pin_golden

    emit(pin_golden(workspace, slot, source, trials), _pinned)


@data.command(name="drop", short_help="Make a new version without a speaker, a clip or pseudo-labels.")
@slot_argument
@click.option("--speaker", default="", metavar="ID", help="Drop every clip of this speaker.")
@click.option("--clip", default="", metavar="ID", help="Drop one clip, by its id or its first 8 digits or more.")
@click.option("--teacher", default="", metavar="DIGEST", help="Drop every clip that this bundle labelled.")
@click.option("--delivery", default="", metavar="NAME", help="Drop the pseudo-labels of one delivery.")
@on_current_workspace
def drop_data(workspace: Workspace, slot: Slot, speaker: str, clip: str, teacher: str, delivery: str) -> None:
    """Make a new version of the slot's data without a speaker, a clip, or pseudo-labels.

    If the golden set holds such clips, a new one is made. Later deliveries do not bring the clips back. Older
    versions keep them; for the other steps of an erasure, see: elp erasure plan. Recordings whose pseudo-labels are
    dropped come back when a person has labelled them.
    """
    from pipelines.datasets.drop import drop_clips
    from pipelines.datasets.drop_taught import TaughtClips, drop_taught
    from pipelines.datasets.slot_needs import version_needs
    from pipelines.datasets.subject import Subject

    if teacher or delivery:
        if speaker or clip:
            raise click.UsageError("pseudo-labels are dropped alone; give --speaker or --clip in another command")
        without = drop_taught(workspace, slot, TaughtClips(teacher, delivery))
        emit(without, lambda found: f"{slot} is at {found.name} without these pseudo-labels: {_size(found)}")
        return
    done = drop_clips(workspace, slot, Subject(speaker, clip))
    emit(done, lambda _: _dropped(done, version_needs(workspace, done.dataset)))


def _added(version: DatasetVersion, new: bool, needs: Sequence[str]) -> str:
    if not new:
        out = len(version.withdrawn)
        stays = (
            f"\n{count(out, 'dropped clip')} of {version.slot} left out of every delivery; if one is wanted again: "
            f"elp data readmit {version.slot} --clip ID"
        )
        same = f"nothing new in this delivery: {version.slot} stays at {version.name}{stays if out else ''}"
        return "\n".join(filter(None, [same, needs_text(needs)]))
    entry = version.deliveries[-1]
    lines = [
        f"{version.slot} is at {version.name}: {count(entry.clips, 'clip')} added, {_size(version)}",
        f"{count(len(entry.alignment.recordings), 'recording')} aligned with {entry.alignment}"
        if entry.alignment
        else "",
        f"{count(entry.repeats, 'clip')} taken in before" if entry.repeats else "",
        f"pseudo-labels of {count(entry.relabelled, 'clip')} replaced" if entry.relabelled else "",
        f"{count(entry.withdrawn, 'clip')} dropped before, left out again; if one is wanted again: "
        f"elp data readmit {version.slot} --clip ID"
        if entry.withdrawn
        else "",
        f"{count(entry.quarantined, 'clip')} went to quarantine; see: elp data quarantine {version.slot}"
        if entry.quarantined
        else "",
        f"new units of the head: {shown_units(entry.new_units)}" if entry.new_units else "",
        f"groups that {version.slot} had no clip of: {', '.join(entry.new_groups)}" if entry.new_groups else "",
        f"tags were removed from {count(entry.untagged, 'transcript')}" if entry.untagged else "",
        "closed set: speakers are shared between the splits" if version.closed_set else "",
        filled_text(entry.filled),
        needs_text(needs),
    ]
    return "\n".join(filter(None, lines))


def _dropped(done: Dropped, needs: Sequence[str]) -> str:
    version = done.dataset
    lines = [
        f"{version.slot} is at {version.name} without {count(done.clips, 'clip')}: {_size(version)}",
        f"{count(done.quarantined, 'file')} taken out of quarantine" if done.quarantined else "",
        f"kept in quarantine without sound: {count(done.muted, 'other file')} with their paths" if done.muted else "",
        f"{_pinned(done.golden)}; verdicts on the one before are out of date" if done.golden else "",
        *(
            f"kept: {count(number, 'clip')} of {name!r}; it differs only by case, width, blanks or a channel's ending"
            for name, number in done.similar.items()
        ),
        f"older versions still hold them; see the next steps with: elp erasure plan {version.slot}",
        needs_text(needs),
    ]
    return "\n".join(filter(None, lines))


def _size(version: DatasetVersion) -> str:
    return f"{version.clips:,} in all ({duration(version.seconds)}, {count(version.speakers, 'speaker')})"


def _log(slot: Slot, found: list[DatasetVersion]) -> str:
    rows = [
        (
            version.name,
            version.created.replace("T", " ")[:16],
            f"{version.clips:,}",
            f"{version.seconds / 60:.1f}",
            version.speakers,
            version.quarantined,
            version.golden.rsplit("/", 1)[-1] + (" (closed set)" if version.closed_set else ""),
            version.deliveries[-1].source,
            version.revision[:9],
        )
        for version in found
    ]
    headers = ("version", "made (UTC)", "clips", "minutes", "speakers", "quarantined", "golden", "source", "revision")
    return table(headers, rows, f"{slot} has no dataset version yet; take audio in with: elp data add {slot} SOURCE")


def _pinned(ref: GoldenRef) -> str:
    note = "; closed set: its speakers are in training too" if ref.closed_set else ""
    return (
        f"the golden set of {ref.slot} is {ref.tag}: {count(ref.clips, 'clip')} of {count(ref.speakers, 'speaker')}, "
        f"{duration(ref.seconds)}, from {ref.source_tag}{note}" + (f"\n{ref.evaluation}" if ref.evaluation else "")
    )
