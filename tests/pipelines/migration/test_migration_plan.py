"""The plan of a change of the backbone: estimates, obstacles and what is done already."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from pipelines.errors import UsageError
from pipelines.local import git
from pipelines.local.settings import Settings
from pipelines.local.workspace import Workspace
from pipelines.migration import migration_plan
from pipelines.migration.migration_plan import MigrationPlan, plan_migration, plan_warnings
from pipelines.registry.backbone_facts import BackboneFacts, ChampionOnBackbone, MeasuredTraining
from pipelines.registry.backbone_licence import BackbonePolicy, BackboneRecord
from pipelines.registry.holds import Hold

OLD, NEW = "sha256:" + "a" * 64, "sha256:" + "b" * 64
CHAMPION = ChampionOnBackbone(
    slot="plant-a/asr",
    version=3,
    bundle="sha256:" + "1" * 64,
    backbone="elp:tiny",
    fingerprint=OLD,
    dataset="data/plant-a/asr/v1",
    dvc_hash="md5:" + "c" * 32 + ".dir",
    run="r1",
    bytes=1000,
    training=MeasuredTraining(seconds=50.0, epochs=5.0, audio=100.0),
)


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    """A workspace with the tags of one slot, whose data is in the remote."""
    git.git(tmp_path, "init", "--quiet")
    git.git(tmp_path, "commit", "--quiet", "--allow-empty", "--message", "first")
    for tag in ("data/plant-a/asr/v1", "golden/plant-a/asr/v1"):
        git.tag(tmp_path, tag, tag)
    listing = tmp_path / ".elp/remote/files/md5/cc" / ("c" * 30 + ".dir")
    listing.parent.mkdir(parents=True)
    listing.write_text(json.dumps([{"md5": "d" * 32, "relpath": "train-0.parquet"}]))
    return Workspace(tmp_path, Settings())


@pytest.fixture
def plan(workspace: Workspace, monkeypatch: pytest.MonkeyPatch):
    """The plan for these facts, which arrive as the server sends them."""

    def of(*champions: ChampionOnBackbone, holds: tuple[Hold, ...] = (), sites: tuple[str, ...] = (), **known: object):
        sent = json.loads(json.dumps(asdict(BackboneFacts(9, champions, **known))))
        monkeypatch.setattr(migration_plan, "mlflow_uri", lambda _: "http://server")
        monkeypatch.setattr(migration_plan, "backbone_facts", lambda *_: BackboneFacts.from_json(sent))
        monkeypatch.setattr(migration_plan, "read_holds", lambda _: list(holds))
        return plan_migration(workspace, "org/new", sites)

    return of


def test_a_training_costs_what_others_on_the_new_backbone_took(plan) -> None:
    found: MigrationPlan = plan(CHAMPION, rates={"asr": 0.3}, boxes={"plant-a": ("box-1",), "plant-z": ("box-9",)})
    (one,) = found.slots
    assert (one.measured, one.seconds, one.obstacles, found.seconds, found.unknown) == (50.0, 150.0, (), 150.0, 0)
    assert found.boxes == {"plant-a": ("box-1",)}


def test_a_task_without_a_training_on_the_new_backbone_has_no_estimate(plan) -> None:
    found = plan(CHAMPION, rates={"ser": 0.3})
    assert (found.slots[0].seconds, found.unknown) == (None, 1)


@pytest.mark.parametrize("known", [{"fingerprints": (NEW,)}, {}])
def test_a_champion_on_the_new_backbone_is_done(plan, known: dict[str, tuple[str, ...]]) -> None:
    name = "elsewhere" if known else "org/new"
    found = plan(replace(CHAMPION, backbone=name, fingerprint=NEW), **known)
    assert (found.slots, found.done) == ((), ("plant-a/asr",))


@pytest.mark.parametrize(
    ("champion", "deleted", "why"),
    [
        (replace(CHAMPION, dataset="data/plant-a/asr/v7"), {}, "the tag data/plant-a/asr/v7 is not in this workspace"),
        (replace(CHAMPION, slot="plant-b/asr"), {}, "no golden set"),
        (CHAMPION, {"c" * 32 + ".dir": 12}, "was deleted (ledger entry 12)"),
        (CHAMPION, {"d" * 32: 14}, "files of data/plant-a/asr/v1 were deleted (ledger entry 14)"),
        (replace(CHAMPION, dvc_hash="md5:" + "e" * 32 + ".dir"), {}, "neither here nor in the remote"),
    ],
)
def test_what_cannot_be_trained_is_named_with_its_reason(plan, champion, deleted: dict[str, int], why: str) -> None:
    found = plan(champion, deleted=deleted, rates={"asr": 0.3})
    assert why in found.slots[0].obstacles[0]
    assert found.seconds == 0


def test_a_name_that_nothing_knows_and_a_forbidden_licence_are_said_first(
    plan, workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    unknown, licence = plan(CHAMPION).warnings
    assert "org/new is unknown here" in unknown
    assert "record it: elp backbone add org/new" in licence
    # a version is on it
    assert len(plan(CHAMPION, fingerprints=(NEW,)).warnings) == 1
    record = BackboneRecord("org/new", "CC-BY-NC-4.0", "forbidden", "hub", "speech (1 h)")
    recorded = replace(workspace.settings, backbones=BackbonePolicy(records={NEW: record}))
    (warning,) = plan_warnings(replace(workspace, settings=recorded), "org/new", ())
    assert "its backbone org/new is under CC-BY-NC-4.0, which forbids commercial use" in warning
    (warning,) = plan_warnings(workspace, "facebook/mms-300m", ())
    assert "was published under CC-BY-NC-4.0" in warning


def test_teachers_and_holds_are_notes(plan) -> None:
    hold = Hold(7, "plant-a/asr@v3", "2027-01-31T00:00:00+00:00", "audit", "ann", "2026-01-01T00:00:00+00:00")
    found = plan(replace(CHAMPION, teachers=("plant-b/asr v2",)), holds=(hold,))
    assert "labels by plant-b/asr v2" in found.slots[0].notes[0]
    assert "hold 7 keeps plant-a/asr@v3 until 2027-01-31" in found.slots[0].notes[1]


def test_a_site_without_a_champion_is_refused(plan) -> None:
    with pytest.raises(UsageError, match="'plant-x' has no champion"):
        plan(CHAMPION, sites=("plant-x",))
