"""An answer as one self-contained HTML page for an auditor: no script, no request, printable."""

from __future__ import annotations

from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path

from pipelines.audit.tables import AuditAnswer
from pipelines.html_report import render_page


def answer_page(answer: AuditAnswer, source: str) -> str:
    """Return the page's HTML.

    Args:
        answer: What it shows.
        source: Where the records came from: the server's address.
    """
    return render_page(
        Path(__file__).with_name("html_page.html"),
        answer=answer,
        failed=answer.tree.failed if answer.tree else (),
        made=datetime.now(UTC).isoformat(sep=" ", timespec="seconds"),
        program=f"elp-foundry {metadata.version('elp-foundry')}",
        source=source,
    )
