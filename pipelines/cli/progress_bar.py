"""The display of long work on stderr: a bar on a terminal, elsewhere a line every half minute."""

import contextlib
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from elp_core.types import Seconds
from pipelines.cli.output import dumb_terminal, progress
from pipelines.number_text import duration
from pipelines.progress_text import Pace, share

_EVERY: Seconds = 30.0
"""Time between two lines if no bar can be drawn."""


@dataclass(frozen=True)
class Display:
    """The display of long work."""

    log: Callable[[str], None]
    """Prints one line, above the bar if there is one."""
    show: Callable[[float, str], None]
    """Shows a percentage, and the line of the present step."""

    def counting(self, what: str, unit: str) -> Callable[[float, int, str], None]:
        """Return a function that shows the work of this process: what is done, what there is in all, a remark."""
        pace = Pace(unit)

        def report(done: float, total: int, note: str) -> None:
            self.show(share(done, total), f"{what}: {pace.line(done, total, note)}")

        return report


@contextlib.contextmanager
def long_work(quiet: bool = False, log: Callable[[str], None] = progress) -> Iterator[Display]:
    """Show long work while the block runs; if `quiet`, only what is logged. Without a bar, `log` prints the lines."""
    if quiet:
        yield Display(log, lambda percent, text: None)
    elif not sys.stderr.isatty() or dumb_terminal():
        yield Display(log, _lines())
    else:
        with _bar() as display:
            yield display


@contextlib.contextmanager
def clips_progress(quiet: bool = False) -> Iterator[Callable[[int, int, float], None] | None]:
    """Show how many clips are read; the function takes clips done, clips in all and seconds of audio done."""
    with long_work(quiet) as display:
        report = display.counting("reading", "clips")
        yield None if quiet else lambda done, total, audio: report(done, total, f"{duration(audio)} of audio")


@contextlib.contextmanager
def seconds_progress(quiet: bool = False) -> Iterator[Callable[[float, float], None]]:
    """Show how much of recordings is done; the function takes seconds done and seconds in all."""
    with long_work(quiet) as display:
        report = display.counting("reading", "s of audio")
        yield lambda done, total: report(round(done), round(total), "")


def spaced_lines() -> Callable[[str], None]:
    """Return a function that prints a line on stderr, but none within half a minute after the one before."""
    last = time.monotonic()

    def say(text: str) -> None:
        nonlocal last
        if time.monotonic() - last >= _EVERY:
            last = time.monotonic()
            progress(text)

    return say


def _lines() -> Callable[[float, str], None]:
    say = spaced_lines()
    return lambda percent, text: say(f"{text} ({percent:.0f} %)")


@contextlib.contextmanager
def _bar() -> Iterator[Display]:
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn
    from rich.table import Column
    from rich.text import Text

    console = Console(stderr=True, highlight=False)
    line = TextColumn("{task.description}", markup=False, table_column=Column(no_wrap=True, overflow="ellipsis"))
    with Progress(BarColumn(20), TaskProgressColumn(), line, console=console, transient=True) as bar:
        # added before the first report: several threads may report
        task = bar.add_task("", total=100, visible=False)

        def show(percent: float, text: str) -> None:
            bar.update(task, completed=percent, description=text, visible=True)

        # soft_wrap: long lines are broken by the terminal, so they can be copied whole
        yield Display(lambda text: console.print(Text.from_ansi(text), soft_wrap=True), show)
