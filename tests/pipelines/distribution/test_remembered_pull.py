"""What a pull names is remembered if it succeeds; one that fails leaves the box as it was, and says why."""

from __future__ import annotations

import multiprocessing
import os
import shutil
import signal
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from elp_core.errors import BackboneError
from elp_core.fail_points import VARIABLE
from pipelines.cli.main import run
from pipelines.distribution.pull_box import pull_box
from pipelines.errors import DeliveryRefused, DiskFull, ServiceError, UsageError
from pipelines.local.box_home import active_set, box_workspace, last_pull, read_box
from pipelines.local.workspace import BOX_SETTINGS
from pipelines.registry.signing.canonical_json import sha256
from pipelines.registry.slot import Slot
from pipelines.serving.box_champions import BoxChampions
from tests.support.delivery_by_hand import NOW, Depot, ship_fingerprint

SLOT = Slot("plant-a", "asr")
WEIGHTS = {"org/old": ship_fingerprint(), "org/new": "sha256:" + "1" * 64}


@pytest.fixture(autouse=True)
def _backbones(monkeypatch: pytest.MonkeyPatch) -> None:
    def fingerprint(name: str) -> str:
        if name not in WEIGHTS:
            raise BackboneError(f"there is no backbone {name}")
        return WEIGHTS[name]

    monkeypatch.setattr("pipelines.distribution.pull_box._fingerprint", fingerprint)


@pytest.fixture
def pull(depot: Depot, box: Path, tmp_path: Path) -> Callable[..., Any]:
    """Pull from the medium with what was published last, by the code of `elp pull`."""

    def pulled(site: str = "", **named: Any) -> Any:
        depot.medium(tmp_path / "medium" / "plant-a")
        return pull_box(box, site, environment={}, now=NOW + timedelta(days=1), **named)

    return pulled


@pytest.fixture
def first(depot: Depot, tmp_path: Path) -> dict[str, Any]:
    """What the first pull names."""
    root = tmp_path / "1.root.json"
    root.write_bytes(depot.first_root)
    return {"source": str(tmp_path / "medium"), "root": str(root), "backbones": ["org/old"]}


def test_a_first_pull_that_fails_leaves_no_box(
    pull: Any, first: dict[str, Any], box: Path, tmp_path: Path, depot: Depot
) -> None:
    shutil.copytree(depot.medium(tmp_path / "medium" / "plant-a").folder, tmp_path / "medium" / "plnt-a")
    with pytest.raises(DeliveryRefused, match=r"do not name plnt-a/set\.json"):
        pull("plnt-a", **first)
    # the root of another server, with its metadata: the right one replaces it
    other = Depot.make(tmp_path / "other")
    other.publish(plant_a=[other.ship("plant-a/asr", 7, "elsewhere")])
    other.medium(tmp_path / "elsewhere" / "plant-a")
    (tmp_path / "other.json").write_bytes(other.first_root)
    with pytest.raises(BackboneError, match="no backbone /no/such"):
        pull(
            "plant-a",
            source=str(tmp_path / "elsewhere"),
            root=str(tmp_path / "other.json"),
            backbones=["/no/such"],
        )
    assert not (box / BOX_SETTINGS).exists()
    with pytest.raises(UsageError, match="no box yet; name its site: elp pull SITE --from"):
        pull()
    assert pull("plant-a", **first).changed
    assert (read_box(box).site, read_box(box).backbone) == ("plant-a", "org/old")


def test_a_pull_that_fails_changes_no_setting_and_makes_no_medium(
    pull: Any, first: dict[str, Any], box: Path, tmp_path: Path
) -> None:
    pull("plant-a", **first)
    assert run(["box", "key", "gate-1", "plant-a", "--to", str(tmp_path / "medium"), "--box", str(box)]) == 0
    before = (box / BOX_SETTINGS).read_bytes()
    # the set is unchanged, and these are wrong all the same
    with pytest.raises(BackboneError, match="no backbone /no/such"):
        pull(backbones=["/no/such"])
    with pytest.raises(DeliveryRefused, match="repeat the pull with --backbone ID"):
        pull(backbones=["org/new"])
    with pytest.raises(ServiceError, match="is the medium there"):
        pull(source=str(tmp_path / "gone"))
    with pytest.raises(UsageError, match="is a box of the site plant-a"):
        pull("plnt-a")
    assert (box / BOX_SETTINGS).read_bytes() == before
    assert not (tmp_path / "gone").exists()
    assert not pull().changed
    assert (tmp_path / "medium" / "plant-a" / "reports" / "gate-1.json").is_file()


def test_killed_before_the_new_set_is_active_the_former_one_keeps_its_backbone(
    pull: Any, first: dict[str, Any], box: Path, depot: Depot
) -> None:
    pull("plant-a", **first)
    depot.publish(NOW + timedelta(hours=1), plant_a=[])

    def killed() -> None:
        os.environ[VARIABLE] = "after file box.json"
        pull(backbones=["org/new"])

    process = multiprocessing.get_context("fork").Process(target=killed)
    process.start()
    process.join(60)
    assert process.exitcode == -signal.SIGKILL
    assert [one.slot for one in active_set(box).site_set.adapters] == [str(SLOT)]
    assert read_box(box).backbone == "org/new"
    assert box_workspace(box).settings.backbone_of(SLOT) == "org/old"
    assert pull().changed
    # the set before can be put in force again
    assert run(["box", "rollback", "--box", str(box)]) == 0
    assert box_workspace(box).settings.backbone_of(SLOT) == "org/old"


def test_an_override_is_accepted_once(pull: Any, first: dict[str, Any], box: Path, depot: Depot) -> None:
    pull("plant-a", **first)
    urgent = depot.ship("plant-a/asr", 2, "urgent", event="overridden")
    depot.publish(NOW + timedelta(hours=2), plant_a=[urgent])
    with pytest.raises(DeliveryRefused, match="repeat the pull with --accept-override"):
        pull()
    assert pull(accept_override=True).changed
    assert not pull().changed
    depot.publish(NOW + timedelta(hours=3), plant_a=[urgent, depot.ship("plant-a/ser", 1, "emotion")])
    assert pull().changed
    # what was accepted is this override, and no other one
    depot.publish(NOW + timedelta(hours=4), plant_a=[depot.ship("plant-a/asr", 3, "again", event="overridden")])
    with pytest.raises(DeliveryRefused, match="plant-a/asr v3 is champion by override"):
        pull()


def test_a_full_disk_is_noted(
    pull: Any, first: dict[str, Any], box: Path, depot: Depot, monkeypatch: pytest.MonkeyPatch
) -> None:
    pull("plant-a", **first)
    champion = depot.ship("plant-a/asr", 2, "second")
    depot.publish(NOW + timedelta(hours=5), plant_a=[champion])
    targets = depot.sets["plant-a"][0].contents
    full = box / "downloads" / f"{sha256(targets['adapter_model.safetensors'])}.part"
    full.symlink_to("/dev/full")
    with pytest.raises(OSError, match="No space left"):
        pull()
    record = last_pull(box)
    assert record is not None
    assert (record.outcome, "free some space" in record.detail) == ("disk full", True)
    assert "ended with: disk full: " in BoxChampions(box).updates_stopped()
    full.unlink()
    # known before the first byte is fetched
    monkeypatch.setattr("shutil.disk_usage", lambda path: shutil._ntuple_diskusage(10**9, 10**9, 2**20))
    with pytest.raises(DiskFull, match=r"fetching 1 adapter needs .* bytes, and 1,048,576 stay free"):
        pull()
    assert last_pull(box) != record
    monkeypatch.undo()
