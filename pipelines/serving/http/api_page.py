"""The OpenAPI description as a page without scripts: a server of a plant has no access to the pages of others."""

from __future__ import annotations

import html
from collections.abc import Mapping
from typing import Any

_STYLE = (
    "body{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem;color:#1a1a1a;"
    "background:#fff}h2{margin-top:2.5rem;font-size:1.1rem}code{font-family:ui-monospace,monospace}"
    "table{border-collapse:collapse;width:100%}td,th{text-align:left;vertical-align:top;padding:.3rem .8rem .3rem 0;"
    "border-top:1px solid #767676}"
)


def api_page(openapi: Mapping[str, Any]) -> str:
    """Return HTML with every route of an OpenAPI description, its fields and its answer."""
    info = openapi["info"]
    title = f"{info['title']} {info['version']}"
    routes = [
        _route(method, path, operation)
        for path, operations in openapi["paths"].items()
        for method, operation in operations.items()
    ]
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{html.escape(title)}</title>'
        f"<style>{_STYLE}</style></head><body><main><h1>{html.escape(title)}</h1>"
        '<p>The same as JSON: <a href="openapi.json">openapi.json</a>. Errors are '
        '<code>{"error": {"message", "type", "param", "code"}}</code>.</p>' + "".join(routes) + "</main></body></html>"
    )


def _route(method: str, path: str, operation: Mapping[str, Any]) -> str:
    text = f"<h2><code>{method.upper()} {html.escape(path)}</code></h2>"
    text += f"<p>{html.escape(operation.get('description', ''))}</p>"
    body = operation.get("requestBody", {}).get("content", {}).get("multipart/form-data", {}).get("schema", {})
    rows = [
        f"<tr><td><code>{html.escape(name)}</code></td><td>{'required' if name in body['required'] else ''}</td>"
        f"<td>{html.escape(field['description'])}</td></tr>"
        for name, field in body.get("properties", {}).items()
    ]
    if rows:
        text += "<table><tr><th>field</th><th></th><th>content</th></tr>" + "".join(rows) + "</table>"
    answer = operation.get("responses", {}).get("200", {}).get("description", "")
    return text + (f"<p>Answer: {html.escape(answer)}</p>" if rows else "")
