"""HTTP headers of the pages: browsers load and send nothing elsewhere, and run no other script."""

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


def add_headers(response: Response) -> Response:
    """Add the headers to a response; browsers cache stylesheet and script for an hour, pages not at all."""
    response.headers["Content-Security-Policy"] = POLICY
    response.headers["X-Content-Type-Options"] = "nosniff"
    response.headers["Referrer-Policy"] = "same-origin"
    response.headers["Cache-Control"] = "no-store" if response.mimetype == "text/html" else "max-age=3600"
    return response
