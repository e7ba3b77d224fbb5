"""Printing: a result as JSON or as text, tables, progress. Results go to stdout, everything else to stderr.

On a terminal, rich lays out tables for its width. Elsewhere a table has one line for each row and no colour, so that
other programs can read it.
"""

import json
import os
import sys
from collections.abc import Callable, Iterable, Sequence
from typing import Any, TypeVar

import click

from pipelines.cli.box_hints import with_box
from pipelines.prefect_names import BAD_ENDS
from pipelines.registry.plain_json import plain

T = TypeVar("T")

JSON_KEY = "elp.json"
"""In the `meta` of click's context: whether the result is printed as JSON."""

_COLOURS = {
    "green": {"ok", "up", "passed", "champion", "Completed", "ready", "taken"},
    "yellow": {
        "warn",
        "undecided",
        "differs",
        "challenger",
        "paused",
        "Scheduled",
        "Pending",
        "Late",
        "Undecided",
        "incomplete",
    },
    "red": {
        "fail",
        "down",
        "silent",
        "failed",
        "rejected",
        *BAD_ENDS,
        "Refused",
        "override",
        "failing",
        "refused",
    },
}


def dumb_terminal() -> bool:
    """Return whether the terminal can neither move its cursor nor colour: TERM is dumb."""
    return os.environ.get("TERM") == "dumb"


def colour_wanted() -> bool | None:
    """Return False if no output may have colours (NO_COLOR, a dumb terminal), None to let click decide by stream."""
    # https://no-color.org: any value that is not empty
    return False if os.environ.get("NO_COLOR") or dumb_terminal() else None


def emit(value: T, render: Callable[[T], str]) -> None:
    """Print a verb's result: `value` as JSON if ``--json`` is given, else what `render` makes of it."""
    text = json.dumps(plain(value), indent=2, ensure_ascii=False) if wants_json() else with_box(render(value))
    # a file name that is not UTF-8 has characters that no stream takes; in JSON, their escapes mean the same
    click.echo(text.encode("utf-8", "backslashreplace").decode("utf-8"))


def wants_json() -> bool:
    """Return whether the verb that runs was given ``--json``."""
    return bool(click.get_current_context().meta.get(JSON_KEY))


def table(headers: Sequence[str], rows: Iterable[Sequence[Any]], empty: str = "nothing to show") -> str:
    """Return an aligned text table, or `empty` if there are no rows.

    Numbers are on the right, everything else on the left; None prints as a dash, floats with four digits.
    """
    values = [[_cell(value) for value in row] for row in rows]
    if not values:
        return empty
    right = [all(map(_is_number, column)) for column in zip(*values, strict=True)]
    on_terminal = sys.stdout.isatty() and not dumb_terminal()
    return _on_terminal(headers, values, right) if on_terminal else _plain([list(headers), *values], right)


def _plain(rows: Sequence[Sequence[str]], right: Sequence[bool]) -> str:
    # without rich, whose import is a quarter of the time of `elp status`
    texts = [[click.unstyle(cell) for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(*texts, strict=True)]
    pads = [f"{'>' if to_right else '<'}{width}" for width, to_right in zip(widths, right, strict=True)]
    return "\n".join("  ".join(map(format, row, pads)).rstrip() for row in texts)


def _on_terminal(headers: Sequence[str], rows: Sequence[Sequence[str]], right: Sequence[bool]) -> str:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    grid = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    for header, to_right in zip(headers, right, strict=True):
        grid.add_column(header, justify="right" if to_right else "left", overflow="fold")
    for row in rows:
        grid.add_row(*map(Text.from_ansi, row))
    # the width is read from stdout or COLUMNS; the colours of `mark` are the 8 standard ones
    console = Console(color_system="standard")
    with console.capture() as captured:
        console.print(grid)
    return captured.get().rstrip("\n")


def fields(pairs: Iterable[tuple[str, Any]]) -> str:
    """Return one line for each name and value, the values aligned."""
    rows = [(name, _cell(value)) for name, value in pairs]
    width = max((len(name) for name, _ in rows), default=0)
    return "\n".join(f"{name.ljust(width)}  {value}" for name, value in rows)


def progress(message: str) -> None:
    """Print one line of progress to stderr: stdout has only the result."""
    click.echo(with_box(message), err=True)


def mark(outcome: str) -> str:
    """Return `outcome` in the colour of its meaning: green for good, yellow for undecided, red for refused."""
    colour = next((colour for colour, words in _COLOURS.items() if outcome in words), None)
    return click.style(outcome, fg=colour) if colour else outcome


def warn_of_override(name: str, override: str) -> None:
    """Warn in red that a version serves without a passed verdict; print nothing if `override` is empty."""
    if override:
        click.echo(click.style(f"{name}: OVERRIDE, no verdict that counts: {override}", fg="red", bold=True), err=True)


def _cell(value: Any) -> str:
    if value is None or value == "":
        return "—"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:.4f}" if isinstance(value, float) else str(value)


def _is_number(cell: str) -> bool:
    text = click.unstyle(cell).rstrip("%").replace(",", "")
    # "−" is the minus sign of differences between metrics
    return text == "—" or text.lstrip("+-−").replace(".", "", 1).isdigit()
