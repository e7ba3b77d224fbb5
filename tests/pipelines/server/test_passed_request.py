from __future__ import annotations

import pytest

from pipelines.server.front import passed_request

UP, MOUNT = "http://127.0.0.1:4200", "/prefect"


@pytest.mark.parametrize(
    "path",
    [
        *(b"/prefect/%2e%2e/elp/", b"/prefect/./api/hello", b"/prefect/api/..", b"/prefect/%2e/x", b"/prefect/.%2E/x"),
        *(b"/prefect//api/hello", b"/prefect//evil.example/x", b"/prefect/api//", b"//prefect/api/hello"),
        *(b"/prefect/api%2fflow_runs", b"/prefect/api/x%5cy", b"/prefect/api/x%0d%0aHost:%20y", b"/prefect/a%00b"),
        *(b"/%70refect/api/hello", b"http://evil.example/prefect/api/hello", b"/prefect/api/x y", b"/prefect/\xc3\xa4"),
        *(b"/prefect/a%zzb", b"/prefect/a%2", b"/prefect/a\\b", b"/prefect/<b>", b"/prefect/a#b", b""),
    ],
)
def test_a_path_that_could_mean_another_one_is_refused(path: bytes) -> None:
    assert passed_request.path_fault(path, b"", MOUNT)


@pytest.mark.parametrize(
    "path",
    [
        b"/prefect/",
        b"/prefect/api/hello/",
        b"/prefect/v2/runs",
        b"/prefect/api/variables/name/a%20b%3F",
        b"/prefect/...",
    ],
)
def test_a_path_of_prefect_passes(path: bytes) -> None:
    assert passed_request.path_fault(path, b"a=b&c=%2F..%2F", MOUNT) == ""
    assert passed_request.path_fault(path, b"a b", MOUNT)


@pytest.mark.parametrize(
    ("raw", "asked"),
    [
        (b"/prefect/api/flows/filter", b"/api/flows/filter?x=%2F"),
        (b"/prefect/api", b"/api?x=%2F"),
        (b"/prefect/apis", b"/prefect/apis?x=%2F"),
        (b"/prefect/v2/runs", b"/prefect/v2/runs?x=%2F"),
    ],
)
def test_the_api_and_the_pages_have_their_own_path_at_prefect(raw: bytes, asked: bytes) -> None:
    assert passed_request.target(raw, b"x=%2F", MOUNT) == asked
    # behind a static prefix the pages keep it, and the API has none
    assert passed_request.target(b"/ml" + raw, b"x=%2F", "/ml" + MOUNT) in (asked, b"/ml" + asked)


def _headers(**values: str) -> dict[bytes, bytes]:
    return {name.replace("_", "-").encode(): value.encode() for name, value in values.items()}


@pytest.mark.parametrize(
    ("method", "headers"),
    [
        ("POST", {"origin": "https://evil.example"}),
        ("POST", {"origin": "null"}),
        ("POST", {"origin": "http://elp.lan:5001"}),
        ("GET", {"origin": "https://evil.example", "sec_fetch_mode": "navigate"}),
        ("POST", {"sec_fetch_site": "cross-site", "sec_fetch_mode": "navigate"}),
        ("DELETE", {"sec_fetch_site": "same-site"}),
        ("GET", {"sec_fetch_site": "cross-site", "sec_fetch_mode": "no-cors"}),
    ],
)
def test_a_request_by_a_page_of_another_site_is_refused(method: str, headers: dict[str, str]) -> None:
    assert (
        "another site" in passed_request.site_fault(method, _headers(host="elp.lan:5000", **headers))
        or headers["origin"]
    )
    assert passed_request.site_fault(method, _headers(host="elp.lan:5000", **headers))


@pytest.mark.parametrize(
    ("method", "headers"),
    [
        ("POST", {}),
        ("POST", {"origin": "http://elp.lan:5000", "sec_fetch_site": "same-origin"}),
        ("POST", {"origin": "https://ELP.lan:5000"}),
        ("GET", {"sec_fetch_site": "cross-site", "sec_fetch_mode": "navigate"}),
        ("GET", {"sec_fetch_site": "none", "sec_fetch_mode": "navigate"}),
    ],
)
def test_this_site_programs_and_links_pass(method: str, headers: dict[str, str]) -> None:
    assert passed_request.site_fault(method, _headers(host="elp.lan:5000", **headers)) == ""


def test_prefect_gets_no_password_no_foreign_cookie_and_nothing_of_the_connection() -> None:
    given = [
        (b"authorization", b"Basic YW5uYTpwYXNz"),
        (b"cookie", b"session=1; prefect_ui_version=v1; elp_console=2"),
        *((name, b"x") for name in (b"connection", b"te", b"upgrade", b"x-forwarded-for", b"forwarded", b"origin")),
        (b"host", b"elp.lan"),
        (b"accept", b"*/*"),
    ]
    assert passed_request.passed_headers(given, "127.0.0.1:4200", b"Basic key") == [
        *((b"host", b"127.0.0.1:4200"), (b"accept", b"*/*"), (b"cookie", b"prefect_ui_version=v1")),
        (b"authorization", b"Basic key"),
    ]
    assert b"authorization" not in dict(passed_request.passed_headers(given, "127.0.0.1:4200"))


@pytest.mark.parametrize("cookie", [b"x=prefect_ui_version=v1", b"prefect_ui_version=v1\r\nx", b"prefect_ui_version="])
def test_only_prefects_own_cookie_is_found(cookie: bytes) -> None:
    assert b"cookie" not in dict(passed_request.passed_headers([(b"cookie", cookie)], "h"))


def test_an_answer_loses_what_is_of_the_connection_and_permissions_for_other_sites() -> None:
    given = [
        *((b"Connection", b"close, X-Hop"), (b"X-Hop", b"1"), (b"Transfer-Encoding", b"chunked")),
        *((b"Set-Cookie", b"a=b"), (b"Access-Control-Allow-Origin", b"*"), (b"WWW-Authenticate", b"Basic")),
        *((b"Content-Type", b"text/html"), (b"Content-Security-Policy", b"p"), (b"ETag", b"e")),
    ]
    kept = dict(passed_request.kept_headers(given, UP, MOUNT))
    assert kept == {
        b"content-type": b"text/html",
        b"content-security-policy": b"p",
        b"etag": b"e",
        b"cache-control": b"no-cache",
        b"referrer-policy": b"same-origin",
        b"x-content-type-options": b"nosniff",
    }
    assert b"default-src 'none'" in dict(passed_request.kept_headers([], UP, MOUNT))[b"content-security-policy"]


@pytest.mark.parametrize(
    ("location", "seen"),
    [
        (b"http://127.0.0.1:4200/api/flows/?a=1", b"/prefect/api/flows/?a=1"),
        (b"/prefect/v2/", b"/prefect/v2/"),
        (b"https://evil.example/x", b"/prefect/"),
        (b"//evil.example/", b"/prefect/"),
        (b"http://127.0.0.1:4200.evil.example/api/", b"/prefect/"),
    ],
)
def test_a_redirect_stays_below_the_front(location: bytes, seen: bytes) -> None:
    assert passed_request.moved(location, UP, MOUNT) == seen
