"""What protects the visitor's browser: headers that let it load nothing elsewhere, and forms of this console only.

Browsers send the login (MLflow's basic auth) with every request, so a form of another site would act in the user's
name. A token in cookie and form, and the browser's headers Sec-Fetch-Site and Origin, show where a form came from.
"""

import hmac
import secrets
from urllib.parse import urlsplit

from flask import Request, Response, request

from pipelines.texts.message_catalogue import Texts

COOKIE, FIELD = "elp_console", "token"
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; media-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'self'"
)


def add_headers(response: Response) -> Response:
    """Add the headers to a response; browsers cache stylesheet and scripts for an hour, the rest not at all."""
    response.headers.setdefault("Content-Security-Policy", POLICY)
    response.headers["X-Content-Type-Options"] = "nosniff"
    response.headers["Referrer-Policy"] = "same-origin"
    response.headers["Cache-Control"] = "max-age=3600" if (request.endpoint or "").endswith(".static") else "no-store"
    return response


def csrf_token(request: Request) -> str:
    """Return the visitor's token: that of the cookie, or a new one."""
    held = request.cookies.get(COOKIE, "")
    # 32 bytes have 43 characters in base64 without padding
    return held if len(held) == 43 else secrets.token_urlsafe(32)


def csrf_fault(request: Request, said: Texts) -> str:
    """Return why this form is refused, in a sentence; empty if a page of this console sent it."""
    fetched = request.headers.get("Sec-Fetch-Site", "")
    origin = request.headers.get("Origin", "")
    if fetched and fetched != "same-origin":
        return said.say("this form was sent by another site; open the console and use its own buttons")
    # browsers send no Sec-Fetch-Site over plain http, but always the origin of a posted form
    if not fetched and origin and urlsplit(origin).netloc != request.host:
        return said.say(
            "this form came from %(origin)s, this server is %(host)s; open the console there, or let the proxy in "
            "front of it forward the Host header",
            origin=origin,
            host=request.host,
        )
    held, sent = request.cookies.get(COOKIE, ""), request.form.get(FIELD, "")
    # the comparison takes as long for a wrong token as for the right one: its time tells nothing about the token
    # as bytes, because of two texts it accepts ASCII only
    if not held or not hmac.compare_digest(held.encode(), sent.encode()):
        return said.say("this form is older than the page's cookie, or cookies are off; load the page again and repeat")
    return ""
