"""A box serves and predicts with the set that it pulled: without a registry, without MLflow, whatever has expired."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import pytest

from elp_core.assemble import build
from elp_core.backbones import Backbone
from elp_core.bundle import write_bundle
from elp_core.errors import BackboneError
from elp_core.tasks import make_task
from elp_core.testing import save_tiny
from pipelines.cli.main import run
from pipelines.distribution.pull_box import pull_box
from pipelines.distribution.pull_set import roll_back_set
from pipelines.errors import DeliveryRefused, RegistryError, ServiceError
from pipelines.local.box_home import CURRENT, BoxSettings, active_set, box_workspace, read_box, write_box
from pipelines.registry.slot import Slot
from pipelines.serving.box_champions import BoxChampions
from pipelines.serving.http.serve_options import ServeOptions
from tests.docs.pages import fences
from tests.support.bundles import SMALL, lineage
from tests.support.clips import two_speakers, voice, wav
from tests.support.delivery_by_hand import NOW, Depot
from tests.support.mlflow_server import free_port
from tests.support.speech_server import speech_server, wait_until

pytestmark = pytest.mark.integration
SLOT = Slot("plant-a", "asr")
CLIP = wav(voice(0.6, 200.0, 1))
LATER = NOW + timedelta(hours=1)


@pytest.fixture
def pulled(depot: Depot, box: Path, tmp_path: Path) -> Path:
    """A box with plant-a/asr v1."""
    save_tiny(tmp_path / "backbone")
    write_box(box, BoxSettings("plant-a", backbone=str(tmp_path / "backbone")))
    depot.pull(box, depot.medium(tmp_path / "medium"))
    return box


def _publish(depot: Depot, version: int) -> None:
    depot.publish(LATER, plant_a=[depot.ship("plant-a/asr", version, f"number {version}")])


def test_a_server_follows_the_pulls_of_its_box_and_outlives_their_metadata(
    depot: Depot, pulled: Path, tmp_path: Path
) -> None:
    moment = [NOW]
    with speech_server(BoxChampions(pulled, lambda: moment[0]), tmp_path) as server:

        def version() -> str:
            return server.ask("audio/transcriptions", "plant-a/asr", CLIP).headers.get("elp-version", "")

        def stopped() -> str:
            return server.client.get("/readyz").json()["source"]["updates_stopped"]

        answer = server.ask("audio/transcriptions", "plant-a/asr", CLIP)
        assert answer.headers["elp-bundle-digest"] == active_set(pulled).site_set.adapters[0].bundle
        assert (version(), stopped()) == ("1", "")
        _publish(depot, 2)
        medium = depot.medium(tmp_path / "medium")
        depot.pull(pulled, medium, LATER)
        wait_until(lambda: version() == "2")
        roll_back_set(pulled)
        wait_until(lambda: version() == "1")
        # nobody pulls for years
        moment[0] = NOW + timedelta(days=2000)
        wait_until(lambda: "the signed metadata expired at 2026-" in stopped())
        assert "elp_serve_updates_stopped 1.0" in server.client.get("/metrics").text
        moment[0] = NOW
        wait_until(lambda: stopped() == "")
        with pytest.raises(DeliveryRefused, match="metadata have expired"):
            depot.pull(pulled, medium, NOW + timedelta(days=200))
        wait_until(lambda: "ended with: expired: " in stopped())
        # a disk that returns nonsense: what is loaded is served on
        (pulled / CURRENT).write_bytes(b"{")
        wait_until(lambda: not server.client.get("/readyz").json()["source"]["reachable"])
        assert server.client.get("/readyz").status_code == 200
        assert version() == "1"
        # and the next pull repairs it
        assert depot.pull(pulled, medium, LATER).changed
        wait_until(lambda: server.client.get("/readyz").json()["source"]["reachable"] and version() == "2")


def test_a_set_on_two_backbones_is_refused_until_the_box_has_both_and_then_served_on_both(
    depot: Depot, pulled: Path, tmp_path: Path
) -> None:
    ser, first = Slot("plant-a", "ser"), read_box(pulled)
    new = Backbone.from_pretrained(save_tiny(tmp_path / "new", seed=1))
    model = build(new, SMALL, make_task("ser", two_speakers()), seed=1)
    # what trained it called the weights otherwise
    write_bundle(tmp_path / "bundle", model.eval(), lineage(ser, "org/new", new.fingerprint), {})
    files = {path.name: path.read_bytes() for path in (tmp_path / "bundle").iterdir()}
    # as with --without: plant-a/asr stays on the former one
    depot.publish(LATER, plant_a=[*depot.sets["plant-a"], depot.ship("plant-a/ser", 1, "", files=files)])
    depot.medium(tmp_path / "sticks" / "plant-a")

    def pull(*backbones: str) -> None:
        pull_box(pulled, source=str(tmp_path / "sticks"), backbones=backbones, environment={}, now=LATER)

    options = ServeOptions(every=0.05, decoders=1, settings_now=lambda: box_workspace(pulled).settings)
    with speech_server(BoxChampions(pulled), tmp_path, options) as server:
        with pytest.raises(DeliveryRefused, match=rf"plant-a/ser v1 belongs to the backbone tiny \({new.fingerprint}"):
            pull()
        assert [one.slot for one in active_set(pulled).site_set.adapters] == ["plant-a/asr"]
        with pytest.raises(BackboneError, match="gone"):
            pull(first.backbone, str(tmp_path / "gone"))
        assert read_box(pulled) == first
        pull(first.backbone, str(tmp_path / "new"))
        wait_until(lambda: server.ask("classify", "plant-a/ser", CLIP).status_code == 200)
        assert server.ask("audio/transcriptions", "plant-a/asr", CLIP).status_code == 200
        assert len(server.opened.served.host.hosts) == 2
    assert box_workspace(pulled).settings.backbone_of(ser) == str(tmp_path / "new")
    assert box_workspace(pulled).settings.backbone_of(SLOT) == first.backbone


def test_the_same_version_with_another_bundle_is_another_one(depot: Depot, pulled: Path, tmp_path: Path) -> None:
    """As after a registry that was made again: its numbers begin at 1."""
    with speech_server(BoxChampions(pulled), tmp_path) as server:
        before = server.client.get("/v1/models/plant-a/asr").json()["bundle_digest"]
        _publish(depot, 1)
        depot.pull(pulled, depot.medium(tmp_path / "medium"), LATER)
        wait_until(lambda: server.client.get("/v1/models/plant-a/asr").json()["bundle_digest"] != before)


def test_versions_of_the_set_and_of_the_one_before_are_found(depot: Depot, pulled: Path, tmp_path: Path) -> None:
    source = BoxChampions(pulled)
    _publish(depot, 2)
    depot.pull(pulled, depot.medium(tmp_path / "medium"), LATER)
    assert [source.fetch(SLOT, which).version for which in ("champion", 1, 2)] == [2, 1, 2]
    with pytest.raises(RegistryError, match=r"does not have plant-a/asr v3; it has plant-a/asr v2, plant-a/asr v1"):
        source.fetch(SLOT, 3)
    with pytest.raises(RegistryError, match="does not have a champion of plant-a/ser"):
        source.fetch(Slot("plant-a", "ser"), "champion")
    (tmp_path / "new").mkdir()
    write_box(tmp_path / "new", BoxSettings("plant-a"))
    with pytest.raises(ServiceError, match="has pulled no set yet; pull one: elp pull plant-a"):
        BoxChampions(tmp_path / "new").champions()


def test_the_pages_commands_serve_and_predict_without_a_workspace_and_without_mlflow(
    pulled: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = [line for f in fences("sh") if f.page == "edge-boxes.md" for line in f.commands if "--box" in line]
    serve, predict, keys = (
        next(line for line in lines if line.startswith(f"elp {verb}")) for verb in ("serve", "predict", "api-keys")
    )

    def here(line: str) -> list[str]:
        return [str(pulled) if word == "/var/lib/elp-box" else word for word in line.split()[1:]]

    monkeypatch.chdir(tmp_path)
    Path("call.wav").write_bytes(CLIP)
    # an altered bundle is refused, by the digest that the set names
    (bundle,) = (pulled / "bundles").iterdir()
    bundle.rename(tmp_path / "kept")
    bundle.mkdir()
    assert run(here(predict)) == 1
    bundle.rmdir()
    (tmp_path / "kept").rename(bundle)
    capsys.readouterr()
    assert run([*here(predict), "--json"]) == 0
    alone = json.loads(capsys.readouterr().out)
    assert alone["version"] == 1
    port = free_port()
    code = (
        "import sys; from pipelines.cli.main import run; code = run(sys.argv[1:]); "
        "print('imported', sorted({'mlflow', 'prefect', 'dvc'} & set(sys.modules)), file=sys.stderr); sys.exit(code)"
    )
    log = tmp_path / "serve.log"
    with log.open("w") as output:
        process = subprocess.Popen(
            [sys.executable, "-c", code, *here(serve), "--port", str(port)],
            stdout=output,
            stderr=output,
            cwd=tmp_path,
            env={**os.environ, "ELP_WORKSPACE": ""},
        )
    try:
        wait_until(lambda: "serving 1 slot" in log.read_text() or process.poll() is not None, 120)
        monkeypatch.setattr("pipelines.cli.predict_verb._loaded", lambda *_: pytest.fail("the server was not asked"))
        assert run([*here(predict), "--json"]) == 0
        assert json.loads(capsys.readouterr().out)["answers"] == alone["answers"]
        assert run(here(keys)) == 0
        assert (pulled / ".elp" / "serving" / "api-keys.json").is_file()
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0
    finally:
        process.kill()
        process.wait()
    assert log.read_text().splitlines()[-1] == "imported []"


def test_what_does_not_belong_together_is_refused(
    pulled: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for arguments, code, said in [
        (["serve", "plant-a", "--box", str(pulled)], 2, "a box serves its own site, got plant-a"),
        (
            ["serve", "--box", str(tmp_path / "none")],
            1,
            f"is no box yet; make it one with: elp pull --box {tmp_path / 'none'} SITE",
        ),
        (["serve", "--box", str(pulled), "-w", str(tmp_path)], 2, "--box and --workspace exclude each other"),
    ]:
        assert run(arguments) == code
        assert said in capsys.readouterr().err
    # a registry that does not answer when a server starts: the way without one is named
    (tmp_path / "elp.yaml").write_text(f"servers: {{mlflow_uri: 'http://127.0.0.1:{free_port()}'}}\n")
    assert run(["serve"]) == 1
    said = capsys.readouterr().err
    assert "no MLflow server answers" in said
    assert "then elp serve --box DIR" in said
