"""The commands of docs/how-to/serve.md, with the real `elp serve` in a process of its own and a registry."""

from __future__ import annotations

import json
import os
import re
import shlex
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import httpx
import pytest

from elp_core.testing import save_tiny
from pipelines.cli.main import run
from pipelines.local.workspace import open_workspace
from pipelines.registry.client.connection import connect
from pipelines.registry.client.serving_reports import list_serving
from pipelines.registry.slot import Slot
from pipelines.serving.ask_server import ask_server
from pipelines.serving.champion_source import RegistryChampions
from pipelines.serving.http.wyoming_events import read_event
from pipelines.serving.server_record import RECORD
from tests.docs.pages import fences
from tests.support.bundles import add_bundle
from tests.support.clips import voice, wav
from tests.support.mlflow_server import free_port
from tests.support.speech_server import TASKS, wait_until
from tests.support.versions import make_champion

pytestmark = [pytest.mark.integration, pytest.mark.timeout(600)]
SITE = "hall-7"
ELP = [sys.executable, "-m", "pipelines.cli.main"]


@dataclass(frozen=True)
class Box:
    """A workspace with recordings, and a port for its server."""

    root: Path
    port: int
    uri: str
    """Of the registry."""
    assistants: int
    """Port for voice assistants."""

    def run(self, line: str) -> str:
        """Run a command of the page as it is there, with the site and the port of the test."""
        text = line.replace("plant-a", SITE).replace("8400", str(self.port))
        text = text.replace("elp ", shlex.join(ELP) + " ", 1) if text.startswith("elp ") else text
        done = subprocess.run(["bash", "-c", text], cwd=self.root, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout


@pytest.fixture(scope="module")
def box(mlflow_uri: str, tmp_path_factory: pytest.TempPathFactory) -> Box:
    root = tmp_path_factory.mktemp("box")
    client = connect(mlflow_uri)
    for task in TASKS:
        slot = Slot(SITE, task)
        make_champion(client, add_bundle(client, slot, f"box-{task}", root / "bundles"))
    save_tiny(root / "backbone")
    (root / "elp.yaml").write_text(f"backbone: {root / 'backbone'}\nservers: {{mlflow_uri: {mlflow_uri}}}\n")
    for number, name in enumerate(("call.wav", "enrolled.wav")):
        (root / name).write_bytes(wav(voice(1.0, 300.0 + 200 * number, number)))
    return Box(root, free_port(), mlflow_uri, free_port())


@pytest.fixture(scope="module")
def serving(box: Box) -> Iterator[subprocess.Popen[str]]:
    """`elp serve SITE`, for all tests: its start loads everything."""
    command = [*ELP, "serve", SITE, "--port", str(box.port), "--wyoming", str(box.assistants), "--poll", "0.2"]
    log = box.root / "serve.log"
    with log.open("w") as output:
        # pytest ignores no signal, a shell in the background would
        process = subprocess.Popen(command, cwd=box.root, stdout=output, stderr=output, text=True)
    try:
        wait_until(lambda: "serving 4 slots" in log.read_text() or process.poll() is not None, 120)
        assert process.poll() is None, log.read_text()
        yield process
    finally:
        process.kill()
        process.wait()


@pytest.mark.usefixtures("serving")
def test_the_pages_commands_run(box: Box) -> None:
    printed = {
        line: box.run(line)
        for block in fences("sh")
        if block.page == "serve.md"
        for line in block.commands
        if not line.startswith(("elp serve", "elp api-keys"))
    }
    answers = [json.loads(text) for line, text in printed.items() if "srt" not in line]
    assert [one["id"] for one in answers[0]["data"]] == [f"{SITE}/{task}" for task in TASKS]
    assert [next(iter(one)) for one in answers[1:]] == ["text", "label", "score"]
    (block,) = [one for one in fences("py") if one.page == "serve.md"]
    code = block.text.replace("plant-a", SITE).replace("8400", str(box.port))
    said = subprocess.run([sys.executable, "-c", code], cwd=box.root, capture_output=True, text=True, check=True).stdout
    assert said.startswith(answers[1]["text"])
    with socket.create_connection(("127.0.0.1", box.assistants), timeout=60) as assistant:
        assistant.sendall(b'{"type": "describe"}\n')
        assert read_event(assistant.makefile("rb")).data["asr"][0]["models"][0]["name"] == f"{SITE}/asr"


@pytest.mark.usefixtures("serving")
@pytest.mark.parametrize(
    "lines",
    [
        ("asr call.wav enrolled.wav --json", "ser call.wav --json"),
        ("asr call.wav", "asr call.wav --format srt", "asv enrolled.wav call.wav --json --version 1"),
    ],
)
def test_predict_is_answered_by_the_server_as_without_it(
    box: Box, lines: tuple[str, ...], monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(box.root)
    for line in (f"elp predict plant-a/{line}" for line in lines):
        before = answered(box)
        by_server = box.run(line)
        assert answered(box) > before
        # in this process, which has loaded everything
        capfd.readouterr()
        words = shlex.split(line.removeprefix("elp ").replace("plant-a", SITE))
        assert run([*words, "--no-server"]) == 0
        assert loose(by_server) == loose(capfd.readouterr().out)
    # an interpreter that loads torch takes longer
    code = (
        "import sys; from pipelines.cli.main import run; code = run(sys.argv[1:]); "
        "print(sorted({'torch', 'mlflow', 'numpy', 'requests'} & set(sys.modules)), file=sys.stderr); sys.exit(code)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, "predict", f"{SITE}/asr", "call.wav"],
        cwd=box.root,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stderr.strip().endswith("[]")


@pytest.mark.usefixtures("serving")
def test_a_server_of_other_settings_is_not_asked(box: Box) -> None:
    slot, files = Slot(SITE, "asr"), [box.root / "call.wav"]
    settings, before = box.root / "elp.yaml", answered(box)
    kept = settings.read_text()
    settings.write_text(kept + "language: en\n")
    try:
        assert ask_server(open_workspace(box.root), slot, files, source=registry(box.uri)) is None
    finally:
        settings.write_text(kept)
    workspace = open_workspace(box.root)
    assert ask_server(workspace, slot, files, source=registry(box.uri + "/")) is None
    assert ask_server(workspace, slot, files, source=registry(box.uri), version=7) is None
    assert ask_server(workspace, slot, [box.root / "none.wav"], source=registry(box.uri)) is None
    assert answered(box) == before
    assert ask_server(workspace, slot, files, source=registry(box.uri)) is not None
    assert answered(box) == before + 1
    # a name that is no token of HTTP, twice over one connection; a pipe has no size to send, and opening it would wait
    odd = box.root / 'Büro "1"; a=b\n.wav'
    odd.write_bytes(files[0].read_bytes())
    assert ask_server(workspace, slot, [odd, *files], source=registry(box.uri)) is not None
    os.mkfifo(box.root / "pipe.wav")
    assert ask_server(workspace, slot, [box.root / "pipe.wav"], source=registry(box.uri)) is None
    assert answered(box) == before + 3


def shown_hosts(box: Box) -> list[dict[str, Any]]:
    """Return what the console's server has of this `elp serve`."""
    return [one["report"] for one in list_serving(box.uri) if one["report"]["host"].endswith(f":{box.port}")]


@pytest.mark.usefixtures("serving")
def test_the_console_shows_what_answers_here(box: Box) -> None:
    wait_until(lambda: shown_hosts(box))
    (report,) = shown_hosts(box)
    assert (report["sites"], report["release"]) == ([SITE], version("elp-foundry"))
    served = httpx.get(f"http://127.0.0.1:{box.port}/v1/models").json()["data"]
    assert [(one["slot"], one["bundle"]) for one in report["serving"]] == [
        (one["id"], one["bundle_digest"]) for one in served
    ]
    page = httpx.get(f"{box.uri}/elp/").text
    assert report["host"] in page
    assert f"{SITE}/asr v1 <code>{report['serving'][0]['bundle'][7:14]}</code>" in page
    # a new champion is reported without waiting for the minute
    client, slot = connect(box.uri), Slot(SITE, "sic")
    make_champion(client, add_bundle(client, slot, "box-sic-2", box.root / "bundles"))
    wait_until(lambda: {"slot": str(slot), "version": 2} in [
        {"slot": one["slot"], "version": one["version"]} for one in shown_hosts(box)[0]["serving"]
    ])  # fmt: skip


def test_keys_are_asked_for_it_ends_in_order_and_is_not_asked_then(box: Box, serving: subprocess.Popen[str]) -> None:
    # keys of a running server: from the first one on, it asks for them
    address = f"http://127.0.0.1:{box.port}/v1/models"
    add, listing, revoke = [
        line
        for block in fences("sh")
        if block.page == "serve.md"
        for line in block.commands
        if line.startswith("elp api-keys")
    ]
    key = box.run(add).splitlines()[0]
    assert httpx.get(address).status_code == 401
    own = httpx.get(address, headers={"authorization": f"Bearer {key}"}).json()["data"]
    assert [one["id"] for one in own] == [f"{SITE}/asr", f"{SITE}/sic"]
    assert "line-4" in box.run(listing)
    box.run(revoke)
    assert httpx.get(address, headers={"authorization": f"Bearer {key}"}).status_code == 401
    (box.root / ".elp" / "serving" / "api-keys.json").unlink()
    workspace, slot, files = open_workspace(box.root), Slot(SITE, "asr"), [box.root / "call.wav"]
    assert ask_server(workspace, slot, files, source=registry(box.uri)) is not None
    record = box.root / ".elp" / RECORD
    kept = record.read_bytes()
    # with its decoders
    serving.send_signal(signal.SIGTERM)
    assert serving.wait(60) == 0
    assert "stopped" in (box.root / "serve.log").read_text()
    assert shown_hosts(box) == []
    assert ask_server(workspace, slot, files, source=registry(box.uri)) is None
    # one that is killed leaves its record
    record.write_bytes(kept)
    assert ask_server(workspace, slot, files, source=registry(box.uri)) is None


def registry(uri: str) -> RegistryChampions:
    return RegistryChampions(uri, Path("unused"))


def answered(box: Box) -> int:
    """Number of recordings that the server has answered."""
    text = httpx.get(f"http://127.0.0.1:{box.port}/metrics").text
    return sum(
        int(float(line.rsplit(" ", 1)[1]))
        for line in text.splitlines()
        if line.startswith('elp_serve_requests_total{route="/v1/') and 'status="200"' in line
    )


def loose(printed: str) -> object:
    """Return what is printed, with numbers to three digits."""
    return re.sub(r"\d+\.\d{4,}", lambda found: f"{float(found[0]):.3f}", printed)


def test_a_port_that_is_taken_and_a_site_that_is_not_are_reported(box: Box) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        done = subprocess.run(
            [*ELP, "serve", SITE, "--port", str(port)], cwd=box.root, capture_output=True, text=True, check=False
        )
    assert done.returncode == 1
    assert f"127.0.0.1:{port} cannot be used" in done.stderr
    done = subprocess.run([*ELP, "serve", "hall-8"], cwd=box.root, capture_output=True, text=True, check=False)
    assert (done.returncode, "no slot of the site 'hall-8'" in done.stderr) == (2, True)
    assert os.listdir(box.root / ".elp") == [] or "serving" in os.listdir(box.root / ".elp")
