"""What browsers are told about the pages: load and send nothing elsewhere, run no script but ours."""

from __future__ import annotations

from flask import Response

POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self'",
        "form-action 'self'",
        "base-uri 'none'",
        "frame-ancestors 'self'",
    )
)


def guarded(response: Response) -> Response:
    """The response with its headers; pages are never kept, the stylesheet and the script for an hour."""
    response.headers["Content-Security-Policy"] = POLICY
    response.headers["X-Content-Type-Options"] = "nosniff"
    response.headers["Referrer-Policy"] = "same-origin"
    response.headers["Cache-Control"] = "no-store" if response.mimetype == "text/html" else "max-age=3600"
    return response
