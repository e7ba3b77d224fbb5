"""What the verbs share: SITE/TASK, ``--json``, and ``--workspace`` with the opened workspace."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from pipelines.cli.output import JSON_KEY
from pipelines.errors import UsageError
from pipelines.local.workspace import open_workspace
from pipelines.registry.slot import Slot

F = TypeVar("F", bound=Callable[..., Any])


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


def opens(name: str, find: Callable[[Path | None], Any]) -> Callable[[F], F]:
    """Return a decorator that adds ``--json`` and ``--workspace/-w``; the function gets what `find` returns as `name`.

    ``-w`` is accepted after ``elp`` and after the verb.
    """
    option = click.option(
        *("-w", "--workspace", name),
        type=click.Path(path_type=Path),
        metavar="DIR",
        help="The workspace [default: ELP_WORKSPACE, or the current folder upwards].",
        # the root has what `elp -w` named before the verb
        callback=lambda ctx, _, start: find(start or ctx.find_root().obj),
    )
    return lambda function: json_option(option(function))


on_workspace = opens("workspace", open_workspace)
"""The function gets the opened `workspace: Workspace`."""
