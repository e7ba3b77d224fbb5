"""The token of a box, and the login of the environment, go to the address that they are for, and to no other one."""

from __future__ import annotations

import base64
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from pipelines.distribution.pull_box import _with_source, pull_box
from pipelines.distribution.report_back import enrol_box_here
from pipelines.distribution.sources import source_of
from pipelines.errors import ServiceError, UsageError
from pipelines.local.box_home import BoxSettings, origin_of, read_box, write_box
from pipelines.local.verified_metadata import keep_root
from pipelines.registry.client.connection import Account
from pipelines.registry.delivery.delivery_keys import new_private_key
from tests.support.delivery_by_hand import NOW, Depot, ship_fingerprint


@dataclass
class Listener:
    """A server that answers 401, or sends every request on, and keeps the logins that it was sent."""

    server: ThreadingHTTPServer
    sends_on_to: str = ""
    logins: list[str | None] = field(default_factory=list)

    @property
    def uri(self) -> str:
        return f"http://127.0.0.1:{self.server.server_port}"


@pytest.fixture
def listeners() -> Iterator[list[Listener]]:
    """Return two of them, on ports of their own."""
    found: list[Listener] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            own = next(one for one in found if one.server is self.server)
            own.logins.append(self.headers.get("Authorization"))
            self.send_response(302 if own.sends_on_to else 401)
            if own.sends_on_to:
                self.send_header("Location", own.sends_on_to + self.path)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            self.do_GET()

        def log_message(self, format: str, *args: object) -> None:
            pass

    for _ in range(2):
        found.append(Listener(ThreadingHTTPServer(("127.0.0.1", 0), Handler)))
        threading.Thread(target=found[-1].server.serve_forever, args=(0.01,), daemon=True).start()
    yield found
    for one in found:
        one.server.shutdown()
        one.server.server_close()


@pytest.fixture(autouse=True)
def _backbone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipelines.distribution.pull_box._fingerprint", lambda backbone: ship_fingerprint())


def _pull(box: Path, source: str | None = None) -> list[str]:
    """Pull, which no listener lets; return what was logged."""
    said: list[str] = []
    with pytest.raises(ServiceError, match="needs a login") as refused:
        pull_box(box, source=source, environment={}, now=NOW + timedelta(days=1), log=said.append)
    return [str(refused.value), *said]


def test_another_address_and_another_host_of_a_redirect_get_no_token(
    listeners: list[Listener], depot: Depot, box: Path, tmp_path: Path
) -> None:
    own, other = listeners
    write_box(box, BoxSettings("plant-a", own.uri, "press-3", "press-3.secret"))
    keep_root(box, depot.first_root)
    _pull(box)
    said = _pull(box, other.uri)
    assert (own.logins, other.logins) == (["Bearer press-3.secret"], [None])
    assert f"the token of this box is for {own.uri} only" in said[0]
    assert f"elp box enrol {other.uri} --token TOKEN" in said[0]
    assert f"the token of this box is for {own.uri} and is not sent to {other.uri}" in said[1:]
    own.sends_on_to = other.uri
    _pull(box)
    assert (own.logins[1:], other.logins[1:]) == (["Bearer press-3.secret"], [None])

    # a medium between them changes nothing
    depot.medium(tmp_path / "medium" / "plant-a")
    assert pull_box(box, source=str(tmp_path / "medium"), environment={}, now=NOW + timedelta(days=1)).changed
    assert read_box(box).token_address == own.uri
    _pull(box, other.uri)
    assert other.logins[2:] == [None]
    own.sends_on_to = ""
    _pull(box, own.uri)
    assert own.logins[2:] == ["Bearer press-3.secret"]
    # an earlier release kept no address next to a medium
    write_box(box, BoxSettings("plant-a", str(tmp_path / "medium"), "press-3", "press-3.secret"))
    said = _pull(box, other.uri)
    assert other.logins[3:] == [None]
    assert any(line.startswith("the address of this box's token is not known") for line in said[1:])


def test_the_login_of_the_environment_goes_to_its_own_address(
    listeners: list[Listener], depot: Depot, box: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own, other = listeners
    keep_root(box, depot.first_root)
    login = Account("carl", "secret word").environment()
    for name, value in login.items():
        # what the client of the server's routes would send
        monkeypatch.setenv(name, value)
    sent = f"Basic {base64.b64encode(b'carl:secret word').decode()}"

    def pulled(source: str, **environment: str) -> str:
        said: list[str] = []
        with pytest.raises(ServiceError, match=r"needs a login|does not know carl") as refused:
            pull_box(box, "plant-a", source=source, environment=login | environment, log=said.append)
        text = " ".join([str(refused.value), *said])
        assert "secret" not in text
        return text

    # nobody said whose login it is: neither a box before its first pull nor one of another address sends it
    text = pulled(other.uri)
    assert f"the login of carl is not sent to {other.uri}; if it is for that address, set MLFLOW_TRACKING_URI" in text
    assert (
        f"MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD of an auditor, with MLFLOW_TRACKING_URI={other.uri}"
        in text
    )
    pulled(other.uri, MLFLOW_TRACKING_URI=own.uri)
    pulled(other.uri, MLFLOW_TRACKING_URI=f"http://anna:secret@{other.uri[7:]}")
    write_box(box, BoxSettings("plant-a", own.uri))
    pulled(other.uri)
    pulled(other.uri, MLFLOW_TRACKING_URI="sqlite:///mlflow.db")
    assert (own.logins, other.logins) == ([], [None] * 5)

    assert "does not know carl with this password" in pulled(own.uri)
    pulled(other.uri, MLFLOW_TRACKING_URI=other.uri.upper().replace("HTTP:", "http:") + "/")
    assert (own.logins, other.logins) == ([sent], [*[None] * 5, sent])
    own.sends_on_to = other.uri
    pulled(own.uri)
    assert (own.logins, other.logins[6:]) == ([sent, sent], [None])

    # an enrolled box needs none
    own.sends_on_to = ""
    write_box(box, BoxSettings("plant-a", own.uri, "press-3", "press-3.token"))
    pulled(own.uri)
    assert own.logins[2:] == ["Bearer press-3.token"]
    # nor do its reports and its enrolment, which go to any address that is named
    new_private_key(box / "key.pem")
    pulled(other.uri)
    with pytest.raises(ServiceError, match="needs a login"):
        enrol_box_here(box, other.uri, "once", "")
    assert other.logins[7:] == [None, None, None]


def test_a_token_without_a_known_address_is_kept_and_not_sent_and_an_address_without_a_token_is_not_kept() -> None:
    folder = BoxSettings("plant-a", "/media/stick", "press-3", "press-3.secret")
    moved = _with_source(folder, "http://control:5000")
    assert (moved.token, moved.token_for) == ("press-3.secret", "not known")
    # nor does a later medium, or the same address again, make that address the one of the token
    again = _with_source(_with_source(moved, "/media/stick"), "http://control:5000")
    assert again == moved
    assert _with_source(BoxSettings("plant-a", "http://control:5000"), "/media/stick").token_for == ""


@pytest.mark.parametrize(
    ("address", "origin"),
    [
        ("http://Control/", "http://control:80"),
        ("https://control/mlflow", "https://control:443"),
        ("http://[::1]:5000", "http://[::1]:5000"),
        ("http://[::1]", "http://[::1]:80"),
        ("http://control:5000@elsewhere", "http://control:5000@elsewhere"),
        ("http://elsewhere\\@control:5000", "http://elsewhere\\@control:5000"),
        ("/media/stick", ""),
    ],
)
def test_addresses_are_the_same_only_with_scheme_host_and_port(address: str, origin: str) -> None:
    assert origin_of(address) == origin


def test_an_address_that_cannot_be_read_is_refused_without_its_text() -> None:
    with pytest.raises(UsageError, match="an address that cannot be read") as caught:
        origin_of("http://me:secret@[x")
    assert "secret" not in str(caught.value)
    with pytest.raises(UsageError, match="an address that cannot be read"):
        source_of("http://[x", "plant-a")
