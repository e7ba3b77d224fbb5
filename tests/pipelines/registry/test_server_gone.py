from __future__ import annotations

import contextlib
import http.server
import json
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from elp_core.errors import OpsError
from pipelines.errors import RegistryError, RemoteAway, ServiceError
from pipelines.registry.client import model_registry as registry
from pipelines.registry.client.connection import answering, connect
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
    # MLflow's own client would try again for minutes
    assert time.monotonic() - began < 30


def test_another_server_on_the_port_is_not_taken_for_mlflow(something_else: str) -> None:
    with pytest.raises(ServiceError, match=r"is not MLflow; correct servers\.mlflow_uri in elp\.yaml"):
        connect(something_else)


@contextlib.contextmanager
def _answering(status: int, kind: str, body: bytes) -> Iterator[str]:
    class Answer(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.do_PUT()

        def do_PUT(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length", 0)))
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Nothing on stderr."""

    with http.server.HTTPServer(("127.0.0.1", 0), Answer) as server:
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


_AWAY = b'{"error_code": "TEMPORARILY_UNAVAILABLE", "message": "the artifact store s3://speech does not answer"}'
_FROZEN = b'{"error_code": "PERMISSION_DENIED", "message": "the evidence of v3 is signed"}'


@pytest.mark.parametrize(
    ("status", "kind", "body", "error", "sentence"),
    [
        (424, "application/json", _AWAY, RemoteAway, "MLflow at .*: the artifact store s3://speech does not answer"),
        (403, "application/json", _FROZEN, RegistryError, "the MLflow server at .* refused: the evidence of v3 is"),
        (401, "text/plain", b"", ServiceError, "needs a login: set MLFLOW_TRACKING_USERNAME"),
        (502, "text/html", b"<h1>Bad Gateway</h1>", RemoteAway, "no MLflow server answers at .* elp up"),
        (413, "text/html", b"<h1>Too large</h1>", RegistryError, "MLflow at .*: it answered 413"),
    ],
)
@pytest.mark.integration
def test_the_sentence_of_an_answer_to_an_upload_is_shown(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    status: int,
    kind: str,
    body: bytes,
    error: type[OpsError],
    sentence: str,
) -> None:
    from mlflow import MlflowClient
    from mlflow.store.artifact.http_artifact_repo import HttpArtifactRepository

    # MLflow's own client for proxied artifacts: its errors are those of requests
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    (tmp_path / "weights.bin").write_bytes(b"x")
    with _answering(status, kind, body) as uri:

        @answering
        def upload(client: MlflowClient) -> None:
            HttpArtifactRepository(f"{uri}/api/2.0/mlflow-artifacts/artifacts/1").log_artifact(
                str(tmp_path / "weights.bin")
            )

        with pytest.raises(error, match=sentence):
            upload(MlflowClient(tracking_uri=uri, registry_uri=uri))


@pytest.mark.integration
@pytest.mark.parametrize(
    ("status", "code", "error"),
    [
        # what MLflow answers if its database does not; tests/pipelines/stores has the real ones
        (503, "TEMPORARILY_UNAVAILABLE", RemoteAway),
        (500, "INTERNAL_ERROR", RemoteAway),
        (400, "BAD_REQUEST", RegistryError),
    ],
)
def test_a_fault_of_the_server_is_an_outage_whatever_its_answer_has(
    monkeypatch: pytest.MonkeyPatch, status: int, code: str, error: type[OpsError]
) -> None:
    from mlflow import MlflowClient

    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    body = json.dumps({"error_code": code, "message": "(psycopg2.OperationalError) server closed the connection"})
    with _answering(status, "application/json", body.encode()) as uri, pytest.raises(error):
        registry.list_versions(MlflowClient(tracking_uri=uri, registry_uri=uri), Slot("a", "asr"))


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
