from __future__ import annotations

import http.server
import threading
import time
from collections.abc import Iterator

import pytest

from pipelines.errors import ServiceError
from pipelines.registry.client import model_registry as registry
from pipelines.registry.client.connection import connect
from pipelines.registry.slot import Slot
from pipelines.training import curves
from tests.support.mlflow_server import free_port


@pytest.fixture
def gone() -> str:
    return f"http://127.0.0.1:{free_port()}"


@pytest.fixture
def something_else() -> Iterator[str]:
    class Page(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b"hello")

        def log_message(self, *_: object) -> None:
            """Nothing on stderr."""

    with http.server.HTTPServer(("127.0.0.1", 0), Page) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def test_a_server_that_is_not_up_is_told_at_once(gone: str) -> None:
    began = time.monotonic()
    with pytest.raises(ServiceError, match=rf"no MLflow server answers at {gone} .*elp up"):
        connect(gone)
    assert time.monotonic() - began < 3


def test_another_server_on_the_port_is_not_taken_for_mlflow(something_else: str) -> None:
    with pytest.raises(ServiceError, match=r"is not MLflow; correct servers\.mlflow_uri in elp\.yaml"):
        connect(something_else)


@pytest.fixture
def dead_client(gone: str, monkeypatch: pytest.MonkeyPatch) -> object:
    from mlflow import MlflowClient

    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    return MlflowClient(tracking_uri=gone, registry_uri=gone)


@pytest.mark.integration
def test_a_server_that_goes_away_is_told_with_its_address(gone: str, dead_client: object) -> None:
    with pytest.raises(ServiceError, match=rf"no MLflow server answers at {gone} \(the connection broke\)"):
        registry.list_versions(dead_client, Slot("a", "asr"))


@pytest.mark.integration
def test_training_goes_on_without_the_server_and_keeps_its_points(
    dead_client: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(curves, "SEND_SECONDS", 0.0)
    logged: list[str] = []
    observer = curves.Curves(dead_client, "run", logged.append)
    observer.on_step(1, 2, 0.5, {})
    observer.on_step(2, 2, 0.4, {})
    assert [line.partition(":")[0] for line in logged] == ["training continues without its curves for now"]
    with pytest.raises(ServiceError, match="elp up"):
        observer.finish()
