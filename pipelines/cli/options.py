"""Options and arguments that every verb shares: ``--json``, ``--workspace`` and SITE/TASK."""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from pipelines.errors import UsageError
from pipelines.local.workspace import Workspace, open_workspace
from pipelines.registry.slot import Slot

T = TypeVar("T")


class SlotType(click.ParamType[Slot]):
    """SITE/TASK on the command line, read as a `Slot`."""

    name = "SITE/TASK"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Slot:
        """Read the text; a bad one becomes click's own usage error (exit code 2)."""
        if isinstance(value, Slot):
            return value
        try:
            return Slot.parse(value)
        except UsageError as error:
            self.fail(str(error), param, ctx)


SLOT = SlotType()

json_option = click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
"""The function gets `as_json: bool`."""

slot_argument = click.argument("slot", type=SLOT, metavar="SITE/TASK")
"""The function gets `slot: Slot`."""


def workspace_option(function: Callable[..., T]) -> Callable[..., T]:
    """Add ``--workspace/-w``; the function gets the opened `workspace: Workspace`.

    The option may stand after ``elp`` or after the verb; without it the workspace is found from ELP_WORKSPACE or the
    current folder upwards.
    """

    @click.option(
        "-w",
        "--workspace",
        "folder",
        type=click.Path(path_type=Path),
        metavar="DIR",
        help="The workspace [default: ELP_WORKSPACE, or the current folder upwards].",
    )
    @click.pass_context
    @functools.wraps(function)
    def wrapped(ctx: click.Context, /, *args: Any, folder: Path | None, **kwargs: Any) -> T:
        workspace = find_workspace(ctx, folder)
        return ctx.invoke(function, *args, workspace=workspace, **kwargs)

    return wrapped


def find_workspace(ctx: click.Context, folder: Path | None = None) -> Workspace:
    """The workspace named by the verb's option, else by ``elp -w``, else found from here."""
    return open_workspace(folder or (ctx.find_root().obj or {}).get("workspace"))
