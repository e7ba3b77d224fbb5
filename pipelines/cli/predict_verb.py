"""`elp predict`: the answers of a slot's champion for files; transcripts as text, JSON or subtitles."""

import json
from pathlib import Path
from typing import Any, Literal

import click

from elp_core.config import from_dict, to_dict
from elp_core.decoding import DecodeConfig
from pipelines.cli.options import FiniteNumber, complete_adapter, on_workspace_or_box, slot_argument
from pipelines.cli.output import emit, table, wants_json
from pipelines.cli.progress_bar import seconds_progress
from pipelines.local.workspace import Workspace
from pipelines.registry.adapter_version import CHAMPION
from pipelines.registry.plain_json import plain
from pipelines.registry.slot import Slot
from pipelines.serving.ask_server import ask_server
from pipelines.serving.champion_choice import champion_source
from pipelines.serving.hotwords import read_hotwords
from pipelines.serving.predict_files import Answer, predict_files

_BEAM = 50
"""Width of the search if hotwords are given and no width is."""


@click.command(name="predict")
@slot_argument
@click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option(
    "--version",
    type=click.IntRange(min=1),
    shell_complete=complete_adapter,
    help="Version to use [default: the champion].",
)
@click.option(
    "--format",
    "form",
    type=click.Choice(["text", "json", "srt", "vtt"]),
    default="text",
    help="asr: text, JSON with the times of words, or subtitles.",
)
@click.option(
    "--channel",
    type=click.Choice(["left", "right", "mix"]),
    help="What is taken of a file whose channels differ [default: it is refused].",
)
@click.option("--no-vad", is_flag=True, help="asr: transcribe all of a recording, not only its speech.")
@click.option("--hotwords", type=click.Path(path_type=Path), help="asr: words to prefer, one a line, such as names.")
@click.option(
    "--hotword-weight",
    type=FiniteNumber(),
    help=f"How much they are preferred [default: {DecodeConfig.hotword_weight}].",
)
@click.option("--beam", type=click.IntRange(min=1), help="asr: beam search of this width [default: greedy].")
@click.option("--lm", type=click.Path(), help="asr: a word n-gram model, ARPA or KenLM binary.")
@click.option(
    "--lm-weight", type=FiniteNumber(), help=f"Weight of the n-gram model [default: {DecodeConfig.lm_weight}]."
)
@click.option("--word-bonus", type=FiniteNumber(), help=f"Bonus for each word [default: {DecodeConfig.word_bonus}].")
@click.option("--no-server", is_flag=True, help="Load the adapter even if `elp serve` runs here.")
@on_workspace_or_box
def predict_verb(
    workspace: Workspace,
    box: Path | None,
    slot: Slot,
    files: tuple[Path, ...],
    version: int | None,
    form: str,
    channel: Literal["left", "right", "mix"] | None,
    no_vad: bool,
    no_server: bool,
    **decoding: Any,
) -> None:
    """Recognise the words (asr), emotion (ser) or intent (sic) of each file.

    For asv: compare the voices of the first files with that of the last file. Recordings for asr may last hours.
    If `elp serve` runs in this workspace (or for this box) and has the version, it answers.

    \b
    elp predict plant-a/asr call.wav
    elp predict plant-a/asr meeting.m4a --format srt > meeting.srt
    elp predict plant-a/asv enrolled.wav caller.wav
    elp predict plant-a/asr call.wav --box /var/lib/elp-box
    """
    _check_task(slot, {"format": form != "text", "no_vad": no_vad, **decoding})
    if form in ("srt", "vtt") and len(files) > 1:
        raise click.UsageError(f"--format {form} writes one file of subtitles, got {len(files)} recordings")
    if form != "text" and wants_json():
        raise click.UsageError("--json prints the whole answer; give it without --format")
    decode = _decode(workspace.settings.for_slot(slot).decode, decoding)
    options: dict[str, Any] = {
        "source": champion_source(workspace, box),
        "version": version or CHAMPION,
        "skip_silence": not no_vad,
        "channel": channel or "same",
    }
    answer = None if decode or no_server else ask_server(workspace, slot, files, **options)
    answer = answer or _loaded(workspace, slot, files, decode, options)
    if form == "text":
        emit(answer, _text)
    else:
        click.echo(_written(answer, form), nl=form == "json")


def _loaded(
    workspace: Workspace, slot: Slot, files: tuple[Path, ...], decode: DecodeConfig | None, options: dict[str, Any]
) -> Answer:
    with seconds_progress(quiet=wants_json()) as report:
        return predict_files(slot, workspace.settings, files, decode=decode, progress=report, **options)


def _check_task(slot: Slot, given: dict[str, Any]) -> None:
    """Refuse options of transcripts for a task that has none."""
    names = sorted(f"--{name.replace('_', '-')}" for name, value in given.items() if value not in (None, False))
    if names and slot.task != "asr":
        verb = "is" if len(names) == 1 else "are"
        raise click.UsageError(f"{slot} writes no transcripts; {', '.join(names)} {verb} for SITE/asr")


def _decode(own: DecodeConfig, given: dict[str, Any]) -> DecodeConfig | None:
    """Return the slot's settings with the options that are given in their place; None if there are none."""
    options = {name: value for name, value in given.items() if value is not None}
    if not options:
        return None
    if "hotwords" in options:
        options["hotwords"] = read_hotwords(options["hotwords"])
        options.setdefault("beam", own.beam or _BEAM)
    # a language model needs a width that was chosen for it, not that of the slot's settings
    if "beam" not in options and (not own.beam or "lm" in options):
        raise click.UsageError(
            "--lm, --lm-weight, --word-bonus and --hotword-weight need beam search; add such as --beam 50"
        )
    if "hotword_weight" in options and not options.get("hotwords", own.hotwords):
        raise click.UsageError("--hotword-weight needs hotwords; add --hotwords FILE")
    return from_dict(DecodeConfig, {**to_dict(own), **options}, "elp predict")


def _text(answer: Answer) -> str:
    if answer.score is None:
        if len(answer.files) == 1:
            # a line for each run of speech
            lines = [segment.text for transcript in answer.transcripts for segment in transcript.segments]
            return "\n".join(lines) if lines else _answers(answer)[0]
        return table(["file", "answer"], zip(answer.files, _answers(answer), strict=True))
    if answer.accepted is None or answer.threshold is None:
        return f"score {answer.score:.3f} (this version has no threshold)"
    decision = "accepted, same speaker" if answer.accepted else "rejected, different speakers"
    return f"{decision}: score {answer.score:.3f}, threshold {answer.threshold:.3f}"


def _answers(answer: Answer) -> list[str]:
    if not answer.classes:
        return list(answer.answers)
    return [
        one.label or f"none of these (likeliest: {one.likeliest}, probability {one.probability:.2f})"
        for one in answer.classes
    ]


def _written(answer: Answer, form: str) -> str:
    from elp_core.subtitles import cues, srt, vtt

    if form == "json":
        found = [
            {"file": name, **plain(transcript)}
            for name, transcript in zip(answer.files, answer.transcripts, strict=True)
        ]
        return json.dumps(found[0] if len(found) == 1 else found, indent=2, ensure_ascii=False)
    return {"srt": srt, "vtt": vtt}[form](cues(answer.transcripts[0]))
