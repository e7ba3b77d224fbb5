"""`elp predict`: what an adapter recognises in audio files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from elp_core.config import from_dict
from elp_core.decoding import DecodeConfig
from pipelines.cli.options import on_workspace, slot_argument
from pipelines.cli.output import emit, table
from pipelines.local.addresses import mlflow_uri
from pipelines.local.workspace import Workspace
from pipelines.registry.adapter_version import CHAMPION
from pipelines.registry.slot import Slot
from pipelines.serving.predict_files import Answer, predict_files


def _answer(answer: Answer) -> str:
    if answer.score is None:
        if len(answer.files) == 1:
            return answer.answers[0]
        return table(["file", "answer"], zip(answer.files, answer.answers, strict=True))
    if answer.accepted is None or answer.threshold is None:
        return f"score {answer.score:.3f} (this version has no threshold)"
    decision = "accepted, same speaker" if answer.accepted else "rejected, different speakers"
    return f"{decision}: score {answer.score:.3f}, threshold {answer.threshold:.3f}"


@click.command(name="predict")
@slot_argument
@click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--version", type=click.IntRange(min=1), help="Version to use [default: the champion].")
@click.option("--beam", type=click.IntRange(min=1), help="asr: beam search of this width [default: greedy].")
@click.option("--lm", type=click.Path(), help="asr: a word n-gram model, ARPA or KenLM binary.")
@click.option("--lm-weight", type=float, help=f"Weight of the n-gram model [default: {DecodeConfig.lm_weight}].")
@click.option("--word-bonus", type=float, help=f"Bonus for each word [default: {DecodeConfig.word_bonus}].")
@on_workspace
def predict_verb(
    workspace: Workspace, slot: Slot, files: tuple[Path, ...], version: int | None, **decoding: Any
) -> None:
    """Recognise the words (asr), emotion (ser) or intent (sic) of each file.

    For asv: compare the voices of the first files with that of the last file.

    \b
    elp predict plant-a/asr call.wav
    elp predict plant-a/asv enrolled.wav caller.wav
    """
    options = {name: value for name, value in decoding.items() if value is not None}
    if options and "beam" not in options:
        raise click.UsageError("--lm, --lm-weight and --word-bonus need beam search; add such as --beam 50")
    answer = predict_files(
        slot,
        workspace.settings,
        files,
        mlflow_uri=mlflow_uri(workspace),
        cache=workspace.state / "cache",
        version=version or CHAMPION,
        decode=from_dict(DecodeConfig, options, "elp predict") if options else None,
    )
    emit(answer, _answer)
