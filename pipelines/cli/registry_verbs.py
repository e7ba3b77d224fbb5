"""`elp promote | rollback | retire | approve | withdraw | versions`: the champion and its versions."""

from collections.abc import Mapping, Sequence
from typing import Any

import click

from pipelines.cli.options import SLOT, FiniteNumber, complete_adapter, on_workspace, slot_argument
from pipelines.cli.output import emit, mark, progress, table, warn_of_override
from pipelines.errors import VersioningError
from pipelines.local.addresses import mlflow_uri
from pipelines.local.workspace import Workspace
from pipelines.number_text import metric_title, percent
from pipelines.registry.adapter_version import AdapterVersion, Tags
from pipelines.registry.client.connection import connect
from pipelines.registry.client.model_registry import list_slots, list_versions
from pipelines.registry.client.server_api import change_champion, change_override, promote_version
from pipelines.registry.policies import policy_digest
from pipelines.registry.registered_adapter import ChampionChange
from pipelines.registry.slot import Slot

_version = click.option(
    "--version",
    type=click.IntRange(min=1),
    shell_complete=complete_adapter,
    help="A former champion [default: the one before].",
)
_by = click.option("--by", default="", metavar="NAME", help="Who decides [default: you].")
_reason = click.option("--reason", default="", metavar="TEXT", help="The reason, for the record.")


def _changed(done: ChampionChange) -> str:
    if not done.changed:
        return f"{done.slot}: v{done.version} is the champion already; nothing changed"
    if done.version is None:
        return f"{done.slot}: no champion (before: v{done.previous}); changed by {done.by}"
    before = f"before: v{done.previous}" if done.previous else "the first"
    return f"{done.slot}: champion is v{done.version} ({before}); changed by {done.by}"


@click.command(name="promote")
@slot_argument
@click.option(
    "--version",
    type=click.IntRange(min=1),
    shell_complete=complete_adapter,
    help="Version to promote [default: the challenger].",
)
@click.option("--again", is_flag=True, help="Promote even a version that was rolled back.")
@click.option("--override", is_flag=True, help="Ask a second person to let the version serve without a verdict.")
@click.option("--days", type=FiniteNumber(), metavar="N", help="How long the override is in force [default: 7].")
@_by
@_reason
@on_workspace
def promote_verb(workspace: Workspace, slot: Slot, override: bool, days: float | None, **how: Any) -> None:
    """Make a challenger that passed the gate the champion.

    The server accepts only a version whose signed verdict passed against the present champion. --override asks a
    second person to let another version serve for some days (docs/how-to/access.md).
    """
    if days is not None and not override:
        raise click.UsageError("--days belongs to --override")
    if override:
        version, reason, days = how["version"], how["reason"], 7.0 if days is None else days
        if not reason.strip():
            raise click.UsageError("--override needs --reason TEXT")
        if version is None:
            raise click.UsageError("--override needs --version N; it does not choose the challenger")
        asked = change_override(mlflow_uri(workspace), "override", slot, version=version, reason=reason, days=days)
        text = f"{slot} v{version}: {asked['asked_by']} asks; another user approves with: elp approve {slot}"
        emit(asked, lambda _: text)
        return
    from pipelines.datasets.versions import golden_ref

    try:
        golden = golden_ref(workspace, "latest", slot).tag
    except VersioningError:
        golden = ""  # this workspace has no golden set of the slot: there is nothing to compare the verdict's with
    uri, policy = mlflow_uri(workspace), policy_digest(workspace.settings.for_slot(slot).gate)
    emit(promote_version(slot, mlflow_uri=uri, policy=policy, golden=golden, log=progress, **how), _changed)


@click.command(name="approve")
@slot_argument
@on_workspace
def approve_verb(workspace: Workspace, slot: Slot) -> None:
    """Approve the override that another user asked for: the version serves from now on, for the days asked for.

    Set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD to a user with the role promoter.
    """
    done = change_override(mlflow_uri(workspace), "approve", slot)
    warn_of_override(f"{slot} v{done['version']}", f"asked by {done['asked_by']}, approved by {done['approved_by']}")
    emit(done, lambda _: f"{slot}: v{done['version']} serves by override until {done['until'][:16]} UTC")


@click.command(name="withdraw")
@slot_argument
@_reason
@on_workspace
def withdraw_verb(workspace: Workspace, slot: Slot, reason: str) -> None:
    """End an override before its time, and bring the champion before it back. Or withdraw the request for one."""
    done = change_override(mlflow_uri(workspace), "withdraw", slot, reason=reason)
    emit(done, lambda _: f"{slot}: the override of v{done['version']} is over")


@click.command(name="rollback")
@slot_argument
@_version
@_by
@_reason
@on_workspace
def rollback_verb(workspace: Workspace, slot: Slot, **how: Any) -> None:
    """Bring back the champion that the present one replaced, or another former one."""
    emit(change_champion(mlflow_uri(workspace), "rollback", slot, **how), _changed)


@click.command(name="retire")
@slot_argument
@_by
@click.option("--reason", required=True, metavar="TEXT", help="The reason, for the record.")
@on_workspace
def retire_verb(workspace: Workspace, slot: Slot, **how: Any) -> None:
    """Leave a slot without champion: no version serves it until another one is promoted."""
    emit(change_champion(mlflow_uri(workspace), "retire", slot, **how), _changed)


@click.group(name="versions")
def versions_group() -> None:
    """List the adapters of a workspace."""


@versions_group.command(name="list", short_help="List the adapters of a slot, or of every slot.")
@click.argument("slot", type=SLOT, metavar="[SITE/TASK]", required=False)
@on_workspace
def list_adapters(workspace: Workspace, slot: Slot | None) -> None:
    """List the adapters of a slot, or the newest and the champion of every slot."""
    client = connect(mlflow_uri(workspace))
    if slot is not None:
        found = list_versions(client, slot)
    else:
        every = (list_versions(client, each) for each in list_slots(client))
        # newest first: the newest one, and those with an alias
        found = [v for listed in every for place, v in enumerate(listed) if place == 0 or v.aliases]
    emit([version.to_json() for version in found], lambda _: _listing(found))
    for version in found:
        warn_of_override(version.name, version.override)


def _metric(tags: Mapping[str, str]) -> str:
    """Return the metric of a version in per cent: on the golden set, before the gate on the validation split."""
    name, value = metric_title(tags.get(Tags.METRIC, "")), tags.get(Tags.VALUE, "")
    try:
        return f"{name} {percent(float(value))}"
    except ValueError:
        # a number that was not finite has no value, and a person may write any tag
        return f"{name} {value}".strip()


def _listing(versions: Sequence[AdapterVersion]) -> str:
    rows = [
        [
            v.slot,
            v.version,
            mark("override" if v.override else v.status),
            mark(v.tags.get(Tags.VERDICT, "not gated")),
            _metric(v.tags),
            v.dataset,
            v.created.replace("T", " ").removesuffix("+00:00"),
        ]
        for v in versions
    ]
    headers = ["slot", "version", "status", "verdict", "metric", "dataset", "registered (UTC)"]
    return table(headers, rows, empty="no adapters yet; make one with: elp retrain SITE/TASK")
