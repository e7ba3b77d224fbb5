"""Data Docs that need no network: the pages of Great Expectations without what they load from seven other hosts.

Without these files the list of deliveries is empty and the pages have no layout. They get a style of ours, a list of
plain links, and a content policy that loads nothing from elsewhere. Checked with Great Expectations 1.24.1.
"""

from __future__ import annotations

import html
import re
from datetime import datetime
from pathlib import Path
from urllib.parse import quote

from elp_core.files import write_whole

_MARK = '<meta name="elp-docs" content="'
_HEAD = 600
"""Characters at the beginning of a page, within which our mark is."""
_POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src 'self' data:; base-uri 'none'; form-action 'none'"
_STYLE = """
:root { color-scheme: light dark; }
body { font: 16px/1.5 system-ui, sans-serif; margin: 0 auto; max-width: 75rem; padding: 0 1rem 2rem; }
h5, .h6 { font-size: 1.05rem; margin: 0; }
.alert { background: rgba(128, 128, 128, .15); border-radius: .3rem; padding: .5rem .8rem; }
.table-responsive { overflow-x: auto; }
table { border-collapse: collapse; margin: .5rem 0; }
th, td { border-bottom: 1px solid rgba(128, 128, 128, .4); padding: .3rem .8rem; text-align: left; }
.badge { background: rgba(128, 128, 128, .2); border-radius: .2rem; font-family: monospace; padding: 0 .3rem; }
.breadcrumb, .nav { list-style: none; padding: 0; display: flex; flex-wrap: wrap; gap: .2rem 1rem; }
.fa-check-circle::before { content: "✔"; color: #1a7f37; }
.fa-times::before, .fa-times-circle::before { content: "✘"; color: #cf222e; }
.fa-exclamation-triangle::before { content: "!"; color: #9a6700; }
.card.mb-3, .cooltip .top, .nav-tabs, .navbar-brand { display: none; }
"""


def make_offline(docs: Path) -> None:
    """Rewrite the pages in `docs` that Great Expectations has written since the last call, and the list of them."""
    rows = []
    for page in sorted(docs.rglob("*.html")):
        text = page.read_text(encoding="utf-8")[:_HEAD] if page.name != "index.html" else ""
        if _MARK not in text and page != docs / "index.html":
            whole = page.read_text(encoding="utf-8")
            write_whole(page, offline_page(whole))
            text = f'{_MARK}{_status(whole)}"'
        if page.is_relative_to(docs / "validations"):
            rows.append((page, text.partition(_MARK)[2].partition('"')[0]))
    if rows:
        write_whole(docs / "index.html", _index(docs, rows))


def offline_page(text: str) -> str:
    """Return a page of Great Expectations without scripts and without files of other hosts."""
    status = _status(text)
    text = re.sub(r"<script\b.*?</script\s*>", "", text, flags=re.DOTALL | re.IGNORECASE)
    # its head has styles for a layout that is not loaded, and one with a picture of another host
    text = re.sub(r"<style\b.*?</style\s*>", "", text, flags=re.DOTALL | re.IGNORECASE)
    text = re.sub(r"<footer\b.*?</footer\s*>", "", text, flags=re.DOTALL | re.IGNORECASE)
    text = re.sub(r"<(?:link|img)\b[^>]*?(?:href|src)\s*=\s*[\"']?(?:https?:)?//[^>]*>", "", text, flags=re.IGNORECASE)
    return re.sub(r"<head\b[^>]*>", lambda found: found[0] + _head(status), text, count=1, flags=re.IGNORECASE)


def _head(status: str) -> str:
    policy = f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">'
    return f'{_MARK}{html.escape(status)}"><meta charset="utf-8">{policy}<style>{_STYLE}</style>'


def _status(text: str) -> str:
    """Return Succeeded or Failed, as the page says it; empty for a page about no delivery."""
    found = re.search(r"Status:\s*</span>\s*<i\b[^>]*>\s*</i>\s*(\w+)", text)
    return found[1] if found else ""


def _index(docs: Path, rows: list[tuple[Path, str]]) -> str:
    """Return the page with a link to each delivery's page, the newest first."""
    lines = []
    for page, status in sorted(rows, key=lambda row: row[0].parent.name, reverse=True):
        place = page.relative_to(docs)
        link = quote(place.as_posix())
        run = html.escape("/".join(place.parts[2:-2]) or page.stem)
        suite = html.escape(place.parts[1])
        rules = f'<a href="expectations/{quote(place.parts[1])}.html">{suite}</a>'
        mark = {"Succeeded": "fa-check-circle", "Failed": "fa-times"}.get(status, "")
        state = f'<i class="{mark}"></i> {html.escape(status)}'
        cells = state, _moment(page.parent.name), f'<a href="{link}">{run}</a>', rules
        lines.append(f"<tr>{''.join(f'<td>{cell}</td>' for cell in cells)}</tr>")
    head = "<tr><th>Status</th><th>Checked (UTC)</th><th>Delivery</th><th>Rules</th></tr>"
    title = html.escape(f"Checked deliveries of {docs.parent.name}/{docs.name}")
    return (
        f'<!DOCTYPE html>\n<html lang="en"><head>{_head("")}<title>{title}</title></head>\n<body><h1>{title}</h1>\n'
        f"<table>{head}\n" + "\n".join(lines) + "\n</table></body></html>\n"
    )


def _moment(name: str) -> str:
    try:
        return f"{datetime.strptime(name, '%Y%m%dT%H%M%S.%fZ'):%Y-%m-%d %H:%M}"
    except ValueError:
        return html.escape(name)
