"""Who is calling: set once at the server's entrance, read wherever a decision is made or recorded."""

from __future__ import annotations

import contextlib
import os
import unicodedata
from collections.abc import Iterator
from contextvars import ContextVar
from dataclasses import replace

from pipelines.registry.ledger.entry import Principal
from pipelines.server.auth.roles import Actor

AUTH = "ELP_AUTH"
"""Environment variable of the server: whether it asks for a login."""
UNKNOWN = "unknown"
SERVER = Principal("server", True, "")
"""What the server does by itself."""

_LONGEST = 200
_actor: ContextVar[Actor | None] = ContextVar("elp_actor", default=None)


def login_on() -> bool:
    """Whether this server asks for a login: every name is then proven."""
    return os.environ.get(AUTH, "") not in ("", "0", "false")


@contextlib.contextmanager
def acting(actor: Actor) -> Iterator[None]:
    """Everything inside is done by `actor`, in this thread and in those that it starts with its context."""
    token = _actor.set(actor)
    try:
        yield
    finally:
        _actor.reset(token)


def as_server() -> contextlib.AbstractContextManager[None]:
    """Everything inside is done by the server itself, which may do everything."""
    return acting(Actor(SERVER.name, login=True, admin=True))


def current(claimed: str = "") -> Actor:
    """Who acts now, with their roles.

    Args:
        claimed: The name that the caller gives; counts only where nobody logged in.
    """
    # where a login is asked for, who came in without one has no rights, whatever way that was
    actor = _actor.get() or Actor(UNKNOWN, login=login_on(), address=_address())
    return replace(actor, name=claimed[:_LONGEST]) if claimed and not actor.login else actor


def caller(claimed: str = "") -> Principal:
    """Who acts now, as the ledger names them.

    Args:
        claimed: The name that the caller gives; counts only where nobody logged in.
    """
    return current(claimed).who


def _address() -> str:
    """Where a Flask request came from, for servers that are not ASGI and so have no entrance of ours."""
    from flask import has_request_context, request

    return (request.remote_addr or "") if has_request_context() else ""


def same_person(one: str, other: str) -> bool:
    """Whether two user names may be one person's: equal but for case, width, accents and punctuation.

    Args:
        one: A user name.
        other: Another.
    """
    return _folded(one) == _folded(other)


def is_plain(name: str) -> bool:
    """Whether a user name can be compared by `same_person`: it has letters or digits, all of them ASCII once folded.

    Letters of other scripts can look like Latin ones, so that two names look like one person's and are not, or one
    person has two names that look alike.
    """
    folded = _folded(name)
    return bool(folded) and folded.isascii()


def _folded(name: str) -> str:
    decomposed = unicodedata.normalize("NFKD", name).casefold()
    return "".join(c for c in decomposed if c.isalnum())
