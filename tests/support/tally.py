"""The last line of an attack suite: how many ways in were tried, and how many led in."""

from __future__ import annotations

from typing import Any

FOLDER = "tests/attacks/"


def tally(stats: dict[str, list[Any]]) -> str:
    """``tried N, got through M`` from the reports of a test run; empty where it held no attack.

    An attack got through where its test failed, or the look at the slot afterwards did: whatever the reason, nobody has
    seen it being refused.
    """

    def attacks(*outcomes: str) -> set[str]:
        reports = [report for outcome in outcomes for report in stats.get(outcome, [])]
        names = {str(getattr(report, "nodeid", "")) for report in reports}
        return {name for name in names if name.startswith(FOLDER)}

    through, skipped = attacks("failed", "error"), attacks("skipped")
    tried = attacks("passed") | through
    if not tried | skipped:
        return ""
    return f"tried {len(tried)}, got through {len(through)}" + (f", not tried {len(skipped)}" if skipped else "")
