"""Who may do what: three roles beside the administrator, and what each request to the server needs.

The roles are MLflow's own (tables `roles`, `role_permissions`, `user_role_assignments`), so its pages show and assign
them. MLflow's permissions alone do not carry them: without workspaces anyone who may log in may create experiments and
models there, and the right to set an alias is the right to add versions. So a request is first measured here, by
method and path, then by MLflow, and a champion at last by the door.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from pipelines.registry.ledger.entry import Principal

READ, ANNOTATE, TRAIN, PROMOTE, ADMINISTER = "read", "annotate", "train", "promote", "administer"

ROLES: dict[str, frozenset[str]] = {
    "auditor": frozenset({READ}),
    "trainer": frozenset({READ, ANNOTATE, TRAIN}),
    "promoter": frozenset({READ, ANNOTATE, PROMOTE}),
}
"""Role -> what it may do. An administrator may do everything, but not approve what they asked for themselves."""

MLFLOW_PERMISSIONS: dict[str, tuple[tuple[str, str, str], ...]] = {
    "auditor": (("experiment", "*", "READ"), ("registered_model", "*", "READ")),
    "trainer": (("experiment", "*", "MANAGE"), ("registered_model", "*", "MANAGE")),
    # to set an alias is to edit the model, to delete one is to manage it; what else that would allow is refused here
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
"""Notes on a model or version, and aliases; whether it is a champion's alias is for the door to ask."""
_READING_POSTS = frozenset(
    {
        *(f"{family}/search" for family in ("experiments", "runs", "logged-models", "datasets", "issues", "traces")),
        *("experiments/search-datasets", "registered-models/get-latest-versions", "artifacts/presigned-download-url"),
        *("traces/metrics", "traces/batchGetInfos", "traces/calculate-filter-correlation"),
        *("prompt-optimization/jobs/search", "jobs/search", "ui-telemetry"),
        # MLflow lets anyone change their own password, who gives the old one
        "users/update-password",
    }
)
"""Requests that change nothing though they are not a GET."""


@dataclass(frozen=True)
class Actor:
    """Who acts. Without a login `name` is what the caller claims, or ``unknown``."""

    name: str
    login: bool = False
    admin: bool = False
    roles: tuple[str, ...] = ()
    address: str = ""
    """Network address that the request came from; empty for the server itself."""

    @property
    def who(self) -> Principal:
        """As a ledger entry names it."""
        return Principal(self.name, self.login, self.address)


def may(actor: Actor, action: str) -> bool:
    """Whether the actor may do this; without a login there are no roles, and everyone may."""
    if not actor.login or actor.admin:
        return True
    return any(action in ROLES.get(role, ()) for role in actor.roles)


def needed(method: str, path: str) -> str:
    """What a request to the server needs: one of the actions of `ROLES`, or ``administer``.

    A request that this table does not know needs the right to train: nothing is open by omission.
    """
    if path.startswith("/elp/"):
        # our own routes ask for their role themselves
        return READ
    found = _FAMILY.match(path)
    rest = found["rest"] if found else path.lstrip("/")
    reading = method in ("GET", "HEAD", "OPTIONS")
    if rest in _READING_POSTS or rest == "graphql":
        return READ
    if _ADMINISTER.match(rest):
        return READ if reading and not rest.startswith("gateway-proxy") else ADMINISTER
    if reading:
        return READ
    return ANNOTATE if rest in _ANNOTATE else TRAIN


def refusal(actor: Actor, action: str) -> str:
    """The sentence for an actor without the right: what, why, and the command to run next."""
    able = [role for role, rights in ROLES.items() if action in rights]
    held = f"the role {' and '.join(actor.roles)}" if actor.roles else "no role"
    if not able:
        return f"{actor.name} has {held}, and this is for administrators; ask one of them"
    more = " ".join((*actor.roles, able[-1]))
    return (
        f"{actor.name} has {held}, and this needs {' or '.join(able)}; log in as one who has it "
        f"(MLFLOW_TRACKING_USERNAME), or ask an administrator for: elp users role {actor.name} {more}"
    )
