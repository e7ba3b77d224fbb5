"""Every route requires a login, each role reaches its own routes, and the ledger names the user."""

from __future__ import annotations

import pytest

from pipelines.errors import RegistryError, UsageError
from pipelines.local import accounts
from pipelines.registry.client import users
from pipelines.registry.client.connection import Account
from tests.support.guarded_server import guarded_environment
from tests.support.login_server import PASSWORD, ROLES, LoginServer
from tests.support.movers import server_variables
from tests.support.rest import Rest
from tests.support.server_routes import routes_of
from tests.support.versions_by_hand import API, ARTIFACTS, ELP

pytestmark = pytest.mark.integration

# the route of the one-time tokens checks them itself; tests/attacks/test_worker_tokens.py
TOKENS = {("POST", f"{ELP}/{route}") for route in ("workers/enrol", "boxes/enrol", "boxes/report", "boxes/serving")}
OPEN = {("GET", "/health"), ("HEAD", "/health"), ("OPTIONS", "/health"), *TOKENS}
PLACES = {"auditor": "dora", "trainer": "carl", "promoter": "anna", "admin": "admin"}


def test_every_route_refuses_the_unknown(login: LoginServer) -> None:
    server = login.guarded
    environment = guarded_environment(server.folder, accounts.login_environment(login.workspace))
    routes, native = routes_of({**environment, **server_variables(server)})
    assert len(routes) > 300
    assert native > 30
    assert ("POST", f"{ELP}/promote") in routes
    answered = {
        (method, path): status
        for method, path in routes
        if not path.startswith("/static-files/")
        for status in [login.rest()(method, path).status]
        if status != 401
    }
    assert set(answered) <= OPEN, answered


@pytest.mark.parametrize(
    "credentials", [("anna", "wrong"), ("nobody", PASSWORD), ("anna", ""), ("", ""), ("ANNA", PASSWORD)]
)
def test_wrong_credentials_are_as_good_as_none(login: LoginServer, credentials: tuple[str, str]) -> None:
    answer = Rest(login.uri, credentials)("GET", f"{ELP}/status")
    assert (answer.status, answer.headers["www-authenticate"]) == (401, 'Basic realm="mlflow"')


def test_health_is_open(login: LoginServer) -> None:
    assert login.rest()("GET", "/health").text == "OK"


ROUTES: tuple[tuple[str, str, object, str], ...] = (
    ("GET", f"{ELP}/status", None, "auditor trainer promoter"),
    ("GET", f"{ELP}/ledger", None, "auditor trainer promoter"),
    ("GET", "/elp/metrics", None, "auditor trainer promoter"),
    ("GET", f"{API}/registered-models/search", None, "auditor trainer promoter"),
    ("POST", f"{API}/runs/search", {"experiment_ids": ["0"]}, "auditor trainer promoter"),
    ("GET", f"{ARTIFACTS}?path=", None, "auditor trainer promoter"),
    ("POST", f"{API}/experiments/create", {"name": "by {user}"}, "trainer"),
    ("POST", f"{API}/runs/create", {"experiment_id": "0"}, "trainer"),
    ("POST", f"{API}/registered-models/create", {"name": "by.{user}"}, "trainer"),
    ("PUT", f"{ARTIFACTS}/0/x/artifacts/{{user}}.txt", None, "trainer"),
    ("POST", f"{API}/registered-models/set-tag", {"name": "free", "key": "k", "value": "v"}, "trainer promoter"),
    ("POST", "/api/3.0/mlflow/roles/create", {"name": "mine-{user}", "workspace": "default"}, ""),
    ("POST", f"{API}/users/create", {"username": "friend-{user}", "password": PASSWORD}, ""),
    ("PATCH", f"{API}/users/update-admin", {"username": "{user}", "is_admin": True}, ""),
)


@pytest.fixture(scope="module")
def _free_model(login: LoginServer) -> None:
    login.rest("admin").post(f"{API}/registered-models/create", {"name": "free"})


@pytest.mark.usefixtures("_free_model")
@pytest.mark.parametrize(("method", "path", "values", "allowed"), ROUTES)
def test_each_role_reaches_its_own_routes(
    login: LoginServer, method: str, path: str, values: object, allowed: str
) -> None:
    for role, name in PLACES.items():
        sent = None
        if isinstance(values, dict):
            sent = {k: v.replace("{user}", name) if isinstance(v, str) else v for k, v in values.items()}
        answer = login.rest(name)(method, path.replace("{user}", name), sent)
        expected = 200 if role == "admin" or role in allowed.split() else 403
        assert answer.status == expected, f"{role}: {answer.status} {answer.text[:300]}"


def test_a_refused_role_is_recorded_with_its_name(login: LoginServer) -> None:
    assert login.rest("dora")("POST", f"{API}/runs/create", {"experiment_id": "0"}).status == 403
    entry = login.rest("dora").get(f"{ELP}/ledger?event=refused&limit=1000")["entries"][-1]["entry"]
    assert entry["who"] == {"name": "dora", "login": True, "address": "127.0.0.1"}
    assert "dora has the role auditor, and this needs trainer" in entry["reason"]


def test_the_workers_account_trains_and_does_not_promote(login: LoginServer) -> None:
    service = accounts.service(login.workspace)
    assert service is not None
    rest = Rest(login.uri, (service.name, service.password))
    assert rest("POST", f"{API}/runs/create", {"experiment_id": "0"}).status == 200
    assert rest("POST", f"{API}/users/create", {"username": "x", "password": PASSWORD}).status == 403


def test_users_are_listed_changed_and_removed(login: LoginServer) -> None:
    server = login.users()
    listed = {user.name: user.roles for user in users.list_users(server)}
    assert {name: listed[name] for name in ROLES} == {name: tuple(sorted(roles)) for name, roles in ROLES.items()}
    assert users.add_user(server, "fritz", PASSWORD, ("auditor",)).roles == ("auditor",)
    assert users.set_user_roles(server, "fritz", ("trainer", "admin")).roles == ("admin", "trainer")
    assert users.set_user_roles(server, "fritz", ("promoter",)).roles == ("promoter",)
    users.set_password(server, "fritz", PASSWORD + "!")
    own = users.Server(login.uri, Account("fritz", PASSWORD + "!"))
    users.set_password(own, "fritz", PASSWORD + "?")
    assert Rest(login.uri, ("fritz", PASSWORD + "!"))("GET", f"{ELP}/status").status == 401
    users.remove_user(server, "fritz")
    assert Rest(login.uri, ("fritz", PASSWORD + "?"))("GET", f"{ELP}/status").status == 401
    rows = login.rest("dora").get(f"{ELP}/ledger?event=users%20changed&limit=1000")["entries"]
    entries = [row["entry"] for row in rows if row["entry"]["detail"].get("username") == "fritz"]
    assert [(e["detail"]["what"], e["who"]["name"], e["detail"].get("role", "")) for e in entries] == [
        ("users/create", "admin", ""),
        ("roles/assign", "admin", "auditor"),
        ("roles/assign", "admin", "trainer"),
        ("roles/unassign", "admin", "auditor"),
        ("users/update-admin", "admin", ""),
        ("roles/assign", "admin", "promoter"),
        ("roles/unassign", "admin", "trainer"),
        ("users/update-admin", "admin", ""),
        ("users/update-password", "admin", ""),
        ("users/update-password", "fritz", ""),
        ("users/delete", "admin", ""),
    ]
    assert PASSWORD not in str(entries)


@pytest.mark.parametrize(
    ("name", "password", "roles", "said"),
    [
        ("Anna", PASSWORD, ("auditor",), "is not a user name"),
        ("аnna", PASSWORD, ("auditor",), "is not a user name"),
        ("server", PASSWORD, ("auditor",), "is not a user name"),
        ("gert", "short", ("auditor",), "has 5 characters; expected 12"),
        ("gert", PASSWORD, ("king",), "unknown role king; expected auditor"),
    ],
)
def test_a_bad_account_is_refused(
    login: LoginServer, name: str, password: str, roles: tuple[str, ...], said: str
) -> None:
    with pytest.raises(UsageError, match=said):
        users.add_user(login.users(), name, password, roles)


def test_what_is_missing_or_there_already_is_named(login: LoginServer) -> None:
    with pytest.raises(RegistryError, match=r"user anna exists already; .*elp users role anna"):
        users.add_user(login.users(), "anna", PASSWORD, ("auditor",))
    with pytest.raises(RegistryError, match="there is no user gert; list the users with: elp users list"):
        users.remove_user(login.users(), "gert")
    stranger = users.Server(login.uri, Account("gert", PASSWORD))
    with pytest.raises(RegistryError, match="does not know gert with this password; set MLFLOW_TRACKING_USERNAME"):
        users.list_users(stranger)
    with pytest.raises(RegistryError, match="anna has the role promoter, and this is for administrators"):
        users.remove_user(users.Server(login.uri, Account("anna", PASSWORD)), "berta")


def test_mlflows_assistant_which_runs_commands_is_not_there(login: LoginServer) -> None:
    for method, route in (("POST", "message"), ("GET", "config"), ("POST", "skills/install")):
        assert login.rest("admin")(method, f"/ajax-api/3.0/mlflow/assistant/{route}", {}).status == 404
