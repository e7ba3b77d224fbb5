"""How values read on the pages."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

from elp_core.metrics.scores import title
from pipelines.number_text import percent, points

_DIGEST = re.compile(r"(sha256:)?[0-9a-f]{32,}")
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


def span(bounds: tuple[float | None, float | None] | None) -> str:
    """An interval of shares in percent; empty for none, and for one that lacks an end."""
    low, high = bounds or (None, None)
    return "" if low is None or high is None else f"{100 * max(0.0, low):.1f} … {100 * high:.1f} %"


def short(digest: str) -> str:
    """The first characters of a hash, enough to tell two apart at sight."""
    bare = digest.removeprefix("sha256:")
    return bare if len(bare) <= 12 else f"{bare[:12]}…"


def told(detail: Mapping[str, Any]) -> str:
    """What a ledger entry says beside its reason, on one line."""
    known = {name: value for name, value in detail.items() if value not in ("", None)}
    return ", ".join(f"{name.replace('_', ' ')}: {_brief(value)}" for name, value in known.items())


def share(value: float | None) -> str:
    """A share as a percentage; a dash where it is not known."""
    return "–" if value is None else percent(value)


def _brief(value: Any) -> str:
    return short(value) if isinstance(value, str) and _DIGEST.fullmatch(value) else str(value)


FILTERS: dict[str, Callable[..., str]] = {
    "age": age,
    "metric": title,
    "percent": share,
    "points": points,
    "short": short,
    "span": span,
    "told": told,
    "when": when,
}
"""By their names in the templates."""
