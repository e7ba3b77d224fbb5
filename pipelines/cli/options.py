"""What the verbs share: SITE/TASK, ``--json``, and ``--workspace`` with the opened workspace."""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from pipelines.cli.output import JSON_KEY
from pipelines.errors import UsageError
from pipelines.local.workspace import Workspace, open_workspace
from pipelines.registry.slot import Slot

T = TypeVar("T")


class SlotType(click.ParamType[Slot]):
    """SITE/TASK on the command line, read as a `Slot`."""

    name = "SITE/TASK"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Slot:
        """Read the text; a bad one becomes click's own usage error (exit code 2)."""
        try:
            return Slot.parse(value)
        except UsageError as error:
            self.fail(str(error), param, ctx)


SLOT = SlotType()

slot_argument = click.argument("slot", type=SLOT, metavar="SITE/TASK")
"""The function gets `slot: Slot`."""


def _note_json(ctx: click.Context, _: click.Parameter, wanted: bool) -> None:
    ctx.meta[JSON_KEY] = wanted


# the choice is kept in click's context, so that no verb has to hand it on
json_option = click.option(
    "--json", is_flag=True, expose_value=False, callback=_note_json, help="Print the result as JSON."
)
"""`output.emit` prints JSON if it is given."""


def on_workspace(function: Callable[..., T]) -> Callable[..., T]:
    """Add ``--json`` and ``--workspace/-w``; the function gets the opened `workspace: Workspace`.

    ``-w`` is accepted after ``elp`` and after the verb; without it the workspace is found from ELP_WORKSPACE or the
    current folder upwards.
    """

    # `wraps` copies click's list of the options that are declared below this decorator
    @json_option
    @click.option(
        *("-w", "--workspace", "folder"),
        type=click.Path(path_type=Path),
        metavar="DIR",
        help="The workspace [default: ELP_WORKSPACE, or the current folder upwards].",
    )
    @click.pass_context
    @functools.wraps(function)
    def wrapped(ctx: click.Context, /, *args: Any, folder: Path | None, **kwargs: Any) -> T:
        return ctx.invoke(function, *args, workspace=find_workspace(ctx, folder), **kwargs)

    return wrapped


def find_workspace(ctx: click.Context, folder: Path | None) -> Workspace:
    """Open the workspace named by the verb's option, else by ``elp -w``, else found from here."""
    return open_workspace(folder or (ctx.find_root().obj or {}).get("workspace"))
