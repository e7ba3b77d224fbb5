from __future__ import annotations

import pytest

from pipelines.errors import UsageError
from pipelines.orchestration.schedules import require_cron


@pytest.mark.parametrize(
    "cron",
    [
        "0 3 * * *",
        "0 3 * * MON",
        "30 4 * jan-MAR mon,Fri",
        "0 0 29 2 *",
        "*/5 8-18 * * 1-5",
        "0 0 L * *",
        "0 0 31 1,2 *",
    ],
)
def test_five_fields_and_a_date_that_exists_are_accepted(cron: str) -> None:
    require_cron(cron)


@pytest.mark.parametrize(
    ("cron", "reason"),
    [
        ("0 0 30 2 *", "names a date that does not exist, so no run would ever start"),
        ("0 0 31 4,6,9,11 *", "names a date that does not exist"),
        ("* * * * * *", "has 6 field"),
        ("0 3 * * * 30", "has 6 field"),
        ("0 0 1 1 * 0 2030", "has 7 field"),
        ("@daily", "has 1 field"),
        ("0 3 * *", "has 4 field"),
        ("", "has 0 field"),
        ("60 3 * * *", "is not valid"),
        ("R 2 * * *", "names no fixed time"),
        ("0 r(1-5) * * *", "names no fixed time"),
        ("0 2 * * 1,R/3", "names no fixed time"),
        ("H 2 * * *", "names no fixed time"),
        ("0 3 * * MOON", "is not valid"),
        ("ä b c d e", "is not valid"),
    ],
)
def test_any_other_is_refused_in_one_sentence(cron: str, reason: str) -> None:
    with pytest.raises(UsageError, match=reason) as caught:
        require_cron(cron)
    assert "expected minute hour day month weekday" in str(caught.value)
    assert "\n" not in str(caught.value)
