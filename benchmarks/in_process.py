"""Trainings of `elp tune` and `elp compare` in the process of a benchmark: no start of Python for each of them."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from elp_core.errors import ElpError


def trains_here(keep: Callable[[Path, Path, Any], None]) -> Callable[[Sequence[str], Path, Any], tuple[int, str]]:
    """Return what takes the place of `run_child`; `keep` runs the training of a specification's file."""

    def run(command: Sequence[str], errors: Path, report: Any) -> tuple[int, str]:
        try:
            keep(Path(command[-2]), Path(command[-1]), report)
        except ElpError as error:
            return 1, str(error)
        return 0, ""

    return run
