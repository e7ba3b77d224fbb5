"""How the templates format values."""

import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

from pipelines.number_text import duration
from pipelines.server.pages.glossary import find_term

_DIGEST = re.compile(r"(sha256:)?[0-9a-f]{32,}")


def parse_moment(text: str) -> datetime:
    """Read a moment of the records (ISO 8601); without an offset it is UTC."""
    found = datetime.fromisoformat(text)
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def utc_text(text: str) -> str:
    """Return date and time in UTC; a dash for an empty text, and a text that is no moment as it is."""
    try:
        return parse_moment(text).astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S UTC") if text else "–"
    # anybody can edit the tags of a version; in UTC, a moment of the first or the last year may have no year
    except (ValueError, OverflowError):
        return text


def interval_percent(bounds: tuple[float | None, float | None] | None) -> str:
    """Return an interval of shares in percent; empty for None and for an interval without an end."""
    low, high = bounds or (None, None)
    if low is None or high is None:
        return ""
    return f"{100 * max(0.0, low):.1f} … {100 * high:.1f} %"


def digest_label(digest: str) -> str:
    """Return the first characters of a hash."""
    bare = digest.removeprefix("sha256:")
    return bare if len(bare) <= 12 else f"{bare[:12]}…"


def hash_label(text: str) -> str:
    """Return the first characters of a hash, and any other text as it is."""
    return digest_label(text) if _DIGEST.fullmatch(text) else text


def details(detail: Mapping[str, Any]) -> str:
    """Return the details of a ledger entry on one line."""
    known = {name.replace("_", " "): str(value) for name, value in detail.items() if value not in ("", None)}
    return ", ".join(f"{name}: {hash_label(text)}" for name, text in known.items())


FILTERS: dict[str, Callable[..., Any]] = {
    "details": details,
    "duration": duration,
    "glossed": find_term,
    "hashed": hash_label,
    "short": digest_label,
    "span": interval_percent,
    "when": utc_text,
}
"""Filters by their names in the templates."""
