"""``elp promote | rollback | retire | run | adapters``."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from elp_core.config import from_dict
from elp_core.decoding import DecodeConfig
from pipelines.cli.options import SLOT, json_option, slot_argument, workspace_option
from pipelines.cli.output import emit, mark, progress, table
from pipelines.cli.override_verbs import Wish, ask_override, override_options, warn_of
from pipelines.local.workspace import Workspace
from pipelines.registry.slot import Slot

if TYPE_CHECKING:
    from pipelines.registry.adapter_version import AdapterVersion
    from pipelines.registry.client.champion import Promotion
    from pipelines.serving.predict import Answer

_by = click.option("--by", default="", metavar="NAME", help="Who decides [default: you].")
_why = click.option("--why", default="", metavar="TEXT", help="Why, for the record.")


@click.command()
@slot_argument
@click.option("--version", type=click.IntRange(min=1), help="Version to promote [default: the challenger].")
@click.option("--again", is_flag=True, help="Promote even a version that was rolled back.")
@override_options
@_by
@_why
@json_option
@workspace_option
def promote(
    slot: Slot,
    version: int | None,
    again: bool,
    wish: Wish | None,
    by: str,
    why: str,
    as_json: bool,
    workspace: Workspace,
) -> None:
    """Make a challenger that passed the gate the champion.

    Only a version whose signed verdict passed against the champion of this moment is taken; the server decides.
    --override asks a second person to let another version serve for some days (docs/how-to/access.md).
    """
    if wish is not None:
        ask_override(slot, version, wish, as_json, workspace)
        return
    from pipelines.registry.client import champion as step

    done = step.promote(
        slot,
        workspace.settings,
        version,
        mlflow_uri=_uri(workspace),
        by=by,
        why=why,
        golden=_golden(workspace, slot),
        again=again,
        log=progress,
    )
    emit(done, as_json, _told)


@click.command()
@slot_argument
@click.option("--version", type=click.IntRange(min=1), help="A former champion [default: the one before].")
@_by
@_why
@json_option
@workspace_option
def rollback(slot: Slot, version: int | None, by: str, why: str, as_json: bool, workspace: Workspace) -> None:
    """Bring back the champion that the present one replaced, or another former one."""
    from pipelines.registry.client import champion as step

    done = step.rollback(slot, mlflow_uri=_uri(workspace), version=version, by=by, why=why, log=progress)
    emit(done, as_json, _told)


@click.command()
@slot_argument
@_by
@click.option("--why", required=True, metavar="TEXT", help="Why, for the record.")
@json_option
@workspace_option
def retire(slot: Slot, by: str, why: str, as_json: bool, workspace: Workspace) -> None:
    """Leave a slot without champion: nothing serves it until another version is promoted."""
    from pipelines.registry.client import champion as step

    emit(step.retire(slot, mlflow_uri=_uri(workspace), why=why, by=by, log=progress), as_json, _told)


@click.command()
@slot_argument
@click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--version", type=click.IntRange(min=1), help="Version to use [default: the champion].")
@click.option("--beam", type=click.IntRange(min=1), help="asr: beam search of this width [default: greedy].")
@click.option("--lm", type=click.Path(path_type=Path), help="asr: a word n-gram model, ARPA or KenLM binary.")
@click.option("--lm-weight", type=float, help=f"Weight of the n-gram model [default: {DecodeConfig.lm_weight}].")
@click.option("--word-bonus", type=float, help=f"Bonus for each word [default: {DecodeConfig.word_bonus}].")
@json_option
@workspace_option
def run(
    slot: Slot,
    files: tuple[Path, ...],
    version: int | None,
    beam: int | None,
    lm: Path | None,
    lm_weight: float | None,
    word_bonus: float | None,
    as_json: bool,
    workspace: Workspace,
) -> None:
    """Answer each file: its words (asr), emotion (ser) or intent (sic).

    For asv: say whether the last file is of the speaker who is heard in those before it, one or more.

    \b
    elp run plant-a/asr call.wav
    elp run plant-a/asv enrolled.wav caller.wav
    """
    from pipelines.registry.adapter_version import CHAMPION
    from pipelines.serving import predict as step

    decode = _decoding(beam, lm, lm_weight, word_bonus)
    answer = step.run(
        slot,
        workspace.settings,
        files,
        mlflow_uri=_uri(workspace),
        cache=workspace.state / "cache",
        version=version or CHAMPION,
        decode=decode,
    )
    emit(answer, as_json, _answer)


def _decoding(
    beam: int | None, lm: Path | None, lm_weight: float | None, word_bonus: float | None
) -> DecodeConfig | None:
    """What the options say; None where none was given, for greedy decoding."""
    path = None if lm is None else str(lm)
    given = {"beam": beam, "lm": path, "lm_weight": lm_weight, "word_bonus": word_bonus}
    told = {name: value for name, value in given.items() if value is not None}
    if told and not beam:
        raise click.UsageError("--lm, --lm-weight and --word-bonus need beam search; add such as --beam 50")
    return from_dict(DecodeConfig, told, "elp run") if told else None


@click.command()
@click.argument("slot", type=SLOT, metavar="[SITE/TASK]", required=False)
@json_option
@workspace_option
def adapters(slot: Slot | None, as_json: bool, workspace: Workspace) -> None:
    """List the adapters of a slot, or the newest and the champion of every slot."""
    from pipelines.registry.client import model_registry as registry

    client = registry.connect(_uri(workspace))
    if slot is not None:
        found = registry.list_versions(client, slot)
    else:
        found = [v for each in registry.list_slots(client) for v in _heads(registry.list_versions(client, each))]
    emit([version.to_json() for version in found], as_json, lambda _: _listing(found))
    for version in found:
        warn_of(version.name, version.override)


def _heads(versions: Sequence[AdapterVersion]) -> list[AdapterVersion]:
    """Of a slot's versions, newest first: the newest, and those with an alias."""
    return [version for position, version in enumerate(versions) if position == 0 or version.aliases]


def _listing(versions: Sequence[AdapterVersion]) -> str:
    from elp_core.metrics.scores import title
    from pipelines.registry.adapter_version import Tags

    rows = [
        [
            str(v.slot),
            v.version,
            mark("override" if v.override else v.status),
            mark(v.tags.get(Tags.VERDICT, "not gated")),
            f"{title(v.tags.get(Tags.METRIC, ''))} {v.tags.get(Tags.VALUE, '')}".strip(),
            v.tags.get(Tags.DATASET, ""),
            v.created.replace("T", " ").removesuffix("+00:00"),
        ]
        for v in versions
    ]
    headers = ["slot", "version", "status", "verdict", "metric", "dataset", "registered (UTC)"]
    return table(headers, rows, empty="no adapters yet; make one with: elp retrain SITE/TASK")


def _told(done: Promotion) -> str:
    if not done.changed:
        return f"{done.slot}: v{done.version} is the champion already; nothing changed"
    if done.version is None:
        return f"{done.slot}: no champion (before: v{done.previous}); changed by {done.by}"
    before = f"before: v{done.previous}" if done.previous else "the first"
    return f"{done.slot}: champion is v{done.version} ({before}); changed by {done.by}"


def _answer(answer: Answer) -> str:
    if answer.score is None:
        if len(answer.files) == 1:
            return answer.answers[0]
        return table(["file", "answer"], zip(answer.files, answer.answers, strict=True))
    if answer.accepted is None or answer.threshold is None:
        return f"score {answer.score:.3f} (this version has no threshold)"
    said = "same speaker" if answer.accepted else "different speakers"
    verdict = "accepted" if answer.accepted else "rejected"
    return f"{verdict}, {said}: score {answer.score:.3f}, threshold {answer.threshold:.3f}"


def _uri(workspace: Workspace) -> str:
    from pipelines.local.addresses import mlflow_uri

    return mlflow_uri(workspace)


def _golden(workspace: Workspace, slot: Slot) -> str:
    """Tag of the golden set that is pinned now; empty where this workspace has none of the slot."""
    from pipelines.datasets.versions import golden_ref
    from pipelines.errors import VersioningError

    try:
        return golden_ref(workspace, "latest", slot).tag
    except VersioningError:
        return ""
