"""The last line of the attack suite: how many attacks were tried, and how many succeeded."""

from __future__ import annotations

from typing import Any

FOLDER = "tests/attacks/"


def tally(stats: dict[str, list[Any]]) -> str:
    """Return ``tried N, got through M`` from the reports of a test run; empty if it had no attack.

    An attack counts as got through if its test failed for any reason, or the check of the slot afterwards did.
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
