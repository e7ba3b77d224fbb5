"""While a site changes its backbone, both are in memory, and each request is answered by one version on its own."""

from __future__ import annotations

from pathlib import Path

import pytest

from elp_core.assemble import build
from elp_core.backbones import Backbone
from elp_core.bundle import bundle_digest, write_bundle
from elp_core.errors import HostError
from elp_core.inference import AdapterHost, Request
from elp_core.tasks import make_task
from elp_core.testing import save_tiny, tone
from pipelines.local.settings import Settings
from pipelines.registry.slot import Slot
from pipelines.serving.http.audio_batcher import AudioBatcher, Ticket
from pipelines.serving.http.champion_follower import ChampionFollower
from pipelines.serving.http.resident_hosts import ResidentHosts, resident_hosts
from pipelines.serving.http.served_set import ServedSet
from tests.support.bundles import SMALL, lineage
from tests.support.clips import two_speakers
from tests.support.speech_server import FolderChampions

SER, SIC = Slot("plant-a", "ser"), Slot("plant-a", "sic")
WAVE = tone(300, 0.3)
Checkpoints = dict[str, Backbone]


@pytest.fixture(scope="module")
def checkpoints(tmp_path_factory: pytest.TempPathFactory) -> Checkpoints:
    folder = tmp_path_factory.mktemp("checkpoints")
    return {name: Backbone.from_pretrained(save_tiny(folder / name, seed=n)) for n, name in enumerate(("old", "new"))}


@pytest.fixture
def bundles(checkpoints: Checkpoints, tmp_path: Path) -> dict[tuple[Slot, str], Path]:
    """A bundle of each slot on each backbone."""
    made = {}
    for slot in (SER, SIC):
        for name, backbone in checkpoints.items():
            model = build(backbone, SMALL, make_task(slot.task, two_speakers()), seed=1)
            folder = made[slot, name] = tmp_path / f"{slot.task}-{name}"
            write_bundle(folder, model.eval(), lineage(slot, name, backbone.fingerprint), {})
    return made


def test_a_site_is_served_on_both_backbones_until_the_last_slot_has_changed(checkpoints: Checkpoints, bundles) -> None:
    lines: list[str] = []
    old, new = checkpoints["old"], checkpoints["new"]
    # elp.yaml does not name the new one yet
    hosts = resident_hosts(Settings(backbone=old.id), None, 32.0, lines.append)
    served = ServedSet(hosts)
    source = FolderChampions({slot: (1, bundles[slot, "old"]) for slot in (SER, SIC)})
    follower = ChampionFollower(source, served, report=lines.append)
    follower.look()
    assert [host.backbone.fingerprint for host in hosts.hosts] == [old.fingerprint]
    batcher = AudioBatcher(hosts)
    try:
        with served.lease(SER) as began:
            source.versions = {slot: (2, bundles[slot, "new"]) for slot in (SER, SIC)}
            follower.look()
            present = served.find(SER)
            assert present
            assert (began.fingerprint, present.fingerprint) == (old.fingerprint, new.fingerprint)
            assert len(hosts.hosts) == 2
            # both in one batch, each with the answer of its own backbone
            names = [began.hosted, present.hosted, began.hosted]
            found = [batcher.submit(name, WAVE, Ticket()).result(60) for name in names]
            together = hosts.outputs([Request(name, WAVE) for name in names])
        for answer, mixed, name in zip(found, together, ("old", "new", "old"), strict=True):
            alone = AdapterHost(checkpoints[name])
            alone.load("one", bundles[SER, name])
            assert alone.outputs([Request("one", WAVE)])[0] == pytest.approx(answer, abs=1e-5)
            assert mixed == pytest.approx(answer, abs=1e-5)
        # the last request on the old one has ended
        assert [host.backbone.fingerprint for host in hosts.hosts] == [new.fingerprint]
        source.versions = {slot: (1, bundles[slot, "old"]) for slot in (SER, SIC)}
        follower.look()
        assert [host.backbone.fingerprint for host in hosts.hosts] == [old.fingerprint]
        assert batcher.submit(served.versions[0].hosted, WAVE, Ticket()).result(60) is not None
    finally:
        batcher.close()
    changes = [line for line in lines if "backbone" in line]
    assert [line.rsplit(": ")[-1] for line in changes] == ["2 are in memory", "no champion needs it"] * 2
    assert not follower.state.problems


def test_a_backbone_that_no_bundle_could_use_is_dropped_again(checkpoints: Checkpoints, bundles) -> None:
    hosts = ResidentHosts(AdapterHost(checkpoints["old"]), lambda *_: AdapterHost(checkpoints["new"]), lambda _: None)
    hosts.load("one", bundles[SER, "old"])
    hosts.load("two", bundles[SER, "new"])
    assert hosts.digest("two") == bundle_digest(bundles[SER, "new"])
    with pytest.raises(HostError, match="two"):
        hosts.load("two", bundles[SER, "new"])
    hosts.remove("two")
    assert len(hosts.hosts) == 1
    with pytest.raises(HostError, match="no adapter is served under 'two'"):
        hosts.outputs([Request("two", WAVE)])
