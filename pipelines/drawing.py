"""What every report draws with: a bare figure, its PNG bytes, and the pages' stylesheet."""

from __future__ import annotations

import io
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def figure(width: float = 7.0, height: float = 2.9, columns: int = 1) -> tuple[Figure, Any]:
    """An empty figure (inches) and its axes, in one row of `columns`."""
    # the object interface: it needs no display and leaves pyplot's global state alone
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    made = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(made)
    axes = made.subplots(1, columns)
    for one in [axes] if columns == 1 else axes:
        one.spines[["top", "right"]].set_visible(False)
    return made, axes


def png(drawn: Figure) -> bytes:
    """PNG bytes of a figure."""
    target = io.BytesIO()
    # without the library's version in the file, the same numbers give the same bytes
    drawn.savefig(target, format="png", dpi=130, metadata={"Software": None})
    return target.getvalue()


def stylesheet() -> str:
    """The CSS of every HTML report."""
    return Path(__file__).with_name("drawing.css").read_text(encoding="utf-8")
