"""Without its database the server says so, with a status after which clients ask again."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from flask import Flask

from pipelines.server import metrics_page, pages, routes
from pipelines.server.stores import registry_store
from tests.support.console_pages import open_stores


@pytest.fixture
def away(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    registry, _, _ = open_stores(tmp_path, monkeypatch)
    engine = registry_store.registry().engine
    engine.dispose()
    file = Path(str(engine.url.database))
    file.rename(tmp_path / "aside")
    # SQLite would make a new database
    file.mkdir()
    yield
    registry.engine.dispose()


@pytest.mark.usefixtures("away")
def test_pages_metrics_and_api_answer_503_with_the_reason() -> None:
    app = Flask("console")
    for one in (pages.blueprint, metrics_page.blueprint):
        app.register_blueprint(one, url_prefix="/elp")
    app.register_blueprint(routes.blueprint, url_prefix="/api")
    browser = app.test_client()
    for address in ("/elp/", "/elp/metrics", "/api/holds"):
        found = browser.get(address)
        assert found.status_code == 503, address
        assert "unable to open database file" in found.text
        # MLflow's own error has none
        assert address == "/api/holds" or int(found.headers["Retry-After"]) > 0
