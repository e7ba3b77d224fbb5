"""`mlflow gc` and `mlflow runs delete` on the command line: they open the database themselves, past the guard."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from tests.support.contest import CHAMPION, FAILED, Contest
from tests.support.mlflow_server import server_environment
from tests.support.versions_by_hand import API

pytestmark = pytest.mark.both_databases


def _mlflow(contest: Contest, *words: str) -> subprocess.CompletedProcess[str]:
    """Run MLflow's command line with the server's own database."""
    environment = server_environment(contest.server.folder) | {"MLFLOW_TRACKING_URI": contest.server.uri}
    environment |= {"PATH": os.environ["PATH"], "PYTHONPATH": os.environ.get("PYTHONPATH", "")}
    return subprocess.run(
        [sys.executable, "-m", "mlflow", *words], capture_output=True, text=True, env=environment, timeout=300
    )


def test_gc_deletes_no_run_that_a_version_is_based_on(contest: Contest) -> None:
    run, model = contest.made[CHAMPION].run_id, contest.made[CHAMPION].model_id
    marked = subprocess.run(
        [
            sys.executable,
            "-c",
            "import sys; from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore as S\n"
            "s = S(sys.argv[1], '/nowhere')\n"
            "for call, one in ((s.delete_run, sys.argv[2]), (s.delete_logged_model, sys.argv[3])):\n"
            "    try: call(one); print('deleted', one)\n"
            "    except Exception as error: print('refused', error)\n",
            *(contest.server.database, run, model),
        ],
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert marked.stdout.count("an adapter version is based on it") == 2, marked.stdout + marked.stderr
    done = _mlflow(contest, "gc", "--backend-store-uri", contest.server.database, "--run-ids", run)
    assert done.returncode != 0
    assert contest.rest("GET", f"{API}/runs/get?run_id={run}").status == 200
    assert (contest.server.artifacts / contest.made[CHAMPION].folder).is_dir()


def test_gc_of_everything_leaves_the_slots(contest: Contest) -> None:
    done = _mlflow(contest, "gc", "--backend-store-uri", contest.server.database)
    assert done.returncode == 0, done.stderr
    for version in (CHAMPION, FAILED):
        run = contest.made[version].run_id
        assert contest.rest("GET", f"{API}/runs/get?run_id={run}").status == 200


def test_a_role_that_reads_deletes_nothing(contest: Contest, request: pytest.FixtureRequest) -> None:
    """The role of docs/how-to/retention.md: PostgreSQL itself refuses, before any trigger."""
    if not contest.server.database.startswith("postgresql"):
        # a file has no roles
        assert contest.server.database.startswith("sqlite")
        return
    postgres, name = request.getfixturevalue("postgres"), contest.server.database.rsplit("/", 1)[1]
    postgres.psql(name, "CREATE ROLE reader LOGIN")
    postgres.psql(name, "GRANT SELECT ON ALL TABLES IN SCHEMA public TO reader")
    as_reader = contest.server.database.replace("elp@", "reader@")
    run = contest.made[FAILED].run_id
    done = _mlflow(contest, "gc", "--backend-store-uri", as_reader, "--run-ids", run)
    assert done.returncode != 0
    deleted = subprocess.run(
        [
            sys.executable,
            "-c",
            "import sys, sqlalchemy as sa\n"
            "with sa.create_engine(sys.argv[1]).begin() as c: c.execute(sa.text('DELETE FROM elp_ledger'))",
            as_reader,
        ],
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert "permission denied for table elp_ledger" in deleted.stderr
    assert contest.rest("GET", f"{API}/runs/get?run_id={run}").status == 200
