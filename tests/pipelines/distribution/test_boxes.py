"""Boxes say what they run, over HTTP and on the medium, and the console says which of them differ."""

from __future__ import annotations

import json
import re
from dataclasses import asdict, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from pipelines.cli.main import run
from pipelines.distribution.pull_box import pull_box
from pipelines.distribution.report_back import enrol_box_here, signed_report
from pipelines.distribution.sources import HttpSource
from pipelines.errors import DeliveryRefused, GateRefused, RegistryError, ServiceError
from pipelines.local.box_home import box_workspace, read_box
from pipelines.local.workspace import Workspace
from pipelines.registry.client.boxes import end_box, invite_box_by, send_report
from pipelines.registry.client.connection import Account
from pipelines.registry.client.serving_reports import list_serving
from pipelines.registry.delivery.box_report import BoxReport, RunningAdapter, read_report, sign_report
from pipelines.registry.delivery.delivery_keys import new_private_key, public_pem, signer_of
from pipelines.registry.delivery.serving_report import ServingReport
from pipelines.registry.signing.canonical_json import sha256
from pipelines.serving.presence import box_presence
from tests.support.delivery_by_hand import ship_fingerprint
from tests.support.delivery_plant import Plant, make_plant
from tests.support.html import faults, read_html
from tests.support.login_server import PASSWORD, LoginServer

pytestmark = pytest.mark.integration


@pytest.fixture(autouse=True)
def _backbone(monkeypatch: pytest.MonkeyPatch) -> None:
    """The box serves with the backbone of the bundles, which is not on this disk."""
    monkeypatch.setattr("pipelines.distribution.pull_box._fingerprint", lambda backbone: ship_fingerprint())


@pytest.fixture
def control(plant: Plant, workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    """The workspace of the control host, whose server is the plant's."""
    path = workspace.root / "elp.yaml"
    path.write_text(path.read_text() + f"\nservers:\n  mlflow_uri: {plant.uri}\n")
    monkeypatch.chdir(workspace.root)
    return workspace


def _row(plant: Plant, name: str) -> dict[str, object]:
    [found] = [row for row in plant.rest("GET", "/elp/api/v1/boxes").json["boxes"] if row["name"] == name]
    return dict(found)


def test_from_the_invitation_to_differs(
    plant: Plant, control: Workspace, box: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    first = plant.promote("plant-a/asr", "boxes 1")
    assert run(["box", "invite", "press-3", "plant-a", "--json"]) == 0
    invited = json.loads(capfd.readouterr().out)
    enrol = ["box", "enrol", invited["address"], "--token", invited["token"], "--root", invited["root"]]
    assert run([*enrol, "--box", str(box)]) == 0
    assert run([*enrol, "--box", str(box.with_name("second"))]) == 1
    assert "was used" in capfd.readouterr().err
    # the root and the source are known from the enrolment
    assert run(["pull", "plant-a", "--box", str(box)]) == 0
    page = "/elp/slots/plant-a/asr"
    assert "the champion</td>" in plant.rest("GET", page).text
    assert run(["box", "list"]) == 0
    assert "asr v1" in capfd.readouterr().out

    plant.promote("plant-a/asr", "boxes 2", first)
    assert "differs" in plant.rest("GET", page).text
    start = plant.rest("GET", "/elp/").text
    assert "1 box serves another version than the champion" in start
    assert "press-3 (plant-a: asr v1 → asr v2)" in start
    assert "differs, expected: asr v2" in start
    assert faults(read_html(start)) == []
    assert re.search(r'of \d+ box(es)? reported within a week; <span class="alarm">\d+ differs?', start)
    assert run(["pull", "plant-a", "--box", str(box)]) == 0
    assert "differs" not in plant.rest("GET", page).text

    assert run(["box", "revoke", "press-3"]) == 0
    assert run(["pull", "plant-a", "--box", str(box)]) == 1
    assert "no enrolled box has this token" in capfd.readouterr().err
    assert "press-3" not in plant.rest("GET", page).text


def test_a_box_without_a_network_reports_on_the_medium(
    plant: Plant, control: Workspace, box: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    plant.promote("plant-b/asr", "by stick")
    stick = tmp_path / "stick"
    assert run(["export", "plant-b", "--to", str(stick)]) == 0
    assert run(["box", "key", "gate-1", "plant-b", "--to", str(stick), "--box", str(box)]) == 0
    assert run(["pull", "plant-b", "--from", str(stick), "--root", str(plant.first_root), "--box", str(box)]) == 0
    # before the control host knows the key
    assert run(["box", "collect", "--from", str(stick)]) == 1
    assert "no enrolled box has this name" in capfd.readouterr().out
    assert run(["box", "add", "gate-1", "plant-b", "--key", str(stick / "plant-b/reports/gate-1.pub")]) == 0
    assert run(["box", "collect", "--from", str(stick)]) == 0
    assert _row(plant, "gate-1")["report"]["running"][0]["version"] == 1
    assert "the champion</td>" in plant.rest("GET", "/elp/slots/plant-b/asr").text


def test_a_refused_pull_is_reported(plant: Plant, box: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = plant.promote("plant-c/asr", "one")
    token, _ = invite_box_by(plant.uri, "lift-2", "plant-c", None, plant.keys.folder)
    enrol_box_here(box, plant.uri, token, f"sha256:{sha256(plant.first_root.read_bytes())}")
    pull_box(box, "plant-c", backbones=["org/old", "org/new"], environment={})
    # remembered, and named for the server
    assert read_box(box).backbones == ("org/old", "org/new")
    assert box_workspace(box).settings.slots == {"plant-c/asr": {"backbone": "org/old"}}
    plant.promote("plant-c/asr", "two", first)
    monkeypatch.setattr("pipelines.distribution.pull_box._fingerprint", lambda backbone: "sha256:" + "0" * 64)
    with pytest.raises(DeliveryRefused, match="belongs to the backbone"):
        pull_box(box, "plant-c", environment={})
    page = plant.rest("GET", "/elp/slots/plant-c/asr").text
    assert "last pull refused" in page
    start = plant.rest("GET", "/elp/").text
    assert "1 box refused its last pull" in start
    assert "belongs to the backbone" in start


def test_the_server_of_a_box_is_shown_if_the_box_signed_it(
    plant: Plant, control: Workspace, box: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    token, _ = invite_box_by(plant.uri, "dock-4", "plant-d", None, plant.keys.folder)
    # before its enrolment there is nobody to report to
    assert box_presence(box, 8400) is None
    enrol_box_here(box, plant.uri, token, "")
    presence = box_presence(box, 8400)
    assert presence
    served = (RunningAdapter("plant-d/asr", 7, "sha256:" + "7" * 64),)
    report = ServingReport(presence.host, presence.now().isoformat(), ("plant-d",), served, box="dock-4")
    presence.send(report)
    assert [one["report"]["serving"][0]["version"] for one in _hosts(plant, "dock-4")] == [7]
    start = plant.rest("GET", "/elp/").text
    assert "1 serving host answers with another version than the champion" in start
    assert "plant-d/asr v7 <code>7777777</code>" in start
    assert faults(read_html(start)) == []
    # `elp status` shows it, too; its exit code is about the services: Prefect is down here
    capfd.readouterr()
    assert [run(["status", *json_, "-w", str(control.root)]) for json_ in ([], ["--json"])] == [1, 1]
    text, _, values = capfd.readouterr().out.partition("\n[")
    assert re.search(rf"{presence.host} +differs +plant-d +plant-d/asr v7 .* champion: plant-d/asr –", text)
    listed = json.loads("[" + values)
    [host] = [one for one in listed if one["kind"] == "serving"]
    assert {one["kind"] for one in listed if {"name", "state", "detail"} <= one.keys()} == {"service", "serving"}
    assert (host["name"], host["detail"]) == (presence.host, "champion: plant-d/asr –")
    assert (host["state"], host["box"], host["sites"]) == ("differs", "dock-4", ["plant-d"])
    assert (host["versions"], host["differs"]) == (["plant-d/asr v7"], ["plant-d/asr –"])
    # seen on the way and sent again, or about another site: it changes nothing (the server counts attempts)
    earlier = replace(report, at=(presence.now() - timedelta(hours=1)).isoformat(), serving=())
    presence.send(earlier)
    with pytest.raises(GateRefused, match="is about dock-4 of plant-a"):
        presence.send(replace(report, sites=("plant-a",)))
    plant.rest("POST", "/elp/api/v1/serving/report", {"report": asdict(report)}).must_be(400, "signs its report")
    assert [one["report"]["serving"][0]["version"] for one in _hosts(plant, "dock-4")] == [7]
    presence.send(replace(report, at=presence.now().isoformat(), ended=True))
    assert _hosts(plant, "dock-4") == []
    # and not back to life by its last report
    presence.send(report)
    assert _hosts(plant, "dock-4") == []


def _hosts(plant: Plant, box: str) -> list[dict[str, Any]]:
    return [dict(one) for one in list_serving(plant.uri) if one["report"]["box"] == box]


def test_a_report_counts_only_if_its_box_signed_it_and_it_is_later(plant: Plant, box: Path, tmp_path: Path) -> None:
    token, _ = invite_box_by(plant.uri, "hall-7", "plant-d", None, plant.keys.folder)
    enrol_box_here(box, plant.uri, token, "")
    early, late = signed_report(box), signed_report(box)
    at = send_report(plant.uri, late)["report_at"]
    assert send_report(plant.uri, early)["report_at"] == at
    pem = new_private_key(tmp_path / "thief.pem")
    key = (box / "key.pem").read_bytes()
    report = read_report(late, public_pem(box / "key.pem"))
    forged = sign_report(report, signer_of(tmp_path / "thief.pem"))
    with pytest.raises(RegistryError, match="signed by"):
        send_report(plant.uri, forged)
    ahead = replace(report, at="2100-01-01T00:00:00.000000+00:00")
    with pytest.raises(RegistryError, match="set the clock of the box"):
        send_report(plant.uri, sign_report(ahead, signer_of(box / "key.pem")))
    other = BoxReport("hall-7", "plant-a", report.at, (), "activated", "")
    with pytest.raises(RegistryError, match="is about hall-7 of plant-a"):
        send_report(plant.uri, sign_report(other, signer_of(box / "key.pem")))
    assert key == (box / "key.pem").read_bytes()
    assert pem != public_pem(box / "key.pem")
    # a request that changes boxes is signed by the control host, on a server without a login
    for route, body in (("invite", {"site": "plant-d", "token": "0" * 64}), ("revoke", {})):
        answer = plant.rest("POST", f"/elp/api/v1/boxes/{route}", {"name": "hall-7", "at": report.at, **body})
        answer.must_be(403, "control host")
    end_box(plant.uri, "hall-7", None, plant.keys.folder)
    with pytest.raises(RegistryError, match="no enrolled box has this name"):
        send_report(plant.uri, signed_report(box))


def test_on_a_server_with_a_login_a_box_reads_its_own_site_and_nothing_else(
    login: LoginServer, box: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ELP_KEYS", str(login.guarded.keys))
    plant = make_plant(tmp_path / "plant", login.rest("emil"), login.guarded.keys)
    for slot in ("plant-e/asr", "plant-f/asr"):
        plant.promote(slot, f"with a login {slot}")
    token, _ = invite_box_by(login.uri, "press-9", "plant-e", login.admin, login.guarded.keys)
    carl = Account("carl", PASSWORD)
    with pytest.raises(RegistryError, match="this is for administrators"):
        invite_box_by(login.uri, "press-8", "plant-e", carl, login.guarded.keys)
    settings = enrol_box_here(box, login.uri, token, f"sha256:{sha256(plant.first_root.read_bytes())}")
    assert pull_box(box, "plant-e", environment={}).changed
    assert _row(plant, "press-9")["report_at"]

    bearer = {"Authorization": f"Bearer {read_box(box).token}"}
    rest = login.rest()
    metadata = "/elp/api/v1/delivery/metadata/timestamp.json"
    assert rest("GET", metadata).status == 401
    assert rest("GET", metadata, headers=bearer).status == 200
    assert rest("GET", metadata, headers={"Authorization": "Bearer press-9.wrong"}).status == 403
    other = "/elp/api/v1/delivery/targets/plant-f/" + "0" * 64 + ".set.json"
    rest("GET", other, headers=bearer).must_be(403, "reads no other one's files")
    for path in ("/elp/api/v1/boxes", "/elp/api/v1/delivery", "/elp/", "/api/2.0/mlflow/experiments/search"):
        assert rest("GET", path, headers=bearer).status == 401, path
    end_box(login.uri, "press-9", login.admin, login.guarded.keys)
    with pytest.raises(ServiceError, match="no enrolled box has this token"):
        pull_box(box, "plant-e", environment={})
    assert HttpSource(settings.source).shown == login.uri
