"""Printing: a result as JSON or as text, tables, progress. Results go to stdout, everything else to stderr."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from typing import Any, TypeVar

import click

from pipelines.registry.plain_json import plain

T = TypeVar("T")


def emit(value: T, as_json: bool, render: Callable[[T], str]) -> None:
    """Print a verb's result: `value` as JSON, or what `render` makes of it."""
    if as_json:
        click.echo(json.dumps(plain(value), indent=2, ensure_ascii=False))
    else:
        click.echo(render(value))


def table(headers: Sequence[str], rows: Iterable[Sequence[Any]], empty: str = "nothing to show") -> str:
    """An aligned text table: numbers to the right, everything else to the left.

    Args:
        headers: one short word a column.
        rows: cells in the columns' order; None prints as a dash, floats with four digits.
        empty: what is returned where there are no rows.
    """
    cells = [[_cell(v) for v in row] for row in rows]
    values = [list(row) for row in cells]
    if not values:
        return empty
    widths = [max(len(click.unstyle(r[i])) for r in [list(headers), *values]) for i in range(len(headers))]
    right = [all(_is_number(r[i]) for r in values) for i in range(len(headers))]
    lines = [_line([click.style(h, bold=True) for h in headers], widths, right)]
    lines += [_line(row, widths, right) for row in values]
    return "\n".join(lines)


def fields(pairs: Iterable[tuple[str, Any]]) -> str:
    """Name and value a line, the values aligned."""
    rows = [(name, _cell(value)) for name, value in pairs]
    width = max((len(name) for name, _ in rows), default=0)
    return "\n".join(f"{name.ljust(width)}  {value}" for name, value in rows)


def seconds(value: float) -> str:
    """A duration as people say it: ``8.3 s``, ``4 min 10 s``, ``3 h 05 min``, ``2 d 4 h``."""
    if value < 60:
        return f"{value:.1f} s"
    whole = round(value)
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    if whole < 86400:
        return f"{whole // 3600} h {whole % 3600 // 60:02d} min"
    return f"{whole // 86400} d {whole % 86400 // 3600} h"


def progress(message: str) -> None:
    """One line of progress, on stderr so that stdout stays the result."""
    click.echo(message, err=True)


def mark(outcome: str) -> str:
    """`outcome` in the colour of its meaning: green where all is well, yellow for undecided, red for refused."""
    colours = {
        "green": {"ok", "up", "passed", "champion", "Completed", "ready"},
        "yellow": {"warn", "undecided", "challenger", "paused", "Scheduled", "Pending", "Late"},
        "red": {"fail", "down", "failed", "rejected", "Failed", "Crashed", "Refused", "override"},
    }
    colour = next((c for c, words in colours.items() if outcome in words), None)
    return click.style(outcome, fg=colour) if colour else outcome


def _cell(value: Any) -> str:
    if value is None or value == "":
        return "—"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:.4f}" if isinstance(value, float) else str(value)


def _is_number(cell: str) -> bool:
    text = click.unstyle(cell).rstrip("%").replace(",", "")
    return text == "—" or text.lstrip("+-−").replace(".", "", 1).isdigit()


def _line(row: Sequence[str], widths: Sequence[int], right: Sequence[bool]) -> str:
    parts = []
    for cell, width, to_right in zip(row, widths, right, strict=True):
        gap = " " * (width - len(click.unstyle(cell)))
        parts.append(gap + cell if to_right else cell + gap)
    return "  ".join(parts).rstrip()


def warn_of_override(name: str, override: str) -> None:
    """Warn in red that a version serves without a passed verdict; print nothing if `override` is empty."""
    if override:
        click.echo(click.style(f"{name}: OVERRIDE, no verdict that counts: {override}", fg="red", bold=True), err=True)
