"""The dates and moments that options take."""

import contextlib
from datetime import UTC, date, datetime, time

from pipelines.errors import UsageError

DATE = "2027-01-31"
"""The example in help and messages."""


def read_moment(option: str, text: str) -> str:
    """Return the end of a day, or a moment, in UTC; a moment without an offset is read as UTC."""
    found = None
    with contextlib.suppress(ValueError):
        # first: `datetime.fromisoformat` reads a date, in whatever form, as its beginning. It means its end here: the
        # champion at midnight of the next day is another question
        found = datetime.combine(date.fromisoformat(text), time.max)
    try:
        found = found or datetime.fromisoformat(text)
        return found.replace(tzinfo=found.tzinfo or UTC).astimezone(UTC).isoformat(timespec="microseconds")
    except (ValueError, OverflowError) as error:
        raise UsageError(
            f"{option} takes a date or moment such as {DATE} or {DATE}T18:00+01:00, got {text!r}"
        ) from error
