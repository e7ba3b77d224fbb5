"""`elp enrol add | match | list | migrate | revoke`: enrolled voices of a speaker verification slot."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from elp_core.channels import Channel
from pipelines.cli.options import FiniteNumber, complete_adapter, on_workspace_or_box, slot_argument
from pipelines.cli.output import emit, table, wants_json
from pipelines.cli.progress_bar import long_work
from pipelines.errors import TemplateError, UsageError
from pipelines.local.addresses import mlflow_uri
from pipelines.local.workspace import Workspace
from pipelines.number_text import count
from pipelines.registry.adapter_version import CHAMPION
from pipelines.registry.slot import Slot
from pipelines.serving.voices.voice_place import VoicePlace, box_voices, workspace_voices

_name = click.argument("name")
_files = click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path, exists=True, dir_okay=False))
_channel = click.option(
    "--channel",
    type=click.Choice(["left", "right", "mix"]),
    help="What is taken of a file whose channels differ [default: it is refused].",
)
_by = click.option("--by", default="", metavar="NAME", help="Who does this [default: you].")
_version = click.option(
    "--version",
    type=click.IntRange(min=1),
    shell_complete=complete_adapter,
    help="Version to use [default: the champion].",
)


@click.group(name="enrol")
def enrol_group() -> None:
    """Enrol voices for SITE/asv, compare recordings with them, and renew them for a new version.

    A template belongs to one adapter version: scores between versions mean nothing, so a voice is renewed before
    another version is promoted. With --box, the voices are those of an edge box, in its own folder.
    """


@enrol_group.command(name="add")
@slot_argument
@_name
@_files
@click.option("--consent", required=True, metavar="TEXT", help="Reference of the speaker's consent, such as a form.")
@click.option("--keep-audio", is_flag=True, help="Keep the recordings, encrypted, so that the voice can be renewed.")
@click.option("--min-seconds", type=FiniteNumber(min=0), help="Sound that is needed [default: 2].")
@_channel
@_version
@_by
@on_workspace_or_box
def add_verb(
    workspace: Workspace,
    box: Path | None,
    slot: Slot,
    name: str,
    files: tuple[Path, ...],
    min_seconds: float | None,
    **given: Any,
) -> None:
    """Enrol the speaker of FILES as NAME.

    \b
    elp enrol add plant-a/asv anna one.wav two.wav three.wav --consent "form 2026-114" --keep-audio
    """
    from pipelines.serving.voices.enrolment import LEAST_SECONDS, Enrolled, enrol_voice
    from pipelines.serving.voices.verifier import read_recordings

    waveforms = read_recordings(files, given["channel"] or "same")
    done = enrol_voice(
        name,
        waveforms,
        _verifier(workspace, box, slot, given["version"]),
        _place(workspace, box),
        consent=given["consent"],
        keep_audio=given["keep_audio"],
        least_seconds=LEAST_SECONDS if min_seconds is None else min_seconds,
        by=given["by"],
    )

    def text(enrolled: Enrolled) -> str:
        made, quality = enrolled.template, enrolled.template.quality
        line = (
            f"{name} is enrolled for {slot} v{made.version} (voice {made.voice[:8]}): "
            f"{count(quality.recordings, 'recording')}, {quality.seconds:g} s"
            + ("" if quality.cohesion is None else f", cohesion {quality.cohesion:.3f}")
        )
        if enrolled.repeated:
            line += f"\n{count(enrolled.repeated, 'repeated recording')} left out: the same waveform counts once"
        alike = ", ".join(enrolled.resembles)
        return f"{line}\nwarning: the voice would be accepted as {alike}, too" if alike else line

    emit(done, text)


@enrol_group.command(name="match")
@slot_argument
@_name
@click.argument("file", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@_channel
@_version
@on_workspace_or_box
def match_verb(
    workspace: Workspace,
    box: Path | None,
    slot: Slot,
    name: str,
    file: Path,
    channel: Channel | None,
    version: int | None,
) -> None:
    """Say whether FILE is spoken by the enrolled NAME."""
    from pipelines.serving.voices.matching import VoiceMatch, match_voice
    from pipelines.serving.voices.verifier import read_recordings

    (waveform,) = read_recordings([file], channel or "same")
    found = match_voice(name, waveform, _verifier(workspace, box, slot, version), _place(workspace, box))

    def text(match: VoiceMatch) -> str:
        decision = f"accepted as {name}" if match.accepted else f"rejected, not {name}"
        return f"{decision}: score {match.score:.3f}, threshold {match.threshold:.3f} ({slot} v{match.version})"

    emit(found, text)


@enrol_group.command(name="list")
@slot_argument
@click.option("--record", is_flag=True, help="With --box: list all enrolments and revocations, with who and why.")
@on_workspace_or_box
def list_verb(workspace: Workspace, box: Path | None, slot: Slot, record: bool) -> None:
    """List the enrolled voices of a slot, with their versions."""
    if record:
        _emit_record(box, slot)
        return
    from pipelines.serving.voices.listing import EnrolledVoice, enrolled_voices

    def text(voices: list[EnrolledVoice]) -> str:
        if not voices:
            return f"no voice is enrolled in {slot}; enrol one: elp enrol add {slot} NAME FILE … --consent TEXT"
        rows = [
            [
                one.name,
                ", ".join(f"v{number}" for number in one.versions),
                one.at[:10],
                one.consent,
                "kept" if one.audio_kept else "not kept",
            ]
            for one in voices
        ]
        return table(["name", "versions", "enrolled", "consent", "recordings"], rows)

    emit(enrolled_voices(slot, _place(workspace, box)), text)


@enrol_group.command(name="migrate")
@slot_argument
@_version
@_by
@on_workspace_or_box
def migrate_verb(workspace: Workspace, box: Path | None, slot: Slot, version: int | None, by: str) -> None:
    """Renew every enrolled voice for a version.

    The recordings that are kept make the new templates. The exit code is 1 if voices are left without one.

    \b
    elp enrol migrate plant-a/asv --version 4
    """
    from pipelines.serving.voices.renewal import Renewal, renew_voices

    verifier = _verifier(workspace, box, slot, version)
    with long_work(quiet=wants_json()) as display:
        show = display.counting("renewing", "voices")
        done = renew_voices(
            verifier,
            _place(workspace, box),
            by=by,
            report=lambda ready, total: show(ready, total, ""),
        )

    def text(renewal: Renewal) -> str:
        first = f"{slot} v{renewal.version}: renewed {len(renewal.renewed)}, had one already {renewal.present}"
        return "\n".join([first, *(f"not renewed: {one.name}: {one.reason}" for one in renewal.left)])

    emit(done, text)
    if done.left:
        raise TemplateError(
            f"{count(len(done.left), 'enrolled voice')} of {slot} cannot be compared with v{done.version}; enrol the "
            f"speaker again, or revoke: elp enrol revoke {slot} NAME --reason TEXT"
        )


@enrol_group.command(name="revoke")
@slot_argument
@_name
@click.option("--reason", required=True, metavar="TEXT", help="The reason, for the record; no person's name.")
@_by
@on_workspace_or_box
def revoke_voice_verb(workspace: Workspace, box: Path | None, slot: Slot, name: str, reason: str, by: str) -> None:
    """Delete the templates of NAME.

    The recordings that this machine keeps are deleted, too.
    """
    from pipelines.serving.voices.enrolment import revoke_voice

    done = revoke_voice(name, slot, _place(workspace, box), reason=reason, by=by)
    emit({"name": name, "templates": done}, lambda _: f"{name} is revoked: {count(done, 'template')} deleted")


def _emit_record(box: Path | None, slot: Slot) -> None:
    """Print what was done to the voices of a box."""
    from pipelines.serving.voices.box_templates import box_templates

    if box is None:
        raise UsageError(
            "--record is for a box, got none; add --box DIR. Enrolments at a server are entries of its ledger"
        )
    found = [one for one in box_templates(box).entries() if one.slot == str(slot)]
    rows = [
        [one.at[:16], one.event, one.voice[:8], f"v{one.version}" if one.version else "", one.by, one.reason]
        for one in found
    ]
    head = ["at (UTC)", "event", "voice", "version", "by", "reason"]
    emit(found, lambda _: table(head, rows, f"no voice of {slot} was ever enrolled at this box"))


def _place(workspace: Workspace, box: Path | None) -> VoicePlace:
    return box_voices(box) if box else workspace_voices(workspace, mlflow_uri(workspace))


def _verifier(workspace: Workspace, box: Path | None, slot: Slot, version: int | None) -> Any:
    from pipelines.serving.champion_choice import champion_source
    from pipelines.serving.voices.verifier import load_verifier

    return load_verifier(slot, workspace.settings, champion_source(workspace, box), version or CHAMPION)
