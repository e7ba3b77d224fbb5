"""A site of two slots changes its backbone on a real server and comes back; no voice is compared across the two."""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from elp_core.testing import save_tiny
from pipelines.errors import GateRefused, TemplateError, UsageError
from pipelines.gating.gate import gate_version
from pipelines.local.workspace import Workspace, open_workspace
from pipelines.migration.migrate_site import migrate_sites, migration_state, site_champions
from pipelines.migration.migration_plan import plan_migration
from pipelines.migration.switch_site import switch_back, switch_site
from pipelines.registry.backbone_licence import BackbonePolicy, BackboneRecord
from pipelines.registry.client import server_api
from pipelines.registry.client.backbones import switch_site_to
from pipelines.registry.client.connection import connect
from pipelines.registry.client.model_registry import find_champion, get
from pipelines.registry.ledger.entry import MOVES
from pipelines.registry.slot import Slot
from pipelines.serving.champion_source import RegistryChampions
from pipelines.serving.voices.enrolment import enrol_voice
from pipelines.serving.voices.matching import match_voice
from pipelines.serving.voices.renewal import renew_voices
from pipelines.serving.voices.template_store import RegistryTemplates
from pipelines.serving.voices.verifier import Verifier, load_verifier
from pipelines.serving.voices.voice_folder import VoiceFolder
from pipelines.serving.voices.voice_place import VoicePlace
from pipelines.training.train import train_adapters
from tests.support.clips import voice
from tests.support.versions import make_champion, record_verdict
from tests.support.workspaces import Site, own_slot

pytestmark = pytest.mark.integration

SITE = "plant-move"
ASR, ASV = SLOTS = Slot(SITE, "asr"), Slot(SITE, "asv")
ANNA = [voice(1.0, 150.0, seed) for seed in (1, 2, 3)]
BERT = [voice(1.0, 320.0, seed) for seed in (4, 5, 6)]
SETTINGS = """\
# the policy accepts whatever two epochs make
servers: {{mlflow_uri: "{uri}"}}
slots:
  plant-move/asr:
    gate: {{limit: 1.5, margin: 1.0, resamples: 200, safety: {{max_slowdown: null, operating_margin: null}}}}
  plant-move/asv:
    gate: {{limit: 1.5, margin: 1.0, resamples: 200, safety: {{max_slowdown: null, operating_margin: null}}}}
"""


@dataclass(frozen=True)
class Plant:
    """A workspace whose site has two champions on one backbone, and another checkpoint."""

    root: Path
    uri: str
    new: str

    @property
    def workspace(self) -> Workspace:
        """The workspace as it is now."""
        return open_workspace(self.root)

    def versions(self) -> dict[str, int]:
        """The champions by task."""
        return {one.slot.task: one.version for one in site_champions(self.uri, SITE)}

    def verifier(self, version: int) -> Verifier:
        settings, cache = self.workspace.settings, self.workspace.cache
        return load_verifier(ASV, settings, RegistryChampions(self.uri, cache), version)


@pytest.fixture(scope="module")
def moving(site: Site, mlflow_uri: str, tmp_path_factory: pytest.TempPathFactory) -> Plant:
    folder = tmp_path_factory.mktemp("plant")
    root = Path(shutil.copytree(site.workspace.root, folder / "workspace", symlinks=True))
    for slot in SLOTS:
        own_slot(Site(open_workspace(root), site.asr, site.asv), slot)
    with (root / "elp.yaml").open("a") as settings:
        settings.write(SETTINGS.format(uri=mlflow_uri))
    author = ["-c", "user.name=Test", "-c", "user.email=test@example.org"]
    subprocess.run(["git", "-C", str(root), *author, "commit", "-q", "-am", "Settings"], check=True)
    workspace, client = open_workspace(root), connect(mlflow_uri)
    tags = {slot: slot.tag(1) for slot in SLOTS}
    where = {"mlflow_uri": mlflow_uri, "cache": workspace.cache}
    for slot, made in train_adapters(str(root), tags, workspace.settings, **where, log=lambda _: None).items():
        make_champion(client, get(client, slot, made.version))
    new = save_tiny(folder / "new", seed=1)
    return Plant(root, mlflow_uri, str(new))


def test_a_site_changes_its_backbone_and_comes_back(moving: Plant, tmp_path: Path) -> None:
    client, quiet = connect(moving.uri), {"log": lambda _: None}
    place = VoicePlace(VoiceFolder(tmp_path / "voices"), RegistryTemplates(moving.uri))
    enrol_voice("Anna", ANNA, moving.verifier(1), place, consent="form 7", keep_audio=True)
    enrol_voice("Bert", BERT, moving.verifier(1), place, consent="form 8")
    planned = plan_migration(moving.workspace, moving.new, [SITE])
    assert [(one.slot, one.obstacles, one.voices) for one in planned.slots] == [
        ("plant-move/asr", (), 0),
        ("plant-move/asv", (), 2),
    ]
    # all is there for a judgement, but nothing states the migration
    changed = {slot: slot.tag(1) for slot in (ASR,)}
    settings = moving.workspace.settings
    moved = type(settings)(backbone=moving.new, defaults=settings.defaults, slots=settings.slots)
    where = {"mlflow_uri": moving.uri, "cache": moving.workspace.cache, **quiet}
    made = train_adapters(str(moving.root), changed, moved, **where)[ASR]
    with pytest.raises(GateRefused, match="nothing states that plant-move changes"):
        gate_version(str(moving.root), ASR, moving.workspace.settings, made.version, backbone=moving.new, **where)
    (found,) = migrate_sites(moving.workspace, moving.new, [SITE], **quiet)
    assert [(one.slot, one.version, one.state) for one in found.slots] == [
        ("plant-move/asr", made.version, "ready"),
        ("plant-move/asv", 2, "ready"),
    ]
    assert migration_state(moving.workspace, moving.new, SITE) == found
    with pytest.raises(GateRefused, match="the slots of a site change together"):
        server_api.change_champion(moving.uri, "promote", ASR, version=made.version)
    renewed = renew_voices(moving.verifier(2), place)
    assert (renewed.renewed, [one.name for one in renewed.left]) == (("Anna",), ["Bert"])

    done = switch_site(moving.workspace, moving.new, SITE)
    assert done.switch
    assert moving.versions() == {"asr": 2, "asv": 2}
    assert [moving.workspace.settings.backbone_of(slot) for slot in SLOTS] == [moving.new, moving.new]
    assert "# the policy accepts" in (moving.root / "elp.yaml").read_text()
    # one entry, and both slots have it
    for slot in SLOTS:
        last = server_api.ledger_entries(moving.uri, slot)[-1]
        assert (last.event, last.before, last.after, last.seq) == ("migrated", 1, 2, done.switch.seq)
    match = match_voice("Anna", ANNA[0], moving.verifier(2), place)
    assert match.bundle == moving.verifier(2).bundle
    with pytest.raises(TemplateError, match="scores across bundles mean nothing"):
        match_voice("Bert", BERT[0], moving.verifier(2), place)
    # a second time there is nothing to do
    assert switch_site(moving.workspace, moving.new, SITE).switch is None

    back = switch_back(moving.workspace, SITE, "worse at night")
    assert back.switch
    assert moving.versions() == {"asr": 1, "asv": 1}
    assert set(moving.workspace.settings.backbone_names) == {planned.slots[0].backbone}
    assert match_voice("Anna", ANNA[0], moving.verifier(1), place).version == 1
    # a second time there is nothing to do, but for a settings file whose commit was cut off
    again = switch_back(moving.workspace, SITE)
    assert (again.switch, again.commit, again.backbones) == (None, "", (planned.slots[0].backbone,))
    subprocess.run(["git", "-C", str(moving.root), "reset", "-q", "--hard", "HEAD~1"], check=True)
    completed = switch_back(moving.workspace, SITE)
    assert completed.switch is None
    assert completed.commit
    assert set(moving.workspace.settings.backbone_names) == {planned.slots[0].backbone}
    with pytest.raises(GateRefused, match="was rolled back"):
        switch_site(moving.workspace, moving.new, SITE)
    assert switch_site(moving.workspace, moving.new, SITE, again=True).switch
    assert switch_back(moving.workspace, SITE).switch
    champion = find_champion(client, ASV)
    assert champion
    assert champion.version == 1


def test_a_switch_is_whole_or_nothing(moving: Plant) -> None:
    workspace, before = moving.workspace, moving.versions()
    (found,) = migrate_sites(workspace, moving.new, [SITE], log=lambda _: None)
    entries = [entry for entry in server_api.ledger_entries(moving.uri) if entry.event in MOVES]
    failing = get(connect(moving.uri), ASV, 2)
    record_verdict(connect(moving.uri), failing, "failed", find_champion(connect(moving.uri), ASV))
    versions = {ASR: 2, ASV: 2}
    with pytest.raises(GateRefused, match="plant-move/asv v2: the gate's verdict is failed"):
        switch_site_to(moving.uri, SITE, moving.new, found.fingerprint, versions, again=True)
    with pytest.raises(GateRefused, match="plant-move/asv would stay on another backbone"):
        switch_site_to(moving.uri, SITE, moving.new, found.fingerprint, {ASR: 2}, again=True)
    assert moving.versions() == before
    assert [entry for entry in server_api.ledger_entries(moving.uri) if entry.event in MOVES] == entries
    # the slot that failed stays where it is, on its backbone
    done = switch_site(workspace, moving.new, SITE, [ASV], again=True)
    assert done.switch
    assert [(one.slot, one.after) for one in done.switch.moves] == [("plant-move/asr", 2)]
    assert moving.workspace.settings.backbone_of(ASV) != moving.new
    assert switch_back(moving.workspace, SITE).switch


def test_the_way_back_leaves_what_changed_since_and_what_is_left_out(moving: Plant) -> None:
    workspace, uri, other = moving.workspace, moving.uri, Slot("plant-b", "asr")
    former = workspace.settings.backbone_of(ASV)
    forbidden = BackboneRecord(moving.new, "CC-BY-NC-4.0", "forbidden", "hub", "speech (1 h)")
    (found,) = migrate_sites(workspace, moving.new, [SITE], log=lambda _: None)
    strict = replace(workspace.settings, backbones=BackbonePolicy(records={found.fingerprint: forbidden}))
    with pytest.raises(GateRefused, match=r"nothing is trained: .* forbids commercial use.*--despite-licence"):
        migrate_sites(replace(workspace, settings=strict), moving.new, [SITE], log=lambda _: None)
    with pytest.raises(UsageError, match="plant-b/asr is no slot of plant-move with a champion"):
        switch_site(workspace, moving.new, SITE, [other], again=True)
    assert moving.versions() == {"asr": 1, "asv": 1}
    assert switch_site(workspace, moving.new, SITE, again=True).switch
    with pytest.raises(GateRefused, match="plant-b/asr is not among the slots of plant-move that would change"):
        switch_back(workspace, SITE, without=[other])
    with pytest.raises(GateRefused, match="plant-b/asr is not among the slots of plant-move that would change"):
        switch_site_to(uri, SITE, moving.new, found.fingerprint, {ASR: 2}, without=[other], again=True)
    server_api.change_champion(uri, "retire", ASR, reason="the line is closed")
    with pytest.raises(GateRefused, match="nothing of plant-move goes back: plant-move/asr was retired after"):
        switch_back(workspace, SITE, without=[ASV])
    with pytest.raises(GateRefused, match="--without names every slot of its newest switch"):
        switch_back(workspace, SITE, without=[ASR, ASV])
    back = switch_back(workspace, SITE)
    assert back.switch
    assert (back.switch.stayed, [one.slot for one in back.switch.moves]) == (
        ("plant-move/asr was retired after the switch",),
        ["plant-move/asv"],
    )
    assert moving.versions() == {"asv": 1}
    assert [moving.workspace.settings.backbone_of(slot) for slot in SLOTS] == [moving.new, former]
    # one slot is back already, and the other one was retired: nothing is left to do, and nothing to refuse
    server_api.change_champion(uri, "rollback", ASR, version=1)
    assert switch_site(moving.workspace, moving.new, SITE, again=True).switch
    server_api.change_champion(uri, "rollback", ASR)
    server_api.change_champion(uri, "retire", ASV, reason="the line is closed")
    assert switch_back(moving.workspace, SITE).switch is None
    assert moving.versions() == {"asr": 1}
