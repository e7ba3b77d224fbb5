"""`elp backbone`: the frozen models of a workspace."""

from __future__ import annotations

import click

from pipelines.cli.migrate_verbs import back_verb, migrate_verb, plan_verb, switch_verb


@click.group(name="backbone")
def backbone() -> None:
    """Plan and make a change of the backbone."""


for verb in (plan_verb, migrate_verb, switch_verb, back_verb):
    backbone.add_command(verb)
