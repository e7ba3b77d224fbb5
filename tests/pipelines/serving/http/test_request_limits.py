from __future__ import annotations

import asyncio
import socket
import ssl
import threading
from dataclasses import replace
from pathlib import Path

import httpx
import numpy as np
import pytest

from pipelines.errors import ServiceError, UsageError
from pipelines.serving.http.api_keys import ApiKeyFile, add_api_key, revoke_api_key
from pipelines.serving.http.decode_pool import DecodeLimits
from pipelines.serving.http.request_limits import RequestBounds
from pipelines.serving.http.request_ticket import Ticket
from pipelines.serving.http.serve_options import ServeOptions
from pipelines.serving.http.serve_process import listening_socket
from tests.support.clips import voice, wav
from tests.support.damaged_audio import damaged
from tests.support.mlflow_server import free_port
from tests.support.speech_server import TASKS, FolderChampions, SpeechServer, speech_server, wait_until

pytestmark = pytest.mark.integration
CLIP = wav(voice(0.5, 200.0, 1))


def test_a_full_server_answers_429_at_once_with_the_time_to_wait(champions: FolderChampions, tmp_path: Path) -> None:
    options = ServeOptions(every=5.0, decoders=1, bounds=RequestBounds(requests=2))
    with speech_server(champions, tmp_path, options) as server:
        free, leases = server.opened.parts.service.decoders._free, server.opened.served._leases
        # no decoder: requests wait
        decoder = free.get()
        answers: list[httpx.Response] = []
        threads = [
            threading.Thread(target=lambda: answers.append(server.ask("classify", "plant-a/ser", CLIP)))
            for _ in range(2)
        ]
        try:
            for thread in threads:
                thread.start()
            wait_until(lambda: sum(leases.values()) == 2)
            refused = server.ask("classify", "plant-a/ser", CLIP)
            # probes find a place
            ready = server.client.get("/readyz")
        finally:
            free.put(decoder)
        for thread in threads:
            thread.join()
        assert (refused.status_code, refused.json()["error"]["code"]) == (429, "queue_full")
        assert refused.json()["error"]["type"] == "rate_limit_error"
        assert int(refused.headers["retry-after"]) >= 1
        assert ready.status_code == 200
        assert [answer.status_code for answer in answers] == [200, 200]
        assert server.ask("classify", "plant-a/ser", CLIP).status_code == 200


def test_bodies_and_recordings_over_the_limits_are_refused(champions: FolderChampions, tmp_path: Path) -> None:
    options = ServeOptions(
        every=5.0,
        decoders=1,
        bounds=RequestBounds(body_bytes=100_000, all_bodies_bytes=150_000, body_seconds=5.0),
        decode=DecodeLimits(audio_seconds=1.0),
    )
    with speech_server(champions, tmp_path, options) as server:
        assert server.ask("classify", "plant-a/ser", b"x" * 200_000).json()["error"]["code"] == "body_too_large"
        long = server.ask("classify", "plant-a/ser", wav(voice(1.5, 200.0, 1)))
        assert (long.status_code, long.json()["error"]["code"]) == (413, "too_long")

        def chunks():
            for _ in range(40):
                yield b"x" * 10_000

        headers = {"content-type": "multipart/form-data; boundary=x"}
        start = b"--x\r\nContent-Disposition: form-data; name=file; filename=a\r\n\r\n"
        sent = server.client.post("/v1/classify", content=(start, *chunks()), headers=headers)
        assert (sent.status_code, sent.json()["error"]["code"]) == (413, "body_too_large")
        # a client that stops in the middle of its body
        address = httpx.URL(server.url)
        with socket.create_connection((address.host, address.port), timeout=30) as slow:
            slow.sendall(
                b"POST /v1/classify HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 5000\r\n"
                b"Content-Type: multipart/form-data; boundary=x\r\n\r\n" + start
            )
            # its 5,000 bytes are held from its header on; a body in chunks is refused when it goes over
            wait_until(lambda: server.opened.parts.bodies._held == 5000)
            with server.opened.parts.bodies.place() as hold:
                hold(140_000)
                full = server.ask("classify", "plant-a/ser", b"x" * 6_000)
                assert (full.status_code, full.json()["error"]["code"]) == (429, "bodies_full")
                assert int(full.headers["retry-after"]) >= 1
                chunked = server.client.post("/v1/classify", content=(start, b"x" * 6_000), headers=headers)
                assert chunked.json()["error"]["code"] == "bodies_full"
            assert b"408" in slow.recv(100)
        assert server.ask("classify", "plant-a/ser", CLIP).status_code == 200


def test_audio_in_progress_is_bounded(champions: FolderChampions, tmp_path: Path) -> None:
    with speech_server(champions, tmp_path, ServeOptions(every=5.0, decoders=1, held_seconds=1.0)) as server:
        service = server.opened.parts.service
        # one that is alone may be longer
        assert server.ask("classify", "plant-a/ser", wav(voice(1.5, 200.0, 1))).status_code == 200
        with service.decoded([voice(0.7, 200.0, 1)], "mix", Ticket()):
            full = server.ask("classify", "plant-a/ser", CLIP)
            assert (full.status_code, full.json()["error"]["code"]) == (429, "audio_full")
            assert int(full.headers["retry-after"]) >= 1
        assert service.room.held == 0
        assert server.ask("classify", "plant-a/ser", CLIP).status_code == 200


def test_keys_with_scopes(champions: FolderChampions, tmp_path: Path) -> None:
    with speech_server(champions, tmp_path, required=True) as server:
        key, text = add_api_key(server.keys, "line 4", ["plant-a/ser", "plant-b/*"])
        server.client.headers["authorization"] = f"Bearer {text}"
        assert server.ask("classify", "plant-a/ser", CLIP).status_code == 200
        refused = server.ask("classify", "plant-a/sic", CLIP)
        assert (refused.status_code, refused.json()["error"]["code"]) == (403, "scope")
        assert "its scopes are: plant-a/ser, plant-b/*" in refused.json()["error"]["message"]
        # what a key may not ask, it does not see
        assert [one["id"] for one in server.client.get("/v1/models").json()["data"]] == ["plant-a/ser"]
        assert server.client.get("/v1/models/plant-a/sic").status_code == 403
        seen = server.client.get("/readyz").json()
        assert (seen["serving"], seen["source"]["reachable"]) == ({"plant-a/ser": 1}, True)
        assert "folders" not in str(seen)
        assert server.client.get("/metrics").json()["error"]["code"] == "scope"
        whole = {"authorization": f"Bearer {add_api_key(server.keys, 'prometheus', ['*/*'])[1]}"}
        assert set(server.client.get("/readyz", headers=whole).json()["serving"]) == {f"plant-a/{t}" for t in TASKS}
        assert "plant-a/asr" in server.client.get("/metrics", headers=whole).text
        revoke_api_key(server.keys, key.id)
        for sent in (f"Bearer {text}", "Bearer", "Basic eDp5", ""):
            server.client.headers["authorization"] = sent
            for path in ("/v1/models", "/metrics", "/docs", "/openapi.json"):
                answer = server.client.get(path)
                assert (answer.status_code, answer.json()["error"]["type"]) == (401, "authentication_error")
            assert server.client.get("/readyz").json() == {"status": "ready"}
            assert server.client.get("/healthz").status_code == 200


def test_names_that_lead_here_and_damaged_key_files(champions: FolderChampions, tmp_path: Path) -> None:
    with speech_server(champions, tmp_path) as server:
        for host, status in (("localhost:1", 200), ("127.0.0.1", 200), ("box.example.org", 403), ("[", 403)):
            answer = server.client.get("/v1/models", headers={"host": host})
            assert (host, answer.status_code) == (host, status)
        assert (
            "start it with --public-host speech.example.org"
            in (server.client.get("/v1/models", headers={"host": "speech.example.org:80"}).json()["error"]["message"])
        )
        server.keys.write_text("{}")
        assert server.client.get("/v1/models").status_code == 401
        assert server.client.get("/healthz").status_code == 200


def test_requests_that_a_proxy_passes_on(champions: FolderChampions, tmp_path: Path) -> None:
    options = ServeOptions(every=5.0, decoders=1, public_hosts=("Speech.example.org",))
    with speech_server(champions, tmp_path, options) as server:
        ours, port = "speech.example.org", httpx.URL(server.url).port
        sent = [
            ({"host": ours}, 200),
            ({"host": ours, "origin": f"https://{ours}"}, 200),
            # a proxy that names the server
            ({"host": f"127.0.0.1:{port}", "origin": f"https://{ours}"}, 200),
            ({"host": "box.example.org"}, 403),
            ({"host": ours, "origin": "https://box.example.org"}, 403),
        ]
        for headers, status in sent:
            assert (headers, server.client.get("/v1/models", headers=headers).status_code) == (headers, status)
        # others reach it: causes are not for them
        assert "folders" not in server.client.get("/readyz", headers={"host": ours}).text


def test_an_address_belongs_to_one_server_and_wrong_ones_are_explained() -> None:
    options = ServeOptions(port=free_port())
    with listening_socket(options), pytest.raises(ServiceError, match=r"in use\); choose another with --port"):
        listening_socket(options)
    for host in ("no-such-host.invalid", "192.0.2.7"):
        with pytest.raises(ServiceError, match="give --host an address of this machine"):
            listening_socket(replace(options, host=host))


def test_tls(champions: FolderChampions, tmp_path: Path) -> None:
    certificate, key = own_certificate(tmp_path)
    options = ServeOptions(every=5.0, decoders=1, certificate=certificate, private_key=key)
    with speech_server(champions, tmp_path, options) as server:
        assert server.url.startswith("https://")
        trusted = ssl.create_default_context(cafile=certificate)
        with httpx.Client(base_url=server.url, verify=trusted, trust_env=False) as client:
            assert client.get("/healthz").status_code == 200
        with httpx.Client(base_url=server.url, trust_env=False) as client, pytest.raises(httpx.ConnectError):
            client.get("/healthz")


def test_a_certificate_that_cannot_be_used_is_refused_before_anything_is_loaded(tmp_path: Path) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    one.mkdir()
    two.mkdir()
    (certificate, key), (_, other) = own_certificate(one), own_certificate(two, b"secret")
    (tmp_path / "text").write_text("text")

    def check(pem: Path, private: Path) -> None:
        options = ServeOptions(certificate=pem, private_key=private)
        options.require_safe(ApiKeyFile(tmp_path / "keys.json"), unlocked=True)

    check(certificate, key)
    with pytest.raises(UsageError, match=r"has a passphrase, .* openssl pkey -in"):
        check(certificate, other)
    with pytest.raises(UsageError, match="no certificate and key in PEM"):
        check(tmp_path / "text", key)
    own_certificate(two)
    with pytest.raises(UsageError, match="is not the key of the certificate"):
        check(certificate, other)


def own_certificate(folder: Path, passphrase: bytes = b"") -> tuple[Path, Path]:
    """Write a certificate for 127.0.0.1 that signs itself, and its key."""
    import datetime
    import ipaddress

    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.x509.oid import NameOID

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "box")])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), True)
        .sign(key, hashes.SHA256())
    )
    certificate, private = folder / "box.pem", folder / "box.key"
    certificate.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    private.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.BestAvailableEncryption(passphrase) if passphrase else serialization.NoEncryption(),
        )
    )
    return certificate, private


@pytest.mark.parametrize("rounds", [12, pytest.param(500, marks=[pytest.mark.slow, pytest.mark.timeout(1200)])])
def test_damaged_recordings_neither_end_the_server_nor_change_other_answers(rounds: int, server: SpeechServer) -> None:
    expected = server.ask("classify", "plant-a/ser", CLIP).json()["probability"]
    statuses: list[int] = []

    def ask(seed: int) -> None:
        for content in damaged(rounds // 2, seed):
            answer = server.ask("classify", "plant-a/sic", content)
            statuses.append(answer.status_code)
            assert answer.status_code == 200 or answer.json()["error"]["code"]
            good = server.ask("classify", "plant-a/ser", CLIP).json()
            assert good["probability"] == pytest.approx(expected, abs=1e-5)

    run_in_threads(ask, 2)
    assert len(statuses) == rounds // 2 * 2
    assert set(statuses) <= {200, 400, 413}
    assert server.client.get("/healthz").status_code == 200


@pytest.mark.parametrize("rounds", [30, pytest.param(1000, marks=[pytest.mark.slow, pytest.mark.timeout(1200)])])
def test_clients_that_go_lose_no_answer_of_others(rounds: int, server: SpeechServer) -> None:
    """Each answer to a client that stays is that of its own clip."""
    clips = [wav(voice(0.3 + 0.1 * n, 200.0 + 150 * n, n)) for n in range(4)]
    own = [server.ask("classify", "plant-a/sic", clip).json()["probability"] for clip in clips]
    assert len({round(one, 4) for one in own}) == 4
    address, left = httpx.URL(server.url), []

    def ask(seed: int) -> None:
        rng = np.random.default_rng(seed)
        for number in range(seed, rounds, 3):
            request = server.client.build_request(
                "POST", "/v1/classify", data={"model": "plant-a/sic"}, files={"file": ("a.wav", clips[number % 4])}
            )
            head = f"POST /v1/classify HTTP/1.1\r\nHost: x\r\nContent-Type: {request.headers['content-type']}\r\n"
            body = request.read()
            raw = f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body
            with socket.create_connection((address.host, address.port), timeout=30) as gone:
                # some go in the middle of their body, some after it
                gone.sendall(raw[: len(raw) - int(rng.integers(0, 2)) * int(rng.integers(1, len(raw)))])
            left.append(number)
            n = int(rng.integers(4))
            stayed = server.ask("classify", "plant-a/sic", clips[n])
            assert stayed.json()["probability"] == pytest.approx(own[n], abs=1e-5)

    run_in_threads(ask, 3)
    assert sorted(left) == list(range(rounds))
    assert server.client.get("/healthz").status_code == 200
    # every place is free again
    wait_until(lambda: server.opened.parts.service.batcher.queued == (0, 0))


def test_an_answer_does_not_wait_for_the_acknowledgement_of_its_headers() -> None:
    """Without TCP_NODELAY every answer after a client's first one came 40 ms late."""
    options = ServeOptions(port=free_port())

    async def accepted() -> int:
        found: asyncio.Future[int] = asyncio.get_running_loop().create_future()

        def connected(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            found.set_result(writer.get_extra_info("socket").getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))
            writer.close()

        async with await asyncio.start_server(connected, sock=listening_socket(options)):
            _, writer = await asyncio.open_connection(options.host, options.port)
            writer.close()
            return await asyncio.wait_for(found, 60)

    assert asyncio.run(accepted())


def run_in_threads(ask, count: int) -> None:
    """Run a function with the numbers up to `count` at once, and raise what one of them raised."""
    raised: list[BaseException] = []

    def run(number: int) -> None:
        try:
            ask(number)
        except BaseException as error:
            raised.append(error)

    threads = [threading.Thread(target=run, args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if raised:
        raise raised[0]
