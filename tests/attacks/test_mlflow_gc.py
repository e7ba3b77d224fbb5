"""`mlflow gc` and `mlflow runs delete` on the command line: they open the database themselves, past the guard."""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from tests.support.contest import CHAMPION, FAILED, Contest
from tests.support.mlflow_commands import COMMAND_LINE, run_program
from tests.support.mlflow_server import server_environment
from tests.support.versions_by_hand import API

pytestmark = pytest.mark.both_databases
DELETE_ONE = """
import sys
from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore
store = SqlAlchemyStore(sys.argv[1], "/nowhere")
for call, one in ((store.delete_run, sys.argv[2]), (store.delete_logged_model, sys.argv[3])):
    try:
        call(one)
        print("deleted", one)
    except Exception as error:
        print("refused", error)
"""
DELETE_LEDGER = """
import sys
import sqlalchemy as sa
with sa.create_engine(sys.argv[1]).begin() as connection:
    connection.execute(sa.text("DELETE FROM elp_ledger"))
"""
Run = Callable[..., tuple[int, str]]


@pytest.fixture
def run(contest: Contest, tmp_path: Path) -> Run:
    """Run a program on the machine of the server."""
    environment = server_environment(contest.server.folder) | {"MLFLOW_TRACKING_URI": contest.server.uri}
    environment |= {"PATH": os.environ["PATH"], "PYTHONPATH": os.environ.get("PYTHONPATH", "")}
    return partial(run_program, environment=environment, output=tmp_path / "output")


def test_gc_deletes_no_run_that_a_version_is_based_on(contest: Contest, run: Run) -> None:
    one, model = contest.made[CHAMPION].run_id, contest.made[CHAMPION].model_id
    _, said = run(DELETE_ONE, contest.server.database, one, model)
    assert said.count("an adapter version is based on it") == 2, said
    code, _ = run(COMMAND_LINE, "gc", "--backend-store-uri", contest.server.database, "--run-ids", one)
    assert code != 0
    assert contest.rest("GET", f"{API}/runs/get?run_id={one}").status == 200
    assert (contest.server.artifacts / contest.made[CHAMPION].folder).is_dir()


def test_gc_of_everything_leaves_the_slots(contest: Contest, run: Run) -> None:
    code, said = run(COMMAND_LINE, "gc", "--backend-store-uri", contest.server.database)
    assert code == 0, said
    for version in (CHAMPION, FAILED):
        one = contest.made[version].run_id
        assert contest.rest("GET", f"{API}/runs/get?run_id={one}").status == 200


def test_a_role_that_reads_deletes_nothing(contest: Contest, run: Run, request: pytest.FixtureRequest) -> None:
    """The role of docs/how-to/retention.md: PostgreSQL itself refuses, before any trigger."""
    if not contest.server.database.startswith("postgresql"):
        # a file has no roles
        assert contest.server.database.startswith("sqlite")
        return
    postgres, name = request.getfixturevalue("postgres"), contest.server.database.rsplit("/", 1)[1]
    postgres.psql(name, "CREATE ROLE reader LOGIN")
    postgres.psql(name, "GRANT SELECT ON ALL TABLES IN SCHEMA public TO reader")
    as_reader = contest.server.database.replace("elp@", "reader@")
    one = contest.made[FAILED].run_id
    code, _ = run(COMMAND_LINE, "gc", "--backend-store-uri", as_reader, "--run-ids", one)
    assert code != 0
    _, said = run(DELETE_LEDGER, as_reader)
    assert "permission denied for table elp_ledger" in said
    assert contest.rest("GET", f"{API}/runs/get?run_id={one}").status == 200
