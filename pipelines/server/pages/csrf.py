"""A form counts only where this console's own page sent it: a token in cookie and form, and the browser's own word.

The login (MLflow's basic auth) is sent by browsers with any request, so another site's form would be a user's act.
"""

from __future__ import annotations

import hmac
import secrets
from urllib.parse import urlsplit

from flask import Request, Response

COOKIE, FIELD = "elp_console", "token"


def token(request: Request) -> str:
    """The visitor's token: the one that the cookie holds, or a new one, for `keep` to set."""
    held = request.cookies.get(COOKIE, "")
    return held if len(held) == 43 else secrets.token_urlsafe(32)


def keep(request: Request, response: Response, value: str, path: str) -> None:
    """Set the cookie that a form's token is compared with; scripts and other sites cannot read or send it."""
    response.set_cookie(COOKIE, value, path=path, httponly=True, samesite="Strict", secure=request.is_secure)


def fault(request: Request) -> str:
    """Why this form is not taken, in a sentence; empty where it came from the console's own page."""
    fetched = request.headers.get("Sec-Fetch-Site", "")
    origin = request.headers.get("Origin", "")
    if fetched and fetched != "same-origin":
        return "this form was sent by another site; open the console and use its own buttons"
    # browsers send no Sec-Fetch-Site to plain http, but always the origin of a form that is posted
    if not fetched and origin and urlsplit(origin).netloc != request.host:
        return (
            f"this form came from {origin}, this server is {request.host}; open the console there, or let the proxy "
            "in front of it pass the Host header on"
        )
    held, sent = request.cookies.get(COOKIE, ""), request.form.get(FIELD, "")
    if not held or not hmac.compare_digest(held.encode(), sent.encode()):
        return "this form is older than the page's cookie, or cookies are off; load the page again and repeat"
    return ""
