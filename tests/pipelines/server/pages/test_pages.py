"""Every page: whole, well-formed, usable without eyes or mouse, and deaf to what attackers write into the records."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from flask.testing import FlaskClient
from sqlalchemy import delete, insert

from pipelines.registry.signing.envelope import sign
from pipelines.registry.signing.keys import key_folder, load_trusted_keys
from pipelines.registry.slot import Slot
from pipelines.server import pages as console
from pipelines.server.ledger import OVERRIDES, STATEMENTS
from pipelines.server.read_models.signed_records import verdicts
from pipelines.server.storage import override_requests
from pipelines.server.stores import registry_store as server
from tests.support.html import faults, read_html
from tests.support.registry_rows import FINGERPRINT, verdict

PAGES = (
    "/elp/",
    "/elp/?site=plant-b",
    "/elp/?site=nowhere",
    "/elp/slots/plant-a/asr",
    "/elp/slots/plant-a/asv?version=3",
    "/elp/slots/plant-a/asr?before=3",
    "/elp/slots/plant-a/asr/v4/clips",
    "/elp/slots/plant-a/asr/compare",
    "/elp/slots/plant-a/asv/compare?a=1&b=3",
    "/elp/glossary",
    f"/elp/backbones/{FINGERPRINT}",
    "/elp/datasets/data/plant-a/asr/v1",
    "/elp/datasets/golden/plant-a/asr/v1",
)


@pytest.mark.parametrize("address", PAGES)
def test_a_page_is_accessible_and_runs_no_other_code(client: FlaskClient, address: str) -> None:
    answer = client.get(address)
    assert answer.status_code == 200
    assert faults(read_html(answer.text)) == []


@pytest.mark.parametrize("address", PAGES)
def test_a_page_loads_and_sends_nothing_elsewhere(client: FlaskClient, address: str) -> None:
    answer = client.get(address)
    assert answer.headers["Content-Security-Policy"].startswith(
        "default-src 'none'; script-src 'self'; style-src 'self'"
    )
    assert "unsafe" not in answer.headers["Content-Security-Policy"]
    assert re.findall(r'(?:href|src|action)="(?:https?:)?//[^"]*"', answer.text) == []


def test_the_menu_leads_to_prefect_if_this_server_shows_it(
    client: FlaskClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    def links() -> list[str]:
        menu = read_html(client.get("/elp/glossary").text).all("nav")[0]
        return [link.attributes["href"] for link in menu.all("a") if "Prefect" in link.text]

    assert links() == []
    monkeypatch.setenv("ELP_PREFECT_SERVER", "http://127.0.0.1:4200")
    assert links() == ["/prefect/"]


def test_the_report_on_a_version_has_an_address_that_can_be_told_in_advance(client: FlaskClient) -> None:
    answer = client.get("/elp/slots/plant-a/asv/v3/report")
    assert answer.status_code == 302
    assert re.search(r"/#/(experiments/\w+/)?runs/\w+/artifacts/gate/[^/]+/report.html$", answer.headers["Location"])
    for missing in ("plant-a/asv/v99", "nowhere/asr/v1"):
        assert client.get(f"/elp/slots/{missing}/report").status_code == 404


def test_text_of_people_is_shown_and_not_executed(client: FlaskClient) -> None:
    text = client.get("/elp/slots/plant-a/asr").text
    assert "&lt;script&gt;alert(" in text
    assert "<script>" not in text


@pytest.mark.parametrize(
    "address",
    [
        "/elp/slots/plant-z/asr",
        "/elp/slots/plant-a/asr?version=99",
        "/elp/slots/plant-a/asr/compare?a=1&b=99",
        "/elp/slots/plant-a/asr/compare?a=0&b=1",
        "/elp/slots/plant-z/asr/compare",
        "/elp/slots/<script>/asr",
        "/elp/backbones/sha256:0",
        "/elp/datasets/data/plant-z/asr/v1",
        "/elp/statements/" + "0" * 64,
        "/elp/nothing",
    ],
)
def test_an_unknown_address_is_answered_with_a_page(client: FlaskClient, address: str) -> None:
    answer = client.get(address)
    assert answer.status_code == 404
    if address != "/elp/nothing":
        assert faults(read_html(answer.text)) == []
        assert "<script>/asr" not in answer.text


@pytest.mark.parametrize("name", ["before", "done", "version"])
def test_a_number_that_no_database_takes_is_answered_with_a_page(client: FlaskClient, name: str) -> None:
    answer = client.get(f"/elp/slots/plant-a/asr?{name}={'9' * 30}")
    assert answer.status_code == (404 if name == "version" else 200)


def test_a_slot_without_versions_has_a_page(client: FlaskClient) -> None:
    server.registry().create_registered_model("elp.empty.asr")
    try:
        answer = client.get("/elp/slots/empty/asr")
        assert answer.status_code == 200
        assert faults(read_html(answer.text)) == []
        assert "No version to promote" in answer.text
        assert "no champion" in client.get("/elp/?site=empty").text
    finally:
        server.registry().delete_registered_model("elp.empty.asr")


def test_the_grid_shows_champion_interval_challenger_drift_and_run(client: FlaskClient) -> None:
    row = read_html(client.get("/elp/?site=plant-a").text).all("tbody")[0].all("tr")[0].text
    for word in (
        "plant-a",
        "v4",
        "WER 7.50 %",
        "6.5 … 8.5 %",
        "v5",
        "passed",
        "+0.00 points measured by the gate of v5",
        "finished",
    ):
        assert word in row


@pytest.fixture
def _measured_again(client: FlaskClient) -> Iterator[None]:
    """The champion of plant-a/asr on another golden set, by a verdict on a version that was deleted since."""
    slot, ring = Slot("plant-a", "asr"), load_trusted_keys(key_folder())
    with server.registry().engine.begin() as connection:
        [serving] = verdicts(connection, [(slot.model_name, 4)])[slot.model_name, 4]
        at, champion = datetime.now(UTC) - timedelta(minutes=150), (4, serving.statement.bundle)
        made = verdict(slot, 6, "sha256:" + "6" * 64, "failed", champion, at)
        made = replace(made, champion=0.105, golden=replace(made.golden, tag=slot.tag(2, "golden")))
        signed = sign(made.payload, ring, "verdict")
        connection.execute(insert(STATEMENTS).values(
            digest=signed.digest, seq=10**6, kind="verdict", model=slot.model_name, version=6, bundle=made.bundle,
            fingerprint=FINGERPRINT, outcome="failed", dataset="", keyid=signed.keyid, envelope=signed.text,
            at=made.decided_at,
        ))  # fmt: skip
    yield
    with server.registry().engine.begin() as connection:
        connection.execute(delete(STATEMENTS).where(STATEMENTS.c.seq == 10**6))


@pytest.mark.usefixtures("_measured_again")
def test_drift_on_another_golden_set_is_marked(client: FlaskClient) -> None:
    cells = read_html(client.get("/elp/?site=plant-a").text).all("tbody")[0].all("td")
    assert "+3.00 points measured by the gate of v6, 2 h ago; the golden set changed" in cells[0].text
    assert "golden set" not in cells[1].text
    page = read_html(client.get("/elp/slots/plant-a/asr").text)
    made = next(dd.text for dd in page.all("dd") if "points" in dd.text)
    for part in (
        "+3.00 points on",
        "golden/plant-a/asr/v2",
        "verdict on v6",
        "changed",
        "(it was",
        "golden/plant-a/asr/v1",
    ):
        assert part in made
    assert faults(page) == []


def test_the_slots_page_says_who_did_what_on_which_evidence_and_counts_refusals(client: FlaskClient) -> None:
    text = client.get("/elp/slots/plant-a/asr").text
    ledger = read_html(text).all("table")[-1]
    assert ledger.text.count("ann registered v") == 5
    assert "ann made v2 the champion in place of v1" in ledger.text
    assert all(a.attributes["href"].startswith("/elp/statements/") for a in ledger.all("a"))
    assert "was refused" not in ledger.text
    assert "2 × promote by ann, last " in text


def test_each_refusal_is_shown_if_asked_for(client: FlaskClient) -> None:
    ledger = read_html(client.get("/elp/slots/plant-a/asr?refusals=1").text).all("table")[-1].text
    assert "ann was refused: promote (v3)" in ledger
    assert "the gate's verdict is failed" in ledger


def test_the_lineage_links_to_data_backbone_run_version_and_verdict(client: FlaskClient) -> None:
    page = read_html(client.get("/elp/slots/plant-a/asr").text)
    links = [a.attributes["href"] for svg in page.all("svg") for a in svg.all("a")]
    assert links[0] == "/elp/datasets/data/plant-a/asr/v2"
    for part in ("/elp/backbones/sha256:", "/elp/datasets/golden/", "/#/experiments/1001/runs/", "/elp/statements/"):
        assert any(part in link for link in links)
    assert "/#/models/elp.plant-a.asr/versions/4" in links


def test_a_statement_is_verified_while_it_is_shown(client: FlaskClient) -> None:
    link = re.search(r"/elp/statements/[0-9a-f]{64}", client.get("/elp/slots/plant-a/asr").text)
    assert link
    assert "valid, verified just now" in client.get(link[0]).text


def test_a_backbone_lists_champions_first(client: FlaskClient) -> None:
    text = client.get(f"/elp/backbones/{FINGERPRINT}").text
    rows = read_html(text).all("tbody")[0].all("tr")
    assert "<dt>licence</dt><dd>Apache-2.0</dd><dt>commercial use</dt><dd>allowed</dd>" in text
    assert len(rows) == 20
    assert ["champion" in row.text for row in rows[:5]] == [True] * 4 + [False]


def test_a_dataset_version_is_described_by_the_signed_lineage(client: FlaskClient) -> None:
    text = client.get("/elp/datasets/data/plant-a/asr/v1").text
    for fact in ("a" * 40, "d" * 32, "/srv/workspace", "plant-a/asr v3"):
        assert fact in text


@pytest.fixture
def _overridden(client: FlaskClient) -> Iterator[None]:
    """The champion of plant-a/asr serves by an override, and one for plant-b/asr waits; both end with the test."""
    store = server.registry()
    given = {"bundle": "b", "before": None, "before_bundle": "", "seconds": 3600.0, "asked_by": "ann", "asked_at": "x"}
    with store.locked() as transaction:
        asked = override_requests.add_request(
            transaction.session, slot="plant-a/asr", version=4, reason="<i>the line stands</i>", **given
        )
        override_requests.approve_request(transaction.session, asked, "bert", "2026-01-01T00:00:00.000000+00:00")
        override_requests.add_request(transaction.session, slot="plant-b/asr", version=3, reason="soon", **given)
    yield
    with store.locked() as transaction:
        transaction.session.execute(delete(OVERRIDES))


@pytest.mark.usefixtures("_overridden")
@pytest.mark.parametrize(
    "address",
    ["/elp/", "/elp/slots/plant-a/asr", f"/elp/backbones/{FINGERPRINT}", "/elp/datasets/data/plant-a/asr/v2"],
)
def test_an_override_is_red_wherever_its_adapter_is_shown(client: FlaskClient, address: str) -> None:
    page = read_html(client.get(address).text)
    alarms = [strong.text for strong in page.all("strong") if strong.attributes.get("class") == "alarm"]
    assert any("approved by bert: <i>the line stands</i>" in alarm for alarm in alarms)
    assert faults(page) == []


@pytest.mark.usefixtures("_overridden")
def test_an_override_that_waits_is_marked(client: FlaskClient) -> None:
    assert "waits for a second person: soon" in client.get("/elp/slots/plant-b/asr").text


def test_text_has_contrast_in_light_and_dark() -> None:
    css = (Path(console.__file__).parent / "static" / "console.css").read_text(encoding="utf-8")
    pairs = {name: (light, dark) for name, light, dark in re.findall(r"--([\w-]+): light-dark\((#\w+), (#\w+)\)", css)}
    for name, colour in re.findall(r"--([\w-]+): (#\w+);", css):
        pairs[name] = (colour, colour)
    for theme in (0, 1):
        for text in ("text", "muted", "link", "alarm", "sound"):
            assert min(_contrast(pairs[text][theme], pairs[on][theme]) for on in ("page", "panel")) >= 4.5, text
        for badge in ("button", "good", "bad", "open", "none"):
            assert _contrast(pairs["on-badge"][theme], pairs[badge][theme]) >= 4.5, badge
        for mark in ("curve", "sound", "doubt", "alarm", "focus"):
            assert _contrast(pairs[mark][theme], pairs["panel"][theme]) >= 3, mark


def _contrast(one: str, other: str) -> float:
    """Contrast ratio of two colours, WCAG 2.2."""
    light, dark = sorted((_luminance(one), _luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def _luminance(colour: str) -> float:
    parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    red, green, blue = (p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


@pytest.mark.parametrize(
    ("planted", "fault"),
    [
        ("<input id='a'>", "no label"),
        ("<a href='/x'></a>", "no name"),
        ("<h1>again</h1>", "2 of <h1>"),
        ("<i id='b'></i><i id='b'></i>", "stands 2 times"),
        ("<table><tr><th>x</th></tr></table>", "without scope"),
        ("<i onclick='x()'></i>", "code in an attribute"),
        ("<i style='color:red'></i>", "code in an attribute"),
        ("<script>x()</script>", "inline <script>"),
        ("<section aria-labelledby='nowhere'></section>", "names no id"),
        ("<img src='/x'>", "no alt"),
    ],
)
def test_the_check_of_pages_finds_planted_faults(client: FlaskClient, planted: str, fault: str) -> None:
    text = client.get("/elp/").text.replace("</main>", f"{planted}</main>")
    assert fault in " ".join(faults(read_html(text)))
