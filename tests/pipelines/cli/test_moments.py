"""Dates and moments on the command line."""

import pytest

from pipelines.cli.moments import read_moment
from pipelines.errors import UsageError


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2026-03-01", "2026-03-01T23:59:59.999999+00:00"),
        ("20260301", "2026-03-01T23:59:59.999999+00:00"),
        ("2026-W09-7", "2026-03-01T23:59:59.999999+00:00"),
        ("2026-03-01T08:00", "2026-03-01T08:00:00.000000+00:00"),
        ("20260301T0800", "2026-03-01T08:00:00.000000+00:00"),
        ("2026-03-01T08:00+01:00", "2026-03-01T07:00:00.000000+00:00"),
    ],
)
def test_moments_are_read_as_utc_and_a_date_to_its_end(text: str, moment: str) -> None:
    assert read_moment("--at", text) == moment


@pytest.mark.parametrize("text", ["yesterday", "0001-01-01T00:00+01:00", "9999-12-31T23:59-01:00"])
@pytest.mark.parametrize("option", ["--at", "--until"])
def test_a_text_that_is_not_a_moment_is_refused(option: str, text: str) -> None:
    with pytest.raises(UsageError, match=f"{option} takes a date or moment such as 2027-01-31 or .*, got '{text[:4]}"):
        read_moment(option, text)
