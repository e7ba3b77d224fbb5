"""`elp backbone add | list | show`: licence, source and pre-training data of backbones; changes: `migrate_verbs`."""

from __future__ import annotations

from typing import Any

import click

from pipelines.cli.migrate_verbs import back_verb, plan_verb, site_migrate_verb, switch_verb
from pipelines.cli.options import on_workspace
from pipelines.cli.output import emit, fields, table
from pipelines.local.backbone_records import RecordedBackbone, StatedOrigin, add_record, find_record, list_records
from pipelines.local.workspace import Workspace
from pipelines.registry.client.server_api import current_user


@click.group()
def backbone() -> None:
    """Record where backbones come from, and under which licence; list what is recorded.

    The records are in elp.yaml, under backbones. Each lineage that is signed from then on names them. A site changes
    its backbone with plan, migrate and switch.
    """


for verb in (plan_verb, site_migrate_verb, switch_verb, back_verb):
    backbone.add_command(verb)


@backbone.command(name="add", short_help="Record licence, source and pre-training data of a backbone.")
@click.argument("name", metavar="ID|PATH")
@click.option("--licence", default="", metavar="SPDX", help="Licence, such as Apache-2.0 [default: that of its card].")
@click.option(
    "--commercial",
    type=click.Choice(["allowed", "forbidden", "unknown"]),
    help="Whether a company may use it [default: what the list of licences says].",
)
@click.option("--source", default="", metavar="TEXT", help="Where it came from [default: the hub id and its revision].")
@click.option("--pretraining", default="", metavar="TEXT", help="What it was pre-trained on, with hours.")
@click.option(
    "--despite-card",
    is_flag=True,
    help="Record it although the card, the publisher or a stricter record says otherwise.",
)
@on_workspace
def add_backbone(workspace: Workspace, name: str, **stated: Any) -> None:
    """Load a backbone, compute its fingerprint, and write its record into elp.yaml.

    \b
    elp backbone add facebook/hubert-base-ls960 --licence Apache-2.0 --pretraining "LibriSpeech (960 h)"
    """
    emit(add_record(workspace, name, StatedOrigin(**stated), current_user()), _added)


@backbone.command(name="list", short_help="List the recorded backbones, and those in use.")
@on_workspace
def list_backbones(workspace: Workspace) -> None:
    """List the recorded backbones, the embedded one, and those in use that have no record."""
    emit(list_records(workspace), _table)


@backbone.command(name="show", short_help="Show the record of a backbone.")
@click.argument("name", metavar="ID|FINGERPRINT")
@on_workspace
def show_backbone(workspace: Workspace, name: str) -> None:
    """Show all that is recorded of a backbone, and whether a champion may be on it."""
    emit(find_record(workspace, name), _details)


def _added(found: RecordedBackbone) -> str:
    return (
        f"{_details(found)}\n\nwritten into elp.yaml; commit it. The server reads it when it starts: elp down, elp up"
    )


def _details(found: RecordedBackbone) -> str:
    origin = found.origin
    rows = [
        ("backbone", found.id),
        ("fingerprint", found.fingerprint),
        ("licence", origin.licence or "unknown"),
        ("commercial use", origin.commercial or "unknown"),
        ("source", origin.source),
        ("pre-training data", origin.pretraining),
        ("added", f"{found.added} by {found.added_by}" if found.added else ""),
        ("in use", found.in_use),
        ("champion", _champion(found)),
    ]
    return fields(rows)


def _table(found: list[RecordedBackbone]) -> str:
    rows = [
        (
            one.id,
            one.fingerprint.removeprefix("sha256:")[:12],
            one.origin.licence or "unknown",
            one.origin.commercial or "unknown",
            one.in_use,
            "override only" if one.champion else "yes",
        )
        for one in found
    ]
    return table(("backbone", "fingerprint", "licence", "commercial use", "in use", "champion"), rows)


def _champion(found: RecordedBackbone) -> str:
    return f"by an override of two people only: {found.champion}" if found.champion else "allowed"
