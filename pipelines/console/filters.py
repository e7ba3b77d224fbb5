"""How values read on the pages."""

from __future__ import annotations

import math
from datetime import UTC, datetime

from elp_core.metrics.scores import title
from pipelines.gate.decide import percent, points

__all__ = ["FILTERS", "age", "moment", "parse", "short", "span", "when"]

_UNITS = ((86400 * 365, "y"), (86400, "d"), (3600, "h"), (60, "min"), (1, "s"))


def parse(text: str) -> datetime:
    """A moment as the records write it (ISO 8601); without a zone it is UTC."""
    found = datetime.fromisoformat(text)
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def age(text: str, now: datetime) -> str:
    """Time since then in its largest whole unit, such as ``3 d``; a dash where there is no time."""
    if not text:
        return "–"
    seconds = max(0.0, (now - parse(text)).total_seconds())
    size, unit = next(((size, unit) for size, unit in _UNITS if seconds >= size), (1, "s"))
    return f"{int(seconds // size)} {unit}"


def when(text: str) -> str:
    """Date and time for people, in UTC."""
    return parse(text).astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S UTC") if text else "–"


def moment(milliseconds: int | None) -> str:
    """MLflow's milliseconds as ISO 8601 in UTC; empty for none."""
    return "" if milliseconds is None else datetime.fromtimestamp(milliseconds / 1000, UTC).isoformat("T", "seconds")


def span(bounds: tuple[float, float] | None) -> str:
    """An interval of shares in percent; empty for none, and for one without ends."""
    if bounds is None or not all(math.isfinite(bound) for bound in bounds):
        return ""
    return f"{100 * max(0.0, bounds[0]):.1f} … {100 * bounds[1]:.1f} %"


def short(digest: str) -> str:
    """The first characters of a hash, enough to tell two apart at sight."""
    bare = digest.removeprefix("sha256:")
    return bare if len(bare) <= 12 else f"{bare[:12]}…"


FILTERS = {"age": age, "metric": title, "percent": percent, "points": points, "short": short, "span": span, "when": when}
