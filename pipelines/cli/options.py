"""What the verbs share: SITE/TASK, ``--workspace``, and ``--json`` with the printing of the result."""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from pipelines.cli.output import emit
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

    The option is accepted after ``elp`` and after the verb; without it the workspace is found from ELP_WORKSPACE or the
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
        return ctx.invoke(function, *args, workspace=find_workspace(ctx, folder), **kwargs)

    return wrapped


def find_workspace(ctx: click.Context, folder: Path | None = None) -> Workspace:
    """Open the workspace named by the verb's option, else by ``elp -w``, else found from here."""
    return open_workspace(folder or (ctx.find_root().obj or {}).get("workspace"))


def reports(render: Callable[[Any], str]) -> Callable[[Callable[..., T]], Callable[..., None]]:
    """Add ``--workspace`` and ``--json``, and print what the function returns: as JSON, or as `render` has it."""

    def decorate(function: Callable[..., T]) -> Callable[..., None]:
        # `wraps` copies click's list of the options that are declared below this decorator
        @json_option
        @workspace_option
        @functools.wraps(function)
        def wrapped(*args: Any, as_json: bool, **kwargs: Any) -> None:
            emit(function(*args, **kwargs), as_json, render)

        return wrapped

    return decorate
