"""Twelve slots of three sites change from `elp:tiny` under a running `elp serve` and come back; commands are killed."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import pytest

from elp_core.testing import save_tiny
from pipelines.datasets.ingest import add_delivery
from pipelines.local.initialise import init_workspace
from pipelines.local.workspace import Workspace, open_workspace
from pipelines.migration.migrate_site import migration_state, site_champions
from pipelines.registry.client import server_api
from pipelines.registry.client.connection import connect
from pipelines.registry.client.model_registry import get
from pipelines.registry.ledger.chain import verify_chain
from pipelines.registry.ledger.entry import SITE_MOVES
from pipelines.registry.signing.keys import key_folder, load_trusted_keys
from pipelines.registry.slot import Slot
from pipelines.training.train import train_adapters
from tests.support.clips import voice, wav
from tests.support.mlflow_server import free_port
from tests.support.speech_server import wait_until
from tests.support.versions import make_champion
from tests.support.workspaces import Site, delivery, own_slot

pytestmark = [pytest.mark.integration, pytest.mark.slow, pytest.mark.timeout(900)]

SITES, TASKS, SEED = ("plant-a", "plant-b", "plant-c"), ("asr", "asv", "ser", "sic"), 26
MIGRATE_KILLS, SWITCH_KILLS, BACK_KILLS = 7, 3, 2
SETTINGS = """\
remote: .elp/remote
backbone: elp:tiny
servers: {{mlflow_uri: "{uri}"}}
defaults:
  asr: &small
    adapter: {{encoder: {{bottleneck: 4}}, layer: {{width: 8}}, prompt: {{count: 1}}}}
    train: {{epochs: 1, batch_seconds: 8.0, min_steps: 1, device: cpu}}
    gate:
      limit: 1.5
      margin: 1.0
      resamples: 100
      safety: {{max_slowdown: null, operating_margin: null, interference_slots: 0}}
  asv: *small
  ser: *small
  sic: *small
"""
CLIP, OTHER = wav(voice(0.5, 200.0, 1)), wav(voice(0.5, 320.0, 2))
ROUTES = {"asr": "audio/transcriptions", "asv": "verify", "ser": "classify", "sic": "classify"}


@dataclass
class Fleet:
    """A workspace of twelve champions on one backbone, and another checkpoint."""

    root: Path
    uri: str
    new: str
    rng: random.Random = field(default_factory=lambda: random.Random(SEED))
    kills: int = 0

    @property
    def workspace(self) -> Workspace:
        return open_workspace(self.root)

    def elp(self, *arguments: str, kill_after: float | None = None) -> int | None:
        """Run a command; after some seconds it is killed with its threads. Returns its exit code, None if killed."""
        command = [sys.executable, "-m", "pipelines.cli.main", "backbone", *arguments, "-w", str(self.root)]
        with subprocess.Popen(command, env=os.environ.copy(), stdout=subprocess.DEVNULL) as process:
            try:
                return process.wait(kill_after)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
                self.kills += 1
                return None

    def champions(self, site: str) -> list[int]:
        return [one.version for one in site_champions(self.uri, site)]

    def check_halves(self) -> None:
        """Every site is wholly on one backbone, the ledger is whole, and each move of it is one entry."""
        for site in SITES:
            assert len({one.fingerprint for one in site_champions(self.uri, site)}) == 1
        chain = verify_chain(server_api.ledger_rows(self.uri), load_trusted_keys(key_folder()))
        assert chain.faults == ()
        subprocess.run(["git", "-C", str(self.root), "fsck", "--no-progress"], check=True, capture_output=True)


@pytest.fixture
def fleet(mlflow_uri: str, tmp_path: Path) -> Fleet:
    new = save_tiny(tmp_path / "new", seed=1)
    workspace = init_workspace(tmp_path / "workspace")
    (workspace.root / "elp.yaml").write_text(SETTINGS.format(uri=mlflow_uri))
    subprocess.run(["git", "-C", str(workspace.root), "commit", "-q", "-am", "Settings"], check=True)
    workspace = open_workspace(workspace.root)
    source = delivery(tmp_path / "delivery")
    for rows in source.glob("*/metadata.jsonl"):
        lines = [json.loads(line) for line in rows.read_text().splitlines()]
        # two classes that are said by everybody
        for number, line in enumerate(lines):
            line["label"] = ("calm", "angry")[number // 2 % 2]
        rows.write_text("".join(json.dumps(line) + "\n" for line in lines))
    models = [Slot("plant-a", task) for task in TASKS]
    for slot in models:
        add_delivery(workspace, slot, source)
    copies = [own_slot(Site(workspace, *models[:2]), Slot(site, task)) for site in SITES[1:] for task in TASKS]
    tags = {slot: slot.tag(1) for slot in (*models, *copies)}
    where = {"mlflow_uri": mlflow_uri, "cache": workspace.cache, "log": lambda _: None}
    client = connect(mlflow_uri)
    for slot, made in train_adapters(str(workspace.root), tags, workspace.settings, **where).items():
        make_champion(client, get(client, slot, made.version))
    return Fleet(workspace.root, mlflow_uri, str(new))


@dataclass
class AskedServer:
    """`elp serve` in its own process, and a client that asks every slot again and again."""

    client: httpx.Client
    log: Path
    answers: Counter[tuple[str, str]] = field(default_factory=Counter)
    """By slot and version."""
    faults: list[str] = field(default_factory=list)

    def versions(self, site: str) -> set[int]:
        """Return the versions that the server answers for a site with."""
        served = self.client.get("/v1/models").json()["data"]
        return {one["version"] for one in served if one["id"].startswith(f"{site}/")}

    def said(self, sentence: str) -> int:
        """Return how often a sentence is in the server's log."""
        return self.log.read_text().count(sentence)

    def ask_until(self, ends: threading.Event) -> None:
        """Ask all slots in turn."""
        while not ends.wait(0.05):
            for slot in (f"{site}/{task}" for site in SITES for task in TASKS):
                fault, version = _asked(self.client, slot)
                self.faults.extend([f"{slot}: {fault}"] if fault else [])
                self.answers[slot, version] += 1


@pytest.fixture
def asked(fleet: Fleet, tmp_path: Path) -> Iterator[AskedServer]:
    """A server that follows the registry, as a user starts it, and its client."""
    port, log = free_port(), tmp_path / "serve.log"
    command = [sys.executable, "-m", "pipelines.cli.main", "serve", *SITES, "--port", str(port), "--poll", "0.2"]
    ends = threading.Event()
    with log.open("w") as output:
        process = subprocess.Popen(command, cwd=fleet.root, stdout=output, stderr=output)
    try:
        ready = f"serving {len(SITES) * len(TASKS)} slots"
        wait_until(lambda: ready in log.read_text() or process.poll() is not None, 180)
        assert process.poll() is None, log.read_text()
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=60, trust_env=False) as client:
            server = AskedServer(client, log)
            asker = threading.Thread(target=server.ask_until, args=[ends])
            asker.start()
            try:
                yield server
            finally:
                ends.set()
                asker.join()
    finally:
        process.terminate()
        assert process.wait(60) == 0, log.read_text()


def test_twelve_slots_change_under_load_with_kills_and_come_back(fleet: Fleet, asked: AskedServer) -> None:
    # the command needs some seconds to start; each later run gets further
    while fleet.kills < MIGRATE_KILLS:
        if fleet.elp("migrate", fleet.new, *SITES, kill_after=fleet.rng.uniform(3, 15)) == 0:
            # it was quicker than the kills: the rest of them hits a migration that is done
            pass
        fleet.check_halves()
        assert all(version == 1 for site in SITES for version in fleet.champions(site))
    assert fleet.elp("migrate", fleet.new, *SITES) == 0
    for site in SITES:
        found = migration_state(fleet.workspace, fleet.new, site)
        assert [(one.version, one.state) for one in found.slots] == [(2, "ready")] * len(TASKS)
    while fleet.kills < MIGRATE_KILLS + SWITCH_KILLS:
        # in the middle of the request, or between the registry and elp.yaml
        fleet.elp("switch", fleet.new, SITES[0], kill_after=fleet.rng.uniform(0.5, 6))
        fleet.check_halves()
    for site in SITES:
        assert fleet.elp("switch", fleet.new, site) == 0
        wait_until(lambda site=site: asked.versions(site) == {2})
    assert {fleet.workspace.settings.backbone_of(Slot(site, task)) for site in SITES for task in TASKS} == {fleet.new}
    moved = [entry for entry in server_api.ledger_entries(fleet.uri) if entry.event in SITE_MOVES]
    assert [len(entry.detail["moves"]) for entry in moved] == [len(TASKS)] * len(SITES)
    # both were in memory until no champion needed the first one
    wait_until(lambda: asked.said("elp:tiny is dropped: no champion needs it") == 1)
    assert asked.said(f"{fleet.new} is loaded: 2 are in memory") == 1
    # every slot has answered with its new version
    wait_until(lambda: sum(version == "2" for _, version in tuple(asked.answers)) == len(SITES) * len(TASKS))
    while fleet.kills < MIGRATE_KILLS + SWITCH_KILLS + BACK_KILLS:
        # a second one changes no champion, and completes elp.yaml
        fleet.elp("back", SITES[0], kill_after=fleet.rng.uniform(0.5, 2.5))
        fleet.check_halves()
    for site in SITES:
        began = time.monotonic()
        assert fleet.elp("back", site) == 0
        assert time.monotonic() - began < 60
        wait_until(lambda site=site: asked.versions(site) == {1})
    fleet.check_halves()
    moved = [entry for entry in server_api.ledger_entries(fleet.uri) if entry.event == "migrated back"]
    assert sorted(entry.detail["site"] for entry in moved) == list(SITES)
    assert fleet.workspace.settings.backbone_of(Slot(SITES[0], TASKS[0])) == "elp:tiny"
    assert asked.faults == []
    assert {version for _, version in asked.answers} == {"1", "2"}


def _asked(client: httpx.Client, slot: str) -> tuple[str, str]:
    """Ask a slot once; return what is wrong with the answer, and its version."""
    files = [("file", ("clip.wav", CLIP)), *([("enrolment", ("other.wav", OTHER))] if slot.endswith("asv") else [])]
    data = {"model": slot} | ({"embeddings": "true"} if slot.endswith("asv") else {})
    try:
        answer = client.post(f"/v1/{ROUTES[slot.partition('/')[2]]}", data=data, files=files)
    except httpx.HTTPError as error:
        return f"no answer: {error!r}", ""
    version = answer.headers.get("elp-version", "")
    if answer.status_code != 200:
        return f"{answer.status_code} {answer.text[:200]}", version
    if slot.endswith("asv"):
        found = answer.json()
        bundles = {one["bundle_digest"] for one in (found["test"], *found["enrolment"])}
        return "" if len(bundles) == 1 else f"embeddings of several bundles: {sorted(bundles)}", version
    return "", version
