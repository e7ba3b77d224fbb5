"""The real PostgreSQL and the real browser that other tests stand on."""

from __future__ import annotations

import ast
import http.server
import threading
from pathlib import Path

import pytest

from tests.support.browser import browser
from tests.support.postgres import postgres_server


@pytest.mark.integration
def test_a_cluster_takes_statements_and_ends() -> None:
    import sqlalchemy

    with postgres_server() as postgres:
        engine = sqlalchemy.create_engine(postgres.database("trial"))
        with engine.begin() as connection:
            connection.execute(sqlalchemy.text("create table t (n int)"))
        assert postgres.psql("trial", "select count(*) from t") == "0\n"
        engine.dispose()
    with pytest.raises(sqlalchemy.exc.OperationalError, match="refused"):
        engine.connect()


@pytest.mark.integration
def test_a_request_that_leaves_the_machine_is_noticed() -> None:
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Quiet)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    with browser() as visit:
        visit.page.goto(f"http://127.0.0.1:{server.server_port}/")
        assert visit.left_the_machine() == []
        visit.page.evaluate("fetch('http://example.invalid/leak').catch(() => 0)")
    server.shutdown()
    server.server_close()
    assert visit.left_the_machine() == ["http://example.invalid/leak"]


class _Quiet(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Nothing on the tests' output."""


def test_a_fixture_with_an_environment_shares_its_name_with_no_fixture_without_one() -> None:
    """The environment goes by the fixture's name: another fixture of that name would run with a stranger's keys."""
    defined: dict[str, set[Path]] = {}
    lasting: dict[str, set[Path]] = {}
    for path in (Path(__file__).parents[1]).rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.FunctionDef) and any("fixture" in ast.unparse(one) for one in node.decorator_list):
                defined.setdefault(node.name, set()).add(path)
            if isinstance(node, ast.Call) and ast.unparse(node.func) == "lasting":
                lasting.setdefault(ast.literal_eval(node.args[0]), set()).add(path)
    assert "mlflow_uri" in lasting
    assert {name: defined[name] - paths for name, paths in lasting.items() if defined[name] - paths} == {}
