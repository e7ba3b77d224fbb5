"""An answer as one self-contained HTML page, to hand to an auditor: no script, no request, printable."""

from __future__ import annotations

from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path

from pipelines.audit.tables import Sheet
from pipelines.html_report import page

_TEMPLATE = Path(__file__).with_name("html_page.html")
_WORDS = {"ok": "as recorded", "mismatch": "mismatch", "unchecked": "not verified"}


def render(sheet: Sheet, source: str) -> str:
    """The page.

    Args:
        sheet: The answer.
        source: Where the records came from: the server's address.
    """
    return page(
        _TEMPLATE,
        sheet=sheet,
        wrong=sheet.tree.mismatches if sheet.tree else (),
        words=_WORDS,
        made=datetime.now(UTC).isoformat(sep=" ", timespec="seconds"),
        program=f"elp-foundry {metadata.version('elp-foundry')}",
        source=source,
    )
