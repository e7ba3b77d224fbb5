"""Workers: who may invite, what a token is worth, and what a revoked worker can still do."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import requests
from mlflow.exceptions import MlflowException

from pipelines.errors import AttestationError, RegistryError, UsageError, WorkerEnded
from pipelines.registry.client import workers
from pipelines.registry.client.connection import Account
from pipelines.registry.signing.canonical_json import utc_now
from pipelines.registry.signing.envelope import sign
from pipelines.registry.signing.key_folder import add_keys, new_key, revoke_key
from pipelines.registry.signing.keys import load_trusted_keys, write_keys
from pipelines.registry.worker_request import WORKER_ROLES, new_token, sign_request, token_digest
from pipelines.release import installed_release
from pipelines.server.worker_enrolment import FailureLimit
from tests.support.contest import Contest
from tests.support.login_server import LoginServer
from tests.support.versions_by_hand import ELP

ADDRESSES = {"prefect_api": "http://127.0.0.1:4200/api", "git": "", "remote": "/srv/dvc"}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The keys of a worker."""
    return tmp_path / "keys"


@pytest.fixture(autouse=True)
def _no_account(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_PASSWORD"):
        monkeypatch.delenv(name, raising=False)


def _invite(login: LoginServer, name: str) -> str:
    return workers.send_invitation(login.uri, name, ADDRESSES, login.admin, login.guarded.keys)[0]


def _row(login: LoginServer, name: str) -> Any:
    return next(row for row in workers.list_workers(login.uri, login.admin) if row["name"] == name)


def test_a_worker_is_invited_enrolled_and_revoked_at_once(login: LoginServer, folder: Path) -> None:
    answer = workers.enrol_worker_keys(login.uri, _invite(login, "w1"), folder)
    assert answer["addresses"] == ADDRESSES
    own, server = load_trusted_keys(folder), load_trusted_keys(login.guarded.keys)
    assert {key.keyid for key in server.keys} == {key.keyid for key in own.keys}, "each trusts the other's"
    assert own.signer("lineage").public_key.keyid == own.active("lineage")[-1].keyid
    assert not (login.guarded.keys / "private" / f"{own.active('verdict')[-1].keyid}.pem").exists()
    account = replace(login.admin, name=answer["account"]["username"], password=answer["account"]["password"])
    mine = replace(login, admin=account).rest(account.name)
    mine("POST", "/api/2.0/mlflow/runs/create", {"experiment_id": "0"}).must_be(200)
    mine("POST", "/api/2.0/mlflow/users/create", {"username": "x", "password": "x" * 20}).must_be(403)
    assert _row(login, "w1")["state"] == "enrolled"
    row = workers.end(login.uri, "w1", login.admin, login.guarded.keys, retire=False)
    assert row["state"] == "revoked"
    assert mine("POST", "/api/2.0/mlflow/runs/create", {"experiment_id": "0"}).status in (401, 403)
    ended = load_trusted_keys(login.guarded.keys)
    assert all(ended.find(key).state == "revoked" for key in row["keys"])


def test_a_retired_worker_keeps_what_it_signed(login: LoginServer, folder: Path) -> None:
    workers.enrol_worker_keys(login.uri, _invite(login, "w2"), folder)
    row = workers.end(login.uri, "w2", login.admin, login.guarded.keys, retire=True)
    states = {load_trusted_keys(login.guarded.keys).find(key).state for key in row["keys"]}
    assert (row["state"], states) == ("retired", {"retired"})


def test_two_requests_with_one_token_are_one_worker(login: LoginServer, tmp_path: Path) -> None:
    token = _invite(login, "w3")

    def attempt(number: int) -> str:
        try:
            return str(workers.enrol_worker_keys(login.uri, token, tmp_path / str(number))["name"])
        except RegistryError as error:
            return str(error)

    with ThreadPoolExecutor(4) as threads:
        answers = sorted(threads.map(attempt, range(4)))
    assert answers[-1] == "w3"
    assert all(re.search("the token of w3 was used at .* elp worker revoke w3, then", text) for text in answers[:-1])
    assert len(_row(login, "w3")["keys"]) == 2


def test_a_token_that_is_wrong_expired_or_revoked_is_refused_with_a_sentence(login: LoginServer, folder: Path) -> None:
    with pytest.raises(RegistryError, match=r"^no open invitation has this token; .*elp worker invite NAME$"):
        workers.enrol_worker_keys(login.uri, new_token("w4"), folder)
    expired = _invite(login, "w5")
    with sqlite3.connect(login.guarded.database.removeprefix("sqlite:///")) as rows:
        rows.execute("UPDATE elp_workers SET until = '2020-01-01T00:00:00.000000+00:00' WHERE name = 'w5'")
    with pytest.raises(RegistryError, match="the token of w5 expired at 2020-01-01T00:00 UTC"):
        workers.enrol_worker_keys(login.uri, expired, folder / "w5")
    revoked = _invite(login, "w6")
    workers.end(login.uri, "w6", login.admin, login.guarded.keys, retire=False)
    with pytest.raises(RegistryError, match="worker w6 was revoked at"):
        workers.enrol_worker_keys(login.uri, revoked, folder / "w6")
    # a new invitation ends the one before
    old, new = _invite(login, "w7"), _invite(login, "w7")
    with pytest.raises(RegistryError, match="no open invitation has this token"):
        workers.enrol_worker_keys(login.uri, old, folder / "w7")
    assert workers.enrol_worker_keys(login.uri, new, folder / "w7")["name"] == "w7"
    with pytest.raises(RegistryError, match="worker w7 is enrolled; end that first: elp worker revoke w7"):
        _invite(login, "w7")
    for text in ("", "x", "w7.short", "../w.{}".format("a" * 43)):
        with pytest.raises(UsageError, match="no token of elp worker invite"):
            workers.enrol_worker_keys(login.uri, text, folder)


@pytest.mark.parametrize("roles", [("ledger",), ("lineage", "ledger"), ("verdict",)])
def test_a_worker_gets_its_two_keys_trusted_and_no_others(
    login: LoginServer, folder: Path, roles: tuple[Any, ...]
) -> None:
    token = _invite(login, "w8")
    keys = [new_key(folder, "w8-lineage", roles), new_key(folder, "w8-verdict", ("verdict",))]
    before = load_trusted_keys(login.guarded.keys).digest
    for sent in (keys, keys[1:], [*keys, new_key(folder, "w8-more", ("lineage",))]):
        body = {"token": token, "keys": write_keys(tuple(sent))}
        login.rest()("POST", f"{ELP}/workers/enrol", body).must_be(400, "worker w8 has to send exactly the keys")
    foreign = write_keys(load_trusted_keys(login.guarded.keys).keys)
    login.rest()("POST", f"{ELP}/workers/enrol", {"token": token, "keys": foreign}).must_be(400, "exactly the keys")
    assert load_trusted_keys(login.guarded.keys).digest == before
    assert _row(login, "w8")["state"] == "invited", "the token is not lost"


def test_a_large_body_without_a_login_is_not_read(login: LoginServer) -> None:
    for path in (f"{ELP}/workers/enrol", "/health"):
        for body in (b"x" * 100_000, iter([b"x", b"y"])):
            answer = requests.post(login.uri + path, data=body, timeout=60)
            assert (answer.status_code, "has to say its length" in answer.text) == (413, True)


def test_a_key_that_was_revoked_does_not_come_back(login: LoginServer, folder: Path) -> None:
    workers.enrol_worker_keys(login.uri, _invite(login, "w9"), folder)
    workers.end(login.uri, "w9", login.admin, login.guarded.keys, retire=False)
    with pytest.raises(RegistryError, match=r"key .* is revoked; enrol with new keys"):
        workers.enrol_worker_keys(login.uri, _invite(login, "w9"), folder)


def test_only_an_administrator_invites_and_revokes(login: LoginServer) -> None:
    request = {"name": "w10", "token": token_digest(new_token("w10")), "addresses": ADDRESSES, "at": utc_now()}
    keys = load_trusted_keys(login.guarded.keys)
    signed = {**request, "signature": sign_request("invite", request, keys)}
    end = {"name": "w1", "retire": False, "at": utc_now()}
    for user in ("anna", "carl", "dora", "emil"):
        for route, body in (("invite", request), ("invite", signed), ("revoke", end)):
            login.rest(user)("POST", f"{ELP}/workers/{route}", body).must_be(403, "this is for administrators")
    for route in ("workers/invite", "workers/revoke"):
        login.rest()("POST", f"{ELP}/{route}", request).must_be(401)
    for route in ("workers", "keys"):
        login.rest()("GET", f"{ELP}/{route}").must_be(401)
    newest = login.rest("dora").get(f"{ELP}/ledger?event=refused&limit=1000")["entries"][-1]["entry"]
    assert newest["who"]["name"] == "emil"


def test_without_a_login_only_the_control_host_invites(contest: Contest, folder: Path, tmp_path: Path) -> None:
    server, name = contest.rest, f"w-{contest.slot.replace('/', '-')}"
    request = {"name": name, "token": token_digest(new_token(name)), "addresses": ADDRESSES, "at": utc_now()}
    refused = "on a server without a login, workers are changed on the control host only"
    new_key(tmp_path / "mine", "ledger", ("ledger",))
    own, theirs = contest.keys, load_trusted_keys(tmp_path / "mine")
    old = {**request, "at": "2020-01-01T00:00:00.000000+00:00"}
    attempts = {
        "unsigned": request,
        "empty": {**request, "signature": "{}"},
        "by a stranger": {**request, "signature": sign_request("invite", request, theirs)},
        "of another request": {**request, "signature": sign_request("invite", {**request, "name": "x"}, own)},
        "of another action": {**request, "signature": sign_request("revoke", request, own)},
        "a ledger entry": {**request, "signature": sign(b"{}", own, "ledger").text},
    }
    for body in attempts.values():
        contest.refused(server("POST", f"{ELP}/workers/invite", body), refused)
    late = {**old, "signature": sign_request("invite", old, own)}
    contest.refused(server("POST", f"{ELP}/workers/invite", late), "older than five minutes")
    assert name not in server("GET", f"{ELP}/workers").text
    token, _ = workers.send_invitation(contest.rest.uri, name, ADDRESSES, None, own.folder)
    answer = workers.enrol_worker_keys(contest.rest.uri, token, folder)
    assert (answer["account"], answer["prefect_key"]) == (None, "")
    assert workers.end(contest.rest.uri, name, None, own.folder, retire=True)["state"] == "retired"


def test_an_invitation_that_is_sent_again_opens_no_ended_token(login: LoginServer) -> None:
    request = {"name": "w12", "token": token_digest(new_token("w12")), "addresses": ADDRESSES, "at": utc_now()}
    invite = login.rest(login.admin.name)
    invite("POST", f"{ELP}/workers/invite", request).must_be(200)
    workers.end(login.uri, "w12", login.admin, login.guarded.keys, retire=False)
    invite("POST", f"{ELP}/workers/invite", request).must_be(403, "this token of w12 was ended")


def test_a_revocation_ends_the_keys_of_an_enrolment_that_was_killed(login: LoginServer, folder: Path) -> None:
    _invite(login, "w13")
    made = [new_key(folder, f"w13-{role}", (role,)) for role in WORKER_ROLES]
    # the keys are trusted, and the row does not say so
    add_keys(login.guarded.keys, write_keys(tuple(made)), "keys of w13")
    workers.end(login.uri, "w13", login.admin, login.guarded.keys, retire=False)
    ended = load_trusted_keys(login.guarded.keys)
    assert {ended.find(key.keyid).state for key in made} == {"revoked"}


def test_an_end_of_a_key_reaches_the_worker_and_is_never_undone(login: LoginServer, folder: Path) -> None:
    made = workers.enrol_worker_keys(login.uri, _invite(login, "w11"), folder)
    carl = {"MLFLOW_TRACKING_USERNAME": "carl", "MLFLOW_TRACKING_PASSWORD": "correct horse battery"}
    with pytest.MonkeyPatch.context() as patch:
        for variable, value in carl.items():
            patch.setenv(variable, value)
        # a key that this worker has ended stays so, although the server still lists it as active
        other = new_key(login.guarded.keys, "other", ("lineage",))
        answer = workers.refresh_keys(login.uri, folder)
        assert (answer.changed[0].keyid, answer.release) == (other.keyid, installed_release())
        assert workers.server_release(login.uri) == installed_release()
        revoke_key(folder, other.keyid)
        assert workers.refresh_keys(login.uri, folder).changed == ()
        assert load_trusted_keys(folder).find(other.keyid).state == "revoked"
        # one that the server does not list stays, too
        new_key(folder, "local", ("verdict",))
        assert workers.refresh_keys(login.uri, folder).changed == ()
        revoke_key(folder, "local")
        workers.end(login.uri, "w11", login.admin, login.guarded.keys, retire=False)
        with pytest.raises(AttestationError, match=r"the server has revoked the key w11-lineage of this worker"):
            workers.refresh_keys(login.uri, folder)
    # its account is gone, too
    with pytest.raises(WorkerEnded, match=r"does not accept the account of this worker; enrol it again"):
        workers.refresh_keys(login.uri, folder, Account(made["account"]["username"], made["account"]["password"]))
    revoke_key(login.guarded.keys, other.keyid)


def test_after_ten_wrong_tokens_an_address_waits_and_others_do_not() -> None:
    limit = FailureLimit()
    for _ in range(10):
        limit.refuse_too_many("a")
        limit.note("a")
    with pytest.raises(MlflowException, match="too many wrong tokens from this address; wait a minute"):
        limit.refuse_too_many("a")
    limit.refuse_too_many("b")
    for number in range(3000):
        limit.note(str(number))
    assert len(limit._failures) == 1000


@pytest.fixture(autouse=True)
def _as_before(request: pytest.FixtureRequest) -> Iterator[None]:
    """The keys that these tests leave trusted on the session's server are retired."""
    yield
    if "login" in request.fixturenames:
        server: LoginServer = request.getfixturevalue("login")
        for row in workers.list_workers(server.uri, server.admin):
            if row["state"] == "enrolled":
                workers.end(server.uri, row["name"], server.admin, server.guarded.keys, retire=True)
        assert add_keys(server.guarded.keys, write_keys(load_trusted_keys(server.guarded.keys).keys), "same") == ()
