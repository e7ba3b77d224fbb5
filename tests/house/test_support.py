"""The real PostgreSQL and the real browser that other tests stand on."""

from __future__ import annotations

import http.server
import os
import threading

import pytest

from tests.support.browser import browser
from tests.support.environment import lasting
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


@pytest.fixture(scope="module")
def served() -> None:
    """A server with keys, as those of many modules."""
    lasting(ELP_KEYS="/keys/of/the/first")


def test_a_fixture_has_its_environment(served: None) -> None:
    assert os.environ["ELP_KEYS"] == "/keys/of/the/first"


class TestAnotherFixtureOfThatName:
    """It has not the environment of the first one, which is alive."""

    @pytest.fixture(scope="class")
    @classmethod
    def served(cls) -> str | None:
        return os.environ.get("ELP_KEYS")

    def test_it_is_made_and_used_without_the_environment_of_the_first(self, served: str | None) -> None:
        assert (served, os.environ.get("ELP_KEYS")) == (None, None)


class TestAFixtureThatAsksForTheOneItReplaces:
    """It brings the environment of the first one with it."""

    @pytest.fixture(scope="class")
    @classmethod
    def served(cls, served: None) -> str | None:
        return os.environ.get("ELP_KEYS")

    def test_it_is_made_and_used_in_the_environment_of_the_first(self, served: str | None) -> None:
        assert (served, os.environ.get("ELP_KEYS")) == ("/keys/of/the/first", "/keys/of/the/first")
