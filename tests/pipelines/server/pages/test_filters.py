from __future__ import annotations

import pytest

from pipelines.server.pages.filters import utc_text


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("2026-11-28T09:30:00+09:00", "2026-11-28 00:30:00 UTC"),
        ("2026-11-28T09:30:00", "2026-11-28 09:30:00 UTC"),
        ("", "–"),
        ("last week", "last week"),
        ("0001-01-01T00:00:00+09:00", "0001-01-01T00:00:00+09:00"),
    ],
)
def test_a_moment_is_shown_in_utc_and_any_other_text_as_it_is(text: str, shown: str) -> None:
    assert utc_text(text) == shown
