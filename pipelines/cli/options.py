"""What the verbs share: SITE/TASK, ``--json``, and ``--workspace`` with the opened workspace."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from pipelines.cli.box_hints import note_box
from pipelines.cli.output import JSON_KEY, progress
from pipelines.errors import UsageError
from pipelines.local.workspace import Workspace, open_workspace
from pipelines.registry.slot import Slot

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

F = TypeVar("F", bound=Callable[..., Any])


def named_workspace(ctx: click.Context | None) -> Path | None:
    """Return the folder that ``-w`` named, before or after the verb; None without it."""
    if ctx is None:
        return None
    opened = ctx.params.get("workspace")
    return opened.root if isinstance(opened, Workspace) else ctx.find_root().obj


class SlotType(click.ParamType[Slot]):
    """SITE/TASK on the command line, read as a `Slot`."""

    name = "SITE/TASK"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Slot:
        """Read the text; a bad one becomes click's own usage error (exit code 2)."""
        try:
            return Slot.parse(value)
        except UsageError as error:
            from pipelines.cli.known_slots import known_slots, nearest

            near = nearest(str(value), known_slots(named_workspace(ctx)))
            self.fail(f"{error}; did you mean {near}?" if near else str(error), param, ctx)

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        """Return the slots of the workspace that begin so."""
        from click.shell_completion import CompletionItem

        from pipelines.cli.known_slots import known_slots

        return [CompletionItem(slot) for slot in known_slots(named_workspace(ctx)) if slot.startswith(incomplete)]


SLOT = SlotType()


class FiniteNumber(click.FloatRange):
    """A number on the command line, in a range if there is one; ``inf`` and ``nan`` mean nothing to any option."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Read the number; another one than a finite one becomes click's own usage error (exit code 2)."""
        number = super().convert(value, param, ctx)
        if not math.isfinite(number):
            self.fail(f"{value} is not a finite number.", param, ctx)
        return number

    def _describe_range(self) -> str:
        """Return the range for the help; empty if there is none."""
        return "" if self.min is None and self.max is None else super()._describe_range()


def _chosen_slot(ctx: click.Context) -> str:
    """Return the slot that the words before name; the first of several, and empty without one."""
    found = ctx.params.get("slot") or next(iter(ctx.params.get("slots") or ()), "")
    # click reads no arguments before an option without its value; they are the rest then
    return str(found) or next((word for word in ctx.args if "/" in word), "")


def complete_adapter(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    """Return the registered versions of the slot that begin so; none if no server answers at once."""
    from pipelines.cli.known_slots import adapter_versions_of

    found = adapter_versions_of(slot, named_workspace(ctx)) if (slot := _chosen_slot(ctx)) else []
    return [version for version in found if version.startswith(incomplete)]


def complete_dataset(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    """Return the dataset versions of the slot that begin so."""
    from pipelines.cli.known_slots import dataset_versions_of

    found = dataset_versions_of(slot, named_workspace(ctx)) if (slot := _chosen_slot(ctx)) else []
    return [version for version in found if version.startswith(incomplete)]


def complete_slot_at(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    """Return the slots that begin so, and after ``@`` the dataset versions of one."""
    from pipelines.cli.known_slots import dataset_versions_of, known_slots

    start, (slot, at, version) = named_workspace(ctx), incomplete.partition("@")
    if at:
        return [f"{slot}@{one}" for one in dataset_versions_of(slot, start) if one.startswith(version)]
    return [one for one in known_slots(start) if one.startswith(slot)]


slot_argument = click.argument("slot", type=SLOT, metavar="SITE/TASK")
"""The function gets `slot: Slot`."""


def _named_values(ctx: click.Context, _: click.Parameter, given: tuple[str, ...]) -> dict[str, str]:
    """Read NAME=VALUE arguments; `--columns`, `--encoding` and `--root` are options of a format, too."""
    values: dict[str, str] = {}
    for text in given:
        name, equals, value = text.partition("=")
        if not (name and equals):
            raise click.BadParameter(f"{text!r} is not NAME=VALUE", ctx)
        if values.setdefault(name.strip(), value) != value:
            raise click.BadParameter(f"{name} is given twice, as {values[name]!r} and {value!r}", ctx)
    return values


def _as_option(ctx: click.Context, parameter: click.Parameter, value: str | None) -> None:
    if value is not None:
        ctx.params.setdefault("format_options", {})[parameter.name] = value


def _of_format(name: str, metavar: str, about: str) -> Callable[[F], F]:
    return click.option(name, metavar=metavar, expose_value=False, callback=_as_option, help=about)


def format_options(function: F) -> F:
    """Add ``--option``, ``--columns``, ``--encoding`` and ``--root``; the function gets them as `format_options`."""
    columns = _of_format("--columns", "NAMES", "Which column is what, such as path=file,text=sentence,speaker=voice.")
    encoding = _of_format(
        "--encoding", "NAME", "Encoding of the source, such as cp932 [default: UTF-8, or what its mark says]."
    )
    # eager: its dictionary is there when the others are read
    option = click.option(
        "--option",
        "format_options",
        multiple=True,
        is_eager=True,
        metavar="NAME=VALUE",
        callback=_named_values,
        help="Option of the format, such as protocol=random; several are possible.",
    )
    root = _of_format("--root", "DIR", "Folder that the listing may name files of, by absolute paths, too.")
    return option(columns(encoding(root(function))))


def options_of_delivery(function: F) -> F:
    """Add the options of a delivery: ``--format``, those of the format, ``--condition``, ``--channel`` and noise.

    The function gets `importer`, `format_options`, `condition`, `channel`, `quarantine`, `noise` and `snr`.
    """
    options = (
        click.option("--format", "importer", metavar="NAME", help="Format, such as nemo [default: recognised]."),
        format_options,
        click.option("--condition", metavar="NAME", help="Recording condition of every clip, such as headset."),
        click.option("--channel", metavar="WHICH", help="If two channels differ: left, right, each or mix."),
        click.option(
            "--quarantine",
            multiple=True,
            metavar="KIND",
            help="Take the rest in if clips of this kind would refuse all: duplicates, vocabulary.",
        ),
        click.option("--noise", metavar="KIND", help="Mix noise into every clip, the same at every run: factory."),
        click.option(
            "--snr", type=FiniteNumber(), metavar="DB", help="Signal-to-noise ratio of that mix [default: 5]."
        ),
    )
    for option in reversed(options):
        function = option(function)
    return function


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


def _open_current(start: Path | None) -> Workspace:
    """Open the workspace as it is at its Git address now, or if that cannot be read, as it is here, with the reason."""
    workspace = open_workspace(start)
    if not workspace.settings.git:
        return workspace
    from pipelines.datasets.slot_change import refresh_clone

    if reason := refresh_clone(workspace):
        progress(f"this clone is used as it is: {reason}")
    # the settings may have changed there
    return open_workspace(start)


def _named_box(ctx: click.Context, _: click.Parameter, given: Path | None) -> Path | None:
    if given is None:
        return None
    from pipelines.local.box_home import box_home

    home = box_home(given)
    note_box(home)
    return home


def _open_either(ctx: click.Context, _: click.Parameter, start: Path | None) -> Workspace:
    box = ctx.params.get("box")
    if box is None:
        return open_workspace(start or ctx.find_root().obj)
    if start is not None:
        raise UsageError("--box and --workspace exclude each other; give one of them")
    from pipelines.local.box_home import box_workspace

    return box_workspace(box)


def on_workspace_or_box(function: F) -> F:
    """Add ``--json``, ``--workspace`` and ``--box``; the function gets `workspace`, and `box`: its folder, or None.

    With ``--box``, `workspace` is the box: its state, its backbone, and no servers.
    """
    workspace = click.option(
        *("-w", "--workspace", "workspace"),
        type=click.Path(path_type=Path),
        metavar="DIR",
        help="The workspace [default: ELP_WORKSPACE, or the current folder upwards].",
        callback=_open_either,
    )
    # eager: whether there is a workspace to open depends on it
    box = click.option(
        "--box",
        type=click.Path(path_type=Path),
        metavar="DIR",
        is_eager=True,
        callback=_named_box,
        help="Not a workspace but the box that elp pull made: its set, without a registry.",
    )
    return json_option(workspace(box(function)))


on_current_workspace = opens("workspace", _open_current)
"""The same for verbs about data: with a Git address, the clone is brought up to date first."""

on_folder = opens("folder", lambda start: start)
"""For a group that is a command itself, too: the function gets the named folder, or None, and opens nothing."""


def refuse_before_verb(ctx: click.Context, *kept: str) -> None:
    """Refuse the options of a group, but those of the names `kept`, if a verb follows, which would not see them."""
    given = [
        parameter.opts[-1]
        for parameter in ctx.command.params
        if parameter.name not in (None, *kept)
        and ctx.get_parameter_source(parameter.name) is click.core.ParameterSource.COMMANDLINE
    ]
    if given:
        verb = ctx.invoked_subcommand
        raise UsageError(f"{', '.join(given)} before {verb} has no effect; write it after {verb}")
