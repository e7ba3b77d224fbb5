"""Roles: the three next to the administrator, and the right that each request needs.

The roles are MLflow's own (tables `roles`, `role_permissions`, `user_role_assignments`), so its pages show and assign
them. MLflow's permissions alone are not enough: without workspaces every user may create experiments and models, and
the permission to set an alias includes the permission to add versions. So a request is checked here first, by method
and path, then by MLflow. The champion transition checks its own right with `authorize`.
"""

from __future__ import annotations

import re

from pipelines.server.auth.principal import Caller, current_caller
from pipelines.server.refusal import Attempt

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
    found = _FAMILY.match(path)
    rest = found["rest"] if found else path.lstrip("/")
    reading = method in ("GET", "HEAD", "OPTIONS")
    # MLflow's GraphQL changes nothing: its mutations are searches
    if rest in _READING_POSTS or rest == "graphql":
        return READ
    if _ADMINISTER.match(rest):
        # the gateway proxy passes a GET on to another server
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
