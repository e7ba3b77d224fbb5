from __future__ import annotations

import pytest

from pipelines.server.auth.principal import ROLES, Caller, denial, has_right, right_needed

API, AJAX = "/api/2.0/mlflow", "/ajax-api/2.0/mlflow"
NEEDS = (
    ("GET", f"{AJAX}/registered-models/get", "read"),
    ("POST", f"{AJAX}/runs/search", "read"),
    ("POST", "/graphql", "read"),
    ("PATCH", f"{AJAX}/users/update-password", "read"),
    ("GET", "/elp/api/v1/ledger", "read"),
    ("POST", "/elp/api/v1/promote", "read"),
    ("POST", f"{API}/registered-models/alias", "annotate"),
    ("DELETE", f"{API}/model-versions/delete-tag", "annotate"),
    ("PATCH", f"{API}/model-versions/update", "annotate"),
    ("POST", f"{API}/model-versions/create", "train"),
    ("POST", f"{API}/registered-models/rename", "train"),
    ("DELETE", f"{API}/registered-models/delete", "train"),
    ("PUT", "/api/2.0/mlflow-artifacts/artifacts/1/r/artifacts/x", "train"),
    ("POST", f"{API}/runs/log-metric", "train"),
    ("POST", "/v1/traces", "train"),
    ("POST", f"{API}/runs/search/", "train"),
    ("POST", "/something/new", "train"),
    ("POST", f"{API}/users/create", "administer"),
    ("POST", "/api/3.0/mlflow/roles/assign", "administer"),
    ("POST", "/gateway/x/mlflow/invocations", "administer"),
    ("GET", f"{AJAX}/gateway-proxy", "administer"),
)


@pytest.mark.parametrize(("method", "path", "action"), NEEDS)
def test_each_request_is_measured_by_what_it_changes(method: str, path: str, action: str) -> None:
    assert right_needed(method, path) == action


@pytest.mark.parametrize(
    ("roles", "actions"),
    [
        ((), set()),
        (("auditor",), {"read"}),
        (("trainer",), {"read", "annotate", "train"}),
        (("promoter",), {"read", "annotate", "promote"}),
        (("promoter", "trainer"), {"read", "annotate", "train", "promote"}),
        (("made up",), set()),
    ],
)
def test_a_role_can_promote_without_training_and_the_reverse(roles: tuple[str, ...], actions: set[str]) -> None:
    actor = Caller("anna", True, "", roles=roles)
    assert {a for a in ("read", "annotate", "train", "promote", "administer") if has_right(actor, a)} == actions


def test_an_administrator_may_everything_and_without_a_login_everyone_may() -> None:
    assert all(has_right(Caller("root", True, "", admin=True), a) for a in ("read", "train", "promote", "administer"))
    assert has_right(Caller("unknown", False, ""), "promote")


def test_a_refusal_names_the_command_that_would_help() -> None:
    said = denial(Caller("anna", True, "", roles=("trainer",)), "promote")
    assert said.startswith("anna has the role trainer, and this needs promoter;")
    assert said.endswith("elp users role anna trainer promoter")
    assert "administrators" in denial(Caller("anna", True, ""), "administer")


def test_every_role_may_at_least_read() -> None:
    assert all("read" in actions for actions in ROLES.values())
