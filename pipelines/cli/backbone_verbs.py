"""`elp backbone`: the frozen models of a workspace."""

from __future__ import annotations

import click

from pipelines.cli.migrate_verbs import plan_verb


@click.group(name="backbone")
def backbone() -> None:
    """Plan and make a change of the backbone."""


backbone.add_command(plan_verb)
