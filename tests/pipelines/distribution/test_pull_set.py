"""A box pulls from a medium: the set, what did not change, what comes back, and what it was told about its backbone."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from pipelines.distribution.export_set import export_set
from pipelines.distribution.pull_set import roll_back_set
from pipelines.distribution.sources import FolderSource, first_root_by_digest
from pipelines.errors import DeliveryRefused
from pipelines.local.box_home import active_set, last_pull, previous_set
from tests.support.delivery_by_hand import NOW, Depot


def _versions(box: Path) -> dict[str, int]:
    found = active_set(box)
    assert found is not None
    assert set(found.verify()) == {adapter.slot for adapter in found.site_set.adapters}
    return {adapter.slot: adapter.version for adapter in found.site_set.adapters}


def test_the_first_pull_activates_the_set_and_the_second_changes_nothing(
    depot: Depot, box: Path, tmp_path: Path
) -> None:
    medium = depot.medium(tmp_path / "medium")
    assert depot.pull(box, medium).changed
    assert _versions(box) == {"plant-a/asr": 1}
    assert not depot.pull(box, medium, NOW + timedelta(days=2)).changed
    assert (record := last_pull(box)) is not None
    assert record.outcome == "unchanged"


def test_a_new_champion_replaces_the_set_and_the_one_before_stays(depot: Depot, box: Path, tmp_path: Path) -> None:
    depot.pull(box, depot.medium(tmp_path / "medium"))
    later = NOW + timedelta(hours=1)
    depot.publish(later, plant_a=[depot.ship("plant-a/asr", 2, "second"), depot.ship("plant-a/ser", 1, "emotion")])
    result = depot.pull(box, depot.medium(tmp_path / "medium"), later)
    assert [one.version for one in result.before] == [1]
    assert _versions(box) == {"plant-a/asr": 2, "plant-a/ser": 1}
    before = previous_set(box)
    assert before is not None
    before.verify()
    assert len(list((box / "bundles").iterdir())) == 3
    roll_back_set(box)
    assert _versions(box) == {"plant-a/asr": 1}
    depot.pull(box, depot.medium(tmp_path / "medium"), later)
    assert _versions(box) == {"plant-a/asr": 2, "plant-a/ser": 1}


def test_a_bundle_that_no_set_names_any_more_is_removed(depot: Depot, box: Path, tmp_path: Path) -> None:
    depot.pull(box, depot.medium(tmp_path / "medium"))
    for hour in (1, 2):
        later = NOW + timedelta(hours=hour)
        depot.publish(later, plant_a=[depot.ship("plant-a/asr", 1 + hour, f"number {hour}")])
        depot.pull(box, depot.medium(tmp_path / "medium"), later)
    assert _versions(box) == {"plant-a/asr": 3}
    assert len(list((box / "bundles").iterdir())) == 2
    assert len(list((box / "statements").iterdir())) == 6
    assert list((box / "downloads").iterdir()) == []


def test_a_bundle_that_was_lost_is_fetched_again(depot: Depot, box: Path, tmp_path: Path) -> None:
    medium = depot.medium(tmp_path / "medium")
    depot.pull(box, medium)
    [bundle] = (box / "bundles").iterdir()
    bundle.rename(tmp_path / "lost")
    assert not depot.pull(box, medium).changed
    assert _versions(box) == {"plant-a/asr": 1}


def test_a_box_with_another_backbone_keeps_its_set(depot: Depot, box: Path, tmp_path: Path) -> None:
    medium = depot.medium(tmp_path / "medium")
    with pytest.raises(DeliveryRefused, match=r"belongs to the backbone tiny .* this box has sha256:0"):
        depot.pull(box, medium, fingerprint="sha256:" + "0" * 64)
    assert active_set(box) is None
    assert not (box / "bundles").exists()


def test_a_champion_by_override_is_refused_unless_the_box_accepts_it(depot: Depot, box: Path, tmp_path: Path) -> None:
    later = NOW + timedelta(hours=1)
    depot.pull(box, depot.medium(tmp_path / "medium"))
    depot.publish(later, plant_a=[depot.ship("plant-a/asr", 2, "urgent", event="overridden")])
    medium = depot.medium(tmp_path / "medium")
    with pytest.raises(DeliveryRefused, match="champion by override"):
        depot.pull(box, medium, later)
    assert _versions(box) == {"plant-a/asr": 1}
    depot.pull(box, medium, later, accept_override=True)
    assert _versions(box) == {"plant-a/asr": 2}


def test_the_first_pull_needs_a_root_from_a_person(depot: Depot, box: Path, tmp_path: Path) -> None:
    with pytest.raises(DeliveryRefused, match="knows no root yet"):
        depot.pull(box, depot.medium(tmp_path / "medium"), first_root=None)


def test_a_source_without_a_root_is_named(tmp_path: Path) -> None:
    (tmp_path / "medium").mkdir()
    source = FolderSource(tmp_path / "medium")
    sentence = "delivers nothing yet: no root was published there; see: elp root --help"
    with pytest.raises(DeliveryRefused, match=sentence):
        first_root_by_digest("sha256:" + "a" * 64, source)
    with pytest.raises(DeliveryRefused, match=sentence):
        export_set("plant-a", source, tmp_path / "stick")
