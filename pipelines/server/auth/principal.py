"""The caller of a request, set once by `AuthMiddleware`, and the roles that say what it may do.

There are three roles next to the administrator. They are MLflow's own (tables `roles`, `role_permissions`,
`user_role_assignments`), so its pages show and assign them. MLflow's permissions alone are not enough: without
workspaces every user may create experiments and models, and the permission to set an alias includes the permission to
add versions. So a request is checked here first, by method and path, then by MLflow. The champion transition checks its
own right with `authorize`.
"""

import contextlib
import os
import re
import unicodedata
from collections.abc import Iterator
from contextvars import ContextVar
from dataclasses import dataclass, replace

from pipelines.registry.ledger.entry import Principal
from pipelines.server.auth.prefect_rights import is_prefect, reads_prefect
from pipelines.server.refusal import Attempt

AUTH = "ELP_AUTH"
"""Environment variable of the server: whether it requires a login."""
UNKNOWN = "unknown"
_LONGEST = 200

READ, ANNOTATE, TRAIN, PROMOTE, ADMINISTER = "read", "annotate", "train", "promote", "administer"

ROLES: dict[str, frozenset[str]] = {
    "auditor": frozenset({READ}),
    "trainer": frozenset({READ, ANNOTATE, TRAIN}),
    "promoter": frozenset({READ, ANNOTATE, PROMOTE}),
}
"""Role -> its rights. An administrator has every right, but cannot approve their own override request."""

MLFLOW_PERMISSIONS: dict[str, tuple[tuple[str, str, str], ...]] = {
    "auditor": (("experiment", "*", "READ"), ("registered_model", "*", "READ")),
    "trainer": (("experiment", "*", "MANAGE"), ("registered_model", "*", "MANAGE")),
    # MLflow asks for EDIT to set an alias and for MANAGE to delete one; `right_needed` refuses the rest of MANAGE
    "promoter": (("experiment", "*", "READ"), ("registered_model", "*", "MANAGE")),
}
"""Role -> (resource, pattern, permission) in MLflow's tables."""

_FAMILY = re.compile(r"^/(?:ajax-)?api/\d+\.\d+/(?:mlflow/)?(?P<rest>.*)$")
_ADMINISTER = re.compile(r"^(users|roles|workspaces|webhooks|gateway|gateway-proxy|mcp-servers)(/|$)")
_ANNOTATE = frozenset(
    {
        "registered-models/alias",
        *(f"{family}/{verb}" for family in ("registered-models", "model-versions") for verb in ("set-tag", "update")),
        *(f"{family}/delete-tag" for family in ("registered-models", "model-versions")),
    }
)
"""Notes on a model or version, and aliases. The champion transition checks who may move the alias champion."""
_READING_POSTS = frozenset(
    {
        *(f"{family}/search" for family in ("experiments", "runs", "logged-models", "datasets", "issues", "traces")),
        *("experiments/search-datasets", "registered-models/get-latest-versions", "artifacts/presigned-download-url"),
        *("traces/metrics", "traces/batchGetInfos", "traces/calculate-filter-correlation"),
        *("prompt-optimization/jobs/search", "jobs/search", "ui-telemetry"),
        # every user may change their own password; MLflow asks for the old one
        "users/update-password",
    }
)
"""Requests that change nothing although they are not a GET."""


@dataclass(frozen=True)
class Caller(Principal):
    """The principal of a request, with its rights. Without a login `name` is a claim, or ``unknown``."""

    admin: bool = False
    roles: tuple[str, ...] = ()
    """Names of `ROLES`."""


SERVER = Caller("server", True, "", admin=True)
"""The server itself, such as the thread that ends overrides; it has every right."""

# not thread-local: an async server handles many requests in one thread
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


def has_right(caller: Caller, right: str) -> bool:
    """Return whether the caller has a right; without a login there are no roles, and everyone has every right."""
    if not caller.login or caller.admin:
        return True
    return any(right in ROLES.get(role, ()) for role in caller.roles)


def right_needed(method: str, path: str) -> str:
    """Return the right that a request to the server needs.

    A request that this table does not know needs `TRAIN`: nothing is open by omission.
    """
    if path.startswith("/elp/"):
        # our own routes call `authorize` themselves
        return READ
    if is_prefect(path):
        return READ if reads_prefect(method, path) else ADMINISTER
    found = _FAMILY.match(path)
    rest = found["rest"] if found else path.lstrip("/")
    reading = method in ("GET", "HEAD", "OPTIONS")
    # MLflow's GraphQL changes nothing: its mutations are searches
    if rest in _READING_POSTS or rest == "graphql":
        return READ
    if _ADMINISTER.match(rest):
        # MLflow's gateway proxy sends a GET, too, on to another server
        return READ if reading and not rest.startswith("gateway-proxy") else ADMINISTER
    if reading:
        return READ
    return ANNOTATE if rest in _ANNOTATE else TRAIN


def denial(caller: Caller, right: str) -> str:
    """Return the sentence for a caller without a right: what, why, and the command to run next."""
    able = [role for role, rights in ROLES.items() if right in rights]
    held = f"the role {' and '.join(caller.roles)}" if caller.roles else "no role"
    if not able:
        return f"{caller.name} has {held}, and this is for administrators; ask one of them"
    more = " ".join((*caller.roles, able[-1]))
    return (
        f"{caller.name} has {held}, and this needs {' or '.join(able)}; log in as a user who has it "
        f"(MLFLOW_TRACKING_USERNAME), or ask an administrator for: elp users role {caller.name} {more}"
    )


def authorize(right: str, attempt: Attempt) -> None:
    """Raise Refusal if the current caller logged in and none of their roles has the right."""
    caller = current_caller()
    if not has_right(caller, right):
        raise attempt.refused(denial(caller, right))
