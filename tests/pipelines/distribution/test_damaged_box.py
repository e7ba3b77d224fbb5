"""Files of a box that are read back: a damaged one is one sentence with the next step; a pull repairs what it may."""

from __future__ import annotations

import errno
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from elp_core.bundle import BundleManifest, verify_bundle
from elp_core.errors import ElpError
from pipelines.cli.main import run
from pipelines.distribution.report_back import signed_report
from pipelines.errors import DeliveryRefused, StateDamaged
from pipelines.local.box_home import BoxSettings, active_set, find_box, last_pull, write_box
from pipelines.local.verified_metadata import metadata_until, seen_timestamp
from pipelines.registry.adapter_version import AdapterVersion, Tags
from pipelines.registry.delivery.delivery_keys import new_private_key
from pipelines.registry.slot import Slot
from pipelines.serving.box_champions import BoxChampions
from pipelines.serving.voices.box_templates import box_templates
from tests.support.delivery_by_hand import NOW, Depot
from tests.support.voices import sealed_template

LATER = NOW + timedelta(hours=1)
# what a full disk, a hand or a fault of the disk leaves
FORMS: dict[str, Callable[[bytes], bytes]] = {
    "cut": lambda content: content[: len(content) // 2],
    "empty": lambda content: b"",
    "list": lambda content: b"[1, 2]",
    "other keys": lambda content: b'{"site": 3}',
    "deep": lambda content: b"[" * 100_000,
    "binary": lambda content: b"\xff\xfe\x00" * 20,
}
READERS: dict[str, tuple[Callable[[Path], Any], str]] = {
    "current.json": (active_set, "repair it with: elp pull"),
    "previous.json": (lambda box: run(["box", "rollback", "--box", str(box)]), ""),
    "box.json": (find_box, "name all again: elp pull SITE --from"),
    "seen.json": (seen_timestamp, "repair it with: elp pull"),
    "tuf/snapshot.json": (metadata_until, "repair it with: elp pull"),
    "key.pem": (signed_report, "delete it, revoke the box on the control host"),
}


@pytest.fixture
def used(depot: Depot, box: Path, tmp_path: Path) -> Path:
    """A box with a name that has pulled twice."""
    depot.pull(box, depot.medium(tmp_path / "medium"))
    depot.publish(LATER, plant_a=[depot.ship("plant-a/asr", 2, "second")])
    depot.pull(box, depot.medium(tmp_path / "medium"), LATER)
    new_private_key(box / "key.pem")
    write_box(box, BoxSettings("plant-a", str(tmp_path / "medium"), name="gate-1"))
    return box


@pytest.mark.parametrize("name", ["box.json", "key.pem"])
def test_a_damaged_file_is_reported_before_the_token_is_used_up(
    used: Path, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (used / name).write_bytes(b"")
    # a server that was asked would be named: nothing listens there
    assert run(["box", "enrol", "http://127.0.0.1:9", "--token", "once", "--box", str(used)]) == 1
    said = capsys.readouterr().err
    assert str(used / name) in said
    assert "delete it" in said
    assert "127.0.0.1" not in said


@pytest.mark.parametrize("name", READERS)
def test_each_damaged_form_is_one_sentence_with_the_next_step(
    used: Path, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    path, (read, step) = used / name, READERS[name]
    sound = path.read_bytes()
    for form, damage in FORMS.items():
        path.write_bytes(damage(sound))
        if not step:
            assert read(used) == 1
            said = capsys.readouterr().err
            step_here = f"elp pull --box {used}"
        else:
            with pytest.raises(ElpError, match=r".+") as raised:
                read(used)
            said, step_here = str(raised.value), step
        assert str(path) in said, form
        assert step_here in said, form
        assert "\n  -" not in said, form
        assert ("it is empty" in said) == (form == "empty" and name != "key.pem"), said


def test_a_pull_repairs_what_the_signed_metadata_have(used: Path, depot: Depot, tmp_path: Path) -> None:
    medium, sound = depot.medium(tmp_path / "medium"), (used / "current.json").read_bytes()
    [bundle] = [path for path in (used / "bundles").iterdir() if path.name in sound.decode()]
    for form, damage in FORMS.items():
        for name in ("current.json", "previous.json", "seen.json", "pulled.json", "tuf/timestamp.json"):
            if (used / name).exists():
                # not both at once: the one is repaired by the other
                other = "tuf/snapshot.json" if name == "tuf/timestamp.json" and form == "cut" else name
                (used / other).write_bytes(damage((used / other).read_bytes()))
                record = last_pull(used)
                assert (record.outcome == "not known") == (name == "pulled.json"), record
                said: list[str] = []
                assert depot.pull(used, medium, LATER, log=said.append).changed == (name == "current.json"), (
                    form,
                    name,
                )
                assert (used / "current.json").read_bytes() == sound
                assert bool(said) == (name in ("current.json", "previous.json")), said
    (bundle / "adapter_model.safetensors").write_bytes(b"flipped")
    depot.pull(used, medium, LATER)
    assert active_set(used).verify()
    assert BoxChampions(used, lambda: LATER).updates_stopped() == ""


def test_what_the_disk_cannot_read_is_fetched_again_or_not_known(
    used: Path, depot: Depot, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    faults = [OSError(errno.EIO, "Input/output error")]

    def verify(folder: Path) -> BundleManifest:
        if faults:
            raise faults.pop()
        return verify_bundle(folder)

    monkeypatch.setattr("pipelines.distribution.fetched_bundle.verify_bundle", verify)
    said: list[str] = []
    depot.pull(used, depot.medium(tmp_path / "medium"), LATER, log=said.append)
    assert (faults, said) == ([], ["fetching plant-a/asr v2"])
    (used / "pulled.json").unlink()
    (used / "pulled.json").mkdir()
    record = last_pull(used)
    assert record
    assert record.outcome == "not known"


def test_a_voice_names_the_damaged_set_and_no_missing_adapter(used: Path) -> None:
    tags = {Tags.BUNDLE: "sha256:" + "1" * 64, Tags.FINGERPRINT: "sha256:" + "2" * 64}
    given = sealed_template(AdapterVersion(Slot("plant-a", "asv"), 1, "run", "models:/m", "2026-01-01", tags))
    (used / "current.json").write_bytes(b"{")
    with pytest.raises(StateDamaged, match=r"current\.json is damaged .* repair it with: elp pull"):
        box_templates(used).add(given)


def test_a_damaged_root_takes_one_from_a_person_and_a_lost_moment_a_decision(
    used: Path, depot: Depot, tmp_path: Path
) -> None:
    medium, root = depot.medium(tmp_path / "medium"), used / "trust" / "root.json"
    sound = root.read_bytes()
    for damage in (*FORMS.values(), lambda content: content.replace(b'"version"', b'"versiom"')):
        root.write_bytes(damage(sound))
        with pytest.raises(StateDamaged, match=r"root\.json is damaged .* from a person .* elp pull --root FILE"):
            depot.pull(used, medium, LATER, first_root=None)
        assert not depot.pull(used, medium, LATER).changed
        assert root.read_bytes() == sound
    # an older medium does not get through by damage alone
    (used / "seen.json").write_bytes(b"")
    (used / "tuf" / "timestamp.json").unlink()
    with pytest.raises(StateDamaged, match=r"timestamp\.json, which repairs it, .* takes any signed set") as raised:
        depot.pull(used, medium, LATER)
    assert "repair it with" not in str(raised.value)


def test_a_damaged_set_opens_no_way_for_another_root_or_an_older_set(used: Path, depot: Depot, tmp_path: Path) -> None:
    other = Depot.make(tmp_path / "other")
    other.publish(LATER, plant_a=[other.ship("plant-a/asr", 9, "elsewhere")])
    for name in ("current.json", "seen.json"):
        (used / name).write_bytes(b"{")
        with pytest.raises(DeliveryRefused, match=r".+"):
            depot.pull(used, other.medium(tmp_path / "elsewhere"), LATER, first_root=other.first_root)
    # the set before serves until then
    assert run(["box", "rollback", "--box", str(used)]) == 0
    assert BoxChampions(used).fetch(Slot("plant-a", "asr"), "champion").version == 1
