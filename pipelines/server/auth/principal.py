"""The caller of a request: set once by `AuthMiddleware`, read by every decision and every record of one."""

from __future__ import annotations

import contextlib
import os
import unicodedata
from collections.abc import Iterator
from contextvars import ContextVar
from dataclasses import dataclass, replace

from pipelines.registry.ledger.entry import Principal

AUTH = "ELP_AUTH"
"""Environment variable of the server: whether it requires a login."""
UNKNOWN = "unknown"
_LONGEST = 200


@dataclass(frozen=True)
class Caller(Principal):
    """The principal of a request, with its rights. Without a login `name` is a claim, or ``unknown``."""

    admin: bool = False
    roles: tuple[str, ...] = ()
    """Names of `pipelines.server.auth.roles.ROLES`."""


SERVER = Caller("server", True, "", admin=True)
"""The server itself, such as the thread that ends overrides; it has every right."""

_caller: ContextVar[Caller | None] = ContextVar("elp_caller", default=None)


def login_on() -> bool:
    """Return whether this server requires a login, so that every name is proven."""
    return os.environ.get(AUTH, "") not in ("", "0", "false")


@contextlib.contextmanager
def acting_as(caller: Caller) -> Iterator[None]:
    """Run the block as `caller`, in this thread and in threads that are started with its context."""
    token = _caller.set(caller)
    try:
        yield
    finally:
        _caller.reset(token)


def current_caller(claimed: str = "") -> Caller:
    """Return the caller of the request; the `claimed` name counts only if the caller did not log in."""
    from flask import has_request_context, request

    # servers other than uvicorn do not run `AuthMiddleware`
    address = (request.remote_addr or "") if has_request_context() else ""
    # a request that bypassed the middleware of a server with a login gets no rights: a login without any role
    caller = _caller.get() or Caller(UNKNOWN, login_on(), address)
    return replace(caller, name=claimed[:_LONGEST]) if claimed and not caller.login else caller


def same_person(one: str, other: str) -> bool:
    """Return whether two user names may belong to one person: equal except for case, width, accents and punctuation."""
    return _folded(one) == _folded(other)


def is_plain(name: str) -> bool:
    """Return whether `same_person` can compare a user name: it has letters or digits, all ASCII after folding.

    Letters of other scripts can look like Latin ones. Two names of one person would then pass as two persons.
    """
    folded = _folded(name)
    return bool(folded) and folded.isascii()


def _folded(name: str) -> str:
    decomposed = unicodedata.normalize("NFKD", name).casefold()
    return "".join(c for c in decomposed if c.isalnum())
