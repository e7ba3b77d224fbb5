from __future__ import annotations

import re

import pytest
from flask.testing import FlaskClient

from tests.support.console_pages import console_client


@pytest.mark.parametrize("address", ["/", "/slots/plant-a/asr", "/datasets/golden/plant-a/asr/v1"])
@pytest.mark.usefixtures("client")
def test_every_link_keeps_the_servers_prefix(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("_MLFLOW_STATIC_PREFIX", "/mlflow")
    browser: FlaskClient = console_client("/mlflow")
    text = browser.get(f"/mlflow/elp{address}").text
    links = re.findall(r'(?:href|src|action)="([^"#?][^"]*)"', text)
    assert len(links) > 5
    assert [link for link in links if not link.startswith("/mlflow/")] == []
    cookie = browser.get_cookie("elp_console", path="/mlflow/elp")
    assert cookie
    assert (cookie.http_only, cookie.same_site) == (True, "Strict")
