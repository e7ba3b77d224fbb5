"""Printing: a result as JSON or as text, tables, progress. Results go to stdout, everything else to stderr.

On a terminal, rich lays out tables for its width. Elsewhere a table has one line for each row and no colour, so that
other programs can read it.
"""

import contextlib
import json
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, TypeVar

import click

from pipelines.registry.plain_json import plain

T = TypeVar("T")
ClipsReport = Callable[[int, int, float], None]
"""Takes clips done, clips in all, and seconds of audio done."""

JSON_KEY = "elp.json"
"""In the `meta` of click's context: whether the result is printed as JSON."""

_EVERY_SECONDS = 2.0
_COLOURS = {
    "green": {"ok", "up", "passed", "champion", "Completed", "ready"},
    "yellow": {"warn", "undecided", "challenger", "paused", "Scheduled", "Pending", "Late"},
    "red": {"fail", "down", "failed", "rejected", "Failed", "Crashed", "Refused", "override", "failing"},
}


def emit(value: T, render: Callable[[T], str]) -> None:
    """Print a verb's result: `value` as JSON if ``--json`` is given, else what `render` makes of it."""
    click.echo(json.dumps(plain(value), indent=2, ensure_ascii=False) if wants_json() else render(value))


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
    return _on_terminal(headers, values, right) if sys.stdout.isatty() else _plain([list(headers), *values], right)


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


def seconds(value: float) -> str:
    """Return a duration as people say it: ``8.3 s``, ``4 min 10 s``, ``3 h 05 min``, ``2 d 4 h``."""
    if value < 60:
        return f"{value:.1f} s"
    whole = round(value)
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    if whole < 86400:
        return f"{whole // 3600} h {whole % 3600 // 60:02d} min"
    return f"{whole // 86400} d {whole % 86400 // 3600} h"


def progress(message: str) -> None:
    """Print one line of progress to stderr: stdout has only the result."""
    click.echo(message, err=True)


@contextlib.contextmanager
def clips_progress(quiet: bool = False) -> Iterator[ClipsReport | None]:
    """Show how many clips are read: a bar on a terminal, else a line every two seconds; None if `quiet`."""
    if quiet or not sys.stderr.isatty():
        yield None if quiet else _lines()
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = BarColumn(), MofNCompleteColumn(), TextColumn("clips read, {task.description}"), TimeRemainingColumn()
    with Progress(*columns, console=Console(stderr=True)) as bar:
        task = bar.add_task("", total=None)
        yield lambda done, total, audio: bar.update(
            task, completed=done, total=total, description=f"{seconds(audio)} of audio"
        )


@contextlib.contextmanager
def seconds_progress(quiet: bool = False) -> Iterator[Callable[[float, float], None]]:
    """Show how much of recordings is done: a bar on a terminal, else a line every ten seconds; nothing if `quiet`."""
    if quiet or not sys.stderr.isatty():
        yield _nothing if quiet else _seconds_lines()
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    columns = BarColumn(), TextColumn("{task.description}"), TimeRemainingColumn()
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("", total=None)
        yield lambda done, total: bar.update(
            task, completed=done, total=total or None, description=f"{seconds(done)} of {seconds(total)}"
        )


def _nothing(_done: float, _total: float) -> None:
    pass


def _seconds_lines() -> Callable[[float, float], None]:
    last = time.monotonic()

    def report(done: float, total: float) -> None:
        nonlocal last
        if time.monotonic() - last >= 10.0:
            last = time.monotonic()
            progress(f"{seconds(done)} of {seconds(total)} transcribed")

    return report


def _lines() -> ClipsReport:
    last = time.monotonic()

    def report(done: int, total: int, audio: float) -> None:
        nonlocal last
        if done == total or time.monotonic() - last >= _EVERY_SECONDS:
            last = time.monotonic()
            progress(f"{done:,} of {total:,} clips read, {seconds(audio)} of audio")

    return report


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
