"""Which requests are passed on to Prefect, in what form, and what is kept of its answers. Pure functions.

Only known headers are passed on: no password, no cookie but Prefect's own, nothing about the connection.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from urllib.parse import unquote_to_bytes, urlsplit

Headers = Iterable[tuple[bytes, bytes]]

METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE")
LONGEST_BODY = 16 * 2**20
"""Bytes; Prefect keeps a whole body in memory."""

_PASSED_ON = frozenset(
    {
        *(b"accept", b"accept-encoding", b"accept-language", b"content-type", b"content-encoding", b"user-agent"),
        *(b"if-none-match", b"if-modified-since", b"range", b"if-range", b"sec-fetch-mode", b"sec-fetch-dest"),
        *(b"x-prefect-api-version", b"prefect-csrf-token", b"prefect-csrf-client"),
    }
)
_COOKIE = re.compile(rb"(?:^|;)\s*(prefect_ui_version=[a-z0-9]{1,10})\s*(?=;|$)")
"""Which of its two looks Prefect shows."""
_DROPPED = frozenset(
    {
        *(b"connection", b"keep-alive", b"proxy-authenticate", b"te", b"trailer", b"transfer-encoding", b"upgrade"),
        # the server writes its own; logins and permissions for other sites are this server's
        *(b"date", b"server", b"set-cookie", b"www-authenticate", b"location"),
    }
)
_OTHER_SITES = b"access-control-"
_PATH = re.compile(rb"(?:[A-Za-z0-9_.~!$&'()*+,;=:@/-]|%[0-9A-Fa-f]{2})+")
_QUERY = re.compile(rb"[\x21-\x7e]*")
_POLICY = (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'")


def path_fault(raw_path: bytes, query: bytes, mount: str) -> str:
    """Return why a path could mean another one to Prefect than to this server; empty if it cannot."""
    if not _PATH.fullmatch(raw_path) or not raw_path.startswith(mount.encode()) or not _QUERY.fullmatch(query):
        return "the address has characters that have to be escaped"
    parts = raw_path.split(b"/")[1:]
    decoded = [unquote_to_bytes(part) for part in parts]
    # one empty part at the end is a slash
    if any(part in (b".", b"..") for part in decoded) or b"" in decoded[:-1]:
        return "the address has a part that is empty, '.' or '..'"
    if any(letter in b"/\\" or letter < 32 or letter == 127 for part in decoded for letter in part):
        return "the address has an escaped slash, backslash or control character"
    return ""


def site_fault(method: str, headers: Mapping[bytes, bytes]) -> str:
    """Return why a browser's request is refused because a page of another site made it; empty if none did.

    Browsers send the login with every request. A program sends none of these headers.
    """
    host, origin = (headers.get(name, b"").decode("latin-1").lower() for name in (b"host", b"origin"))
    fetched, mode = (headers.get(name, b"").decode("latin-1") for name in (b"sec-fetch-site", b"sec-fetch-mode"))
    if origin and urlsplit(origin).netloc != host:
        return (
            f"this request came from a page of {origin[:100]}, this server is {host[:100]}; open Prefect's pages here, "
            "or let the proxy in front of this server forward the Host header"
        )
    following_a_link = method in ("GET", "HEAD") and (fetched == "none" or mode == "navigate")
    if fetched and fetched != "same-origin" and not following_a_link:
        return "this request was made by a page of another site; open Prefect's pages of this server"
    return ""


def target(raw_path: bytes, query: bytes, mount: str) -> bytes:
    """Return the path and query for Prefect: its API is at ``/api`` there, its pages keep their path."""
    rest = raw_path[len(mount) :]
    path = rest if rest == b"/api" or rest.startswith(b"/api/") else raw_path
    return path + (b"?" + query if query else b"")


def passed_headers(headers: Headers, host: str, login: bytes = b"") -> list[tuple[bytes, bytes]]:
    """Return the headers for Prefect; `login` is the value of its ``Authorization``."""
    given = list(headers)
    passed = [(b"host", host.encode()), *((name, value) for name, value in given if name in _PASSED_ON)]
    for name, value in given:
        if name == b"cookie" and (found := _COOKIE.search(value)):
            passed.append((b"cookie", found[1]))
            break
    return [*passed, (b"authorization", login)] if login else passed


def kept_headers(headers: Headers, upstream: str, mount: str) -> list[tuple[bytes, bytes]]:
    """Return the headers of Prefect's answer for the browser; one without a policy gets one that allows nothing."""
    given = [(name.lower(), value) for name, value in headers]
    named = {part.strip().lower() for name, value in given if name == b"connection" for part in value.split(b",")}
    kept = [
        (name, value)
        for name, value in given
        if name not in _DROPPED and name not in named and not name.startswith(_OTHER_SITES)
    ]
    names = {name for name, _ in kept}
    for name, value in (_POLICY, (b"cache-control", b"no-cache"), (b"referrer-policy", b"same-origin")):
        if name not in names:
            kept.append((name, value))
    kept.append((b"x-content-type-options", b"nosniff"))
    kept += [(b"location", moved(value, upstream, mount)) for name, value in given if name == b"location"]
    return kept


def moved(location: bytes, upstream: str, mount: str) -> bytes:
    """Return where a redirect of Prefect leads as the browser sees it; its pages for any address but its own."""
    path = location.removeprefix(upstream.encode())
    if path.startswith(b"/api/"):
        return mount.encode() + path
    return path if path.startswith(f"{mount}/".encode()) else f"{mount}/".encode()
