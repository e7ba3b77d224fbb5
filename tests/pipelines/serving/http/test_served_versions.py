"""A request is answered by one version; a champion changes without a restart; the registry may be away."""

from __future__ import annotations

import shutil
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from elp_core.audio import load
from elp_core.bundle import bundle_digest
from elp_core.inference import AdapterHost, Request
from elp_core.testing import tone
from pipelines.errors import RequestRefused, UsageError
from pipelines.registry.client.connection import connect
from pipelines.registry.client.server_api import change_champion
from pipelines.registry.slot import Slot
from pipelines.serving.champion_source import RegistryChampions
from pipelines.serving.http.champion_follower import ChampionFollower, SlotProblem
from pipelines.serving.http.served_set import ServedSet
from tests.support.bundles import add_bundle
from tests.support.clips import voice, wav
from tests.support.speech_server import BACKBONE, FolderChampions, speech_server, wait_until
from tests.support.versions import make_champion

if TYPE_CHECKING:
    from mlflow import MlflowClient

SLOT = Slot("plant-a", "ser")
Bundles = dict[tuple[str, int], Path]
CLIP = wav(voice(0.5, 200.0, 1))


def test_a_request_keeps_the_version_that_it_began_with(bundles: Bundles) -> None:
    served, waveform = ServedSet(AdapterHost(BACKBONE)), tone(300, 0.3)

    def outputs(name: str) -> Any:
        return served.host.outputs([Request(name, waveform)])[0]

    first = served.put(SLOT, 1, bundles["ser", 1], bundle_digest(bundles["ser", 1]), 0.0)
    before = outputs(first.hosted)
    with served.lease(SLOT) as lasting:
        second = served.put(SLOT, 2, bundles["ser", 2], bundle_digest(bundles["ser", 2]), 0.0)
        assert served.find(SLOT) == second
        assert len(served.host.names) == 2
        np.testing.assert_array_equal(outputs(lasting.hosted), before)
        with served.lease(SLOT) as newer:
            assert newer == second
            assert not np.allclose(outputs(newer.hosted), before, atol=1e-3)
    # nobody uses the old one any more
    assert served.host.names == (second.hosted,)
    with served.lease(SLOT) as last:
        served.drop(SLOT)
        outputs(last.hosted)
    assert served.host.names == ()
    with pytest.raises(RequestRefused, match="no champion of plant-a/ser is served here"), served.lease(SLOT):
        pass


def test_back_and_forth_while_a_request_lasts_keeps_one_copy(bundles: Bundles) -> None:
    served = ServedSet(AdapterHost(BACKBONE))
    digests = {seed: bundle_digest(bundles["ser", seed]) for seed in (1, 2)}
    served.put(SLOT, 1, bundles["ser", 1], digests[1], 0.0)
    with served.lease(SLOT) as first:
        served.put(SLOT, 2, bundles["ser", 2], digests[2], 0.0)
        assert served.put(SLOT, 1, bundles["ser", 1], digests[1], 0.0).hosted == first.hosted
        assert served.host.names == (first.hosted,)
    assert served.host.names == (first.hosted,)


def test_a_bundle_that_cannot_be_used_leaves_the_present_version(bundles: Bundles, tmp_path: Path) -> None:
    source, lines = FolderChampions({SLOT: (1, bundles["ser", 1])}), []
    served = ServedSet(AdapterHost(BACKBONE))
    follower = ChampionFollower(source, served, report=lines.append)
    assert follower.look().problems == {}
    altered = tmp_path / "altered"
    shutil.copytree(bundles["ser", 2], altered)
    weights = altered / "adapter_model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"x")
    source.versions[SLOT] = (2, altered)
    for _ in range(3):
        state = follower.look()
    assert state.problems[SLOT].effect == "version 2 cannot be loaded, version 1 is served on"
    # tried once, and again after a while only
    assert state.failures == 1
    assert [served.find(SLOT).version, state.changes] == [1, 1]
    source.versions[SLOT] = (3, bundles["ser", 2])
    assert follower.look().problems == {}
    source.versions[SLOT] = None
    assert follower.look().problems == {SLOT: SlotProblem("it has no champion")}
    assert served.versions == ()
    assert [line for line in lines if "cannot be loaded" in line] == [lines[1]]


def test_an_error_that_nobody_expects_is_the_problem_of_one_slot(
    bundles: Bundles, monkeypatch: pytest.MonkeyPatch
) -> None:
    other, host = Slot("plant-a", "sic"), AdapterHost(BACKBONE)
    source = FolderChampions({SLOT: (1, bundles["ser", 1]), other: (1, bundles["sic", 1])})
    load = AdapterHost.load

    def full(self: AdapterHost, name: str, folder: Path) -> None:
        if name.startswith(str(SLOT)):
            raise RuntimeError("CUDA out of memory")
        load(self, name, folder)

    monkeypatch.setattr(AdapterHost, "load", full)
    served = ServedSet(host)
    follower = ChampionFollower(source, served, 0.01, lambda line: None)
    state = follower.look()
    assert {str(slot): str(one) for slot, one in state.problems.items()} == {
        "plant-a/ser": "version 1 cannot be loaded, it is not served: CUDA out of memory"
    }
    assert [one.slot for one in served.versions] == [other]
    # nothing ends the thread: neither the source, nor an output that is gone
    monkeypatch.setattr(source, "champions", lambda: {}["gone"])
    monkeypatch.setattr(follower, "_report", lambda line: {}["gone"])
    follower.start()
    looked = threading.Event()
    monkeypatch.setattr(source, "champions", lambda: looked.set() or {}["gone"])
    assert looked.wait(60)
    assert follower.alive
    follower.close()
    assert not follower.alive


@pytest.mark.integration
def test_while_the_registry_is_away_what_is_loaded_is_served(bundles: Bundles, tmp_path: Path) -> None:
    source = FolderChampions({SLOT: (1, bundles["ser", 1])})
    with speech_server(source, tmp_path) as server:
        source.away = True
        source.versions[SLOT] = (2, bundles["ser", 2])
        wait_until(lambda: not server.client.get("/readyz").json()["source"]["reachable"])
        details = server.client.get("/readyz")
        assert details.status_code == 200
        assert details.json()["source"]["error"] == "no MLflow server answers"
        assert "elp_serve_source_up 0.0" in server.client.get("/metrics").text
        assert server.ask("classify", str(SLOT), CLIP).headers["elp-version"] == "1"
        source.away = False
        wait_until(lambda: server.ask("classify", str(SLOT), CLIP).headers["elp-version"] == "2")
        assert server.client.head("/healthz").status_code == 200
        server.opened.parts.follower.close()
        ended = server.client.get("/healthz")
        assert (ended.status_code, ended.json()["status"]) == (503, "the thread that follows the champions has ended")


@pytest.mark.integration
def test_under_load_every_answer_is_that_of_the_version_in_its_header(bundles: Bundles, tmp_path: Path) -> None:
    source, wrong, counts = FolderChampions({SLOT: (1, bundles["ser", 1])}), [], {}
    host = AdapterHost(BACKBONE)
    host.load("1", bundles["ser", 1])
    host.load("2", bundles["ser", 2])
    clips = [wav(voice(0.3, 200.0 + 100 * n, n)) for n in range(3)]
    waves = [load(clip) for clip in clips]
    own = {
        (str(seed), bundle_digest(bundles["ser", seed]), n): max(host.outputs([Request(str(seed), wave)])[0])
        for seed in (1, 2)
        for n, wave in enumerate(waves)
    }
    with speech_server(source, tmp_path) as server:
        ends = threading.Event()

        def ask(n: int) -> None:
            while not ends.is_set():
                answer = server.ask("classify", str(SLOT), clips[n])
                key = (answer.headers["elp-version"], answer.headers["elp-bundle-digest"], n)
                counts[key] = counts.get(key, 0) + 1
                if abs(answer.json()["probability"] - own[key]) > 1e-4:
                    wrong.append((key, answer.json()))

        threads = [threading.Thread(target=ask, args=(n,)) for n in range(3)]
        for thread in threads:
            thread.start()
        for change in range(8):
            version = change % 2 + 1
            source.versions[SLOT] = (version, bundles["ser", version])
            seen = sum(counts.values())
            wait_until(lambda v=version: server.opened.served.find(SLOT).version == v)
            wait_until(lambda s=seen: sum(counts.values()) > s + 3)
        ends.set()
        for thread in threads:
            thread.join()
        assert len(server.opened.served.host.names) == 1
    assert wrong == []
    assert set(counts) == set(own)


@pytest.fixture
def client(mlflow_uri: str) -> MlflowClient:
    return connect(mlflow_uri)


@pytest.mark.integration
def test_a_promotion_in_the_registry_changes_the_answers_without_a_restart(
    client: MlflowClient, mlflow_uri: str, tmp_path: Path, cache: Path
) -> None:
    slot, other = Slot("followed", "asr"), Slot("followed-not", "asr")
    make_champion(client, add_bundle(client, slot, "f1", tmp_path))
    make_champion(client, add_bundle(client, other, "f2", tmp_path))
    source = RegistryChampions(mlflow_uri, cache, ["followed"])
    source.require_sites()
    with pytest.raises(UsageError, match="the registry has no slot of the site 'folowed'"):
        RegistryChampions(mlflow_uri, cache, ["folowed"]).require_sites()
    with speech_server(source, tmp_path) as server:

        def version() -> str:
            return server.ask("audio/transcriptions", str(slot), CLIP).headers.get("elp-version", "")

        assert version() == "1"
        assert [one["id"] for one in server.client.get("/v1/models").json()["data"]] == ["followed/asr"]
        second = make_champion(client, add_bundle(client, slot, "f3", tmp_path))
        wait_until(lambda: version() == "2")
        assert server.client.get("/v1/models/followed/asr").json()["bundle_digest"] == second.bundle_digest
        change_champion(mlflow_uri, "retire", slot, by="ann", reason="closed")
        wait_until(lambda: version() == "")
        assert server.client.get("/readyz").json()["problems"] == {"followed/asr": "it has no champion"}
