"""`elp promote | rollback | retire | approve | withdraw | versions`: which version of a slot serves."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from pipelines.cli.options import SLOT, json_option, slot_argument, workspace_option
from pipelines.cli.output import emit, mark, progress, table, warn_of_override
from pipelines.local.addresses import mlflow_uri
from pipelines.local.workspace import Workspace
from pipelines.registry.slot import Slot

if TYPE_CHECKING:
    from pipelines.registry.adapter_version import AdapterVersion
    from pipelines.registry.client.champion import Promotion

_by = click.option("--by", default="", metavar="NAME", help="Who decides [default: you].")
_reason = click.option("--reason", default="", metavar="TEXT", help="The reason, for the record.")


@click.command()
@slot_argument
@click.option("--version", type=click.IntRange(min=1), help="Version to promote [default: the challenger].")
@click.option("--again", is_flag=True, help="Promote even a version that was rolled back.")
@click.option("--override", is_flag=True, help="Ask a second person to let the version serve without a verdict.")
@click.option("--days", type=float, metavar="N", help="How long the override is in force [default: 7].")
@_by
@_reason
@json_option
@workspace_option
def promote(
    slot: Slot,
    version: int | None,
    again: bool,
    override: bool,
    days: float | None,
    by: str,
    reason: str,
    as_json: bool,
    workspace: Workspace,
) -> None:
    """Make a challenger that passed the gate the champion.

    The server accepts only a version whose signed verdict passed against the present champion. --override asks a
    second person to let another version serve for some days (docs/how-to/access.md).
    """
    if days is not None and not override:
        raise click.UsageError("--days belongs to --override")
    if override:
        _request_override(slot, version, reason, 7.0 if days is None else days, as_json, workspace)
        return
    from pipelines.registry.client import champion

    done = champion.promote(
        slot,
        workspace.settings,
        version,
        mlflow_uri=mlflow_uri(workspace),
        by=by,
        why=reason,
        golden=_golden(workspace, slot),
        again=again,
        log=progress,
    )
    emit(done, as_json, _changed)


def _request_override(
    slot: Slot, version: int | None, reason: str, days: float, as_json: bool, workspace: Workspace
) -> None:
    from pipelines.registry.client import server_api

    if not reason.strip():
        raise click.UsageError("--override needs --reason TEXT")
    if version is None:
        raise click.UsageError("--override needs --version N; it does not choose the challenger")
    asked = server_api.request_override(mlflow_uri(workspace), slot, version, reason, days)
    text = f"{slot} v{version}: {asked['asked_by']} asks; another user approves with: elp approve {slot}"
    emit(asked, as_json, lambda _: text)


@click.command()
@slot_argument
@json_option
@workspace_option
def approve(slot: Slot, as_json: bool, workspace: Workspace) -> None:
    """Approve the override that another user asked for: the version serves from now on, for the days asked for.

    Set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD to a user with the role promoter.
    """
    from pipelines.registry.client import server_api

    done = server_api.approve_override_request(mlflow_uri(workspace), slot)
    emit(done, as_json, lambda d: f"{slot}: v{d['version']} serves by override until {d['until'][:16]} UTC")
    warn_of_override(f"{slot} v{done['version']}", f"asked by {done['asked_by']}, approved by {done['approved_by']}")


@click.command()
@slot_argument
@_reason
@json_option
@workspace_option
def withdraw(slot: Slot, reason: str, as_json: bool, workspace: Workspace) -> None:
    """End an override before its time, and bring the champion before it back. Or withdraw the request for one."""
    from pipelines.registry.client import server_api

    done = server_api.withdraw_override_request(mlflow_uri(workspace), slot, reason)
    emit(done, as_json, lambda d: f"{slot}: the override of v{d['version']} is over")


@click.command()
@slot_argument
@click.option("--version", type=click.IntRange(min=1), help="A former champion [default: the one before].")
@_by
@_reason
@json_option
@workspace_option
def rollback(slot: Slot, version: int | None, by: str, reason: str, as_json: bool, workspace: Workspace) -> None:
    """Bring back the champion that the present one replaced, or another former one."""
    from pipelines.registry.client import champion

    uri = mlflow_uri(workspace)
    emit(champion.rollback(slot, mlflow_uri=uri, version=version, by=by, why=reason, log=progress), as_json, _changed)


@click.command()
@slot_argument
@_by
@click.option("--reason", required=True, metavar="TEXT", help="The reason, for the record.")
@json_option
@workspace_option
def retire(slot: Slot, by: str, reason: str, as_json: bool, workspace: Workspace) -> None:
    """Leave a slot without champion: no version serves it until another one is promoted."""
    from pipelines.registry.client import champion

    emit(champion.retire(slot, mlflow_uri=mlflow_uri(workspace), why=reason, by=by, log=progress), as_json, _changed)


@click.command()
@click.argument("slot", type=SLOT, metavar="[SITE/TASK]", required=False)
@json_option
@workspace_option
def versions(slot: Slot | None, as_json: bool, workspace: Workspace) -> None:
    """List the adapters of a slot, or the newest and the champion of every slot."""
    from pipelines.registry.client import model_registry

    client = model_registry.connect(mlflow_uri(workspace))
    if slot is not None:
        found = model_registry.list_versions(client, slot)
    else:
        every = (model_registry.list_versions(client, each) for each in model_registry.list_slots(client))
        # newest first: the newest one, and those with an alias
        found = [v for listed in every for place, v in enumerate(listed) if place == 0 or v.aliases]
    emit([version.to_json() for version in found], as_json, lambda _: _listing(found))
    for version in found:
        warn_of_override(version.name, version.override)


def _listing(versions: Sequence[AdapterVersion]) -> str:
    from pipelines.number_text import metric_title
    from pipelines.registry.adapter_version import Tags

    rows = [
        [
            str(v.slot),
            v.version,
            mark("override" if v.override else v.status),
            mark(v.tags.get(Tags.VERDICT, "not gated")),
            f"{metric_title(v.tags.get(Tags.METRIC, ''))} {v.tags.get(Tags.VALUE, '')}".strip(),
            v.tags.get(Tags.DATASET, ""),
            v.created.replace("T", " ").removesuffix("+00:00"),
        ]
        for v in versions
    ]
    headers = ["slot", "version", "status", "verdict", "metric", "dataset", "registered (UTC)"]
    return table(headers, rows, empty="no adapters yet; make one with: elp retrain SITE/TASK")


def _changed(done: Promotion) -> str:
    if not done.changed:
        return f"{done.slot}: v{done.version} is the champion already; nothing changed"
    if done.version is None:
        return f"{done.slot}: no champion (before: v{done.previous}); changed by {done.by}"
    before = f"before: v{done.previous}" if done.previous else "the first"
    return f"{done.slot}: champion is v{done.version} ({before}); changed by {done.by}"


def _golden(workspace: Workspace, slot: Slot) -> str:
    """Return the tag of the pinned golden set; empty means that this workspace has none of the slot."""
    from pipelines.datasets.versions import golden_ref
    from pipelines.errors import VersioningError

    try:
        return golden_ref(workspace, "latest", slot).tag
    except VersioningError:
        return ""
