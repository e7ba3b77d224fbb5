"""What an attacker between the operator and a box can do: hold back, mix, alter, cut, lengthen. Nothing gets through.

Each attack is made on a medium, whose paths are those of the server. After it, the box has the set that it had before.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from pipelines.distribution.sources import ByteStream, FolderSource
from pipelines.errors import DeliveryRefused, ServiceError
from pipelines.local.box_home import active_set
from pipelines.registry.delivery.delivery_keys import new_private_key, signer_of
from pipelines.registry.delivery.root_ceremony import sign_root
from pipelines.registry.signing.key_folder import ensure_keys, revoke_key
from tests.support.delivery_by_hand import NOW, OTHER, SITE, Depot, Shipped, ship

LATER = NOW + timedelta(hours=1)


@dataclass
class Attacked:
    """A box that runs version 1, and a medium with version 2 for the attacker to change."""

    depot: Depot
    box: Path
    medium: FolderSource
    old: FolderSource
    """The medium with version 1."""

    @property
    def metadata(self) -> Path:
        return self.medium.folder / "metadata"

    def newest(self, role: str) -> Path:
        return max(self.metadata.glob(f"*.{role}.json"), key=lambda path: int(path.name.partition(".")[0]))

    def target(self, name: str) -> Path:
        [found] = [path for path in (self.medium.folder / "targets").rglob(f"*.{name}") if not self._in_old(path)]
        return found

    def _in_old(self, path: Path) -> bool:
        return (self.old.folder / path.relative_to(self.medium.folder)).exists()

    def refused(self, reason: str, at: datetime = LATER) -> None:
        """The pull is refused for this reason, and the box runs what it ran."""
        with pytest.raises(DeliveryRefused, match=r".+") as refusal:
            self.depot.pull(self.box, self.medium, at)
        assert refusal.value.reason == reason, refusal.value
        self.unchanged()

    def unchanged(self) -> None:
        present = active_set(self.box)
        assert present is not None
        present.verify()
        assert [one.version for one in present.site_set.adapters] == [1]

    def sign(self, path: Path, key: Path, change: Callable[[dict[str, object]], None]) -> None:
        """Change metadata and sign them by a key, as somebody who has it can."""
        from tuf.api.metadata import Metadata

        values = json.loads(path.read_bytes())
        change(values["signed"])
        metadata = Metadata.from_dict(values)
        metadata.sign(signer_of(key))
        path.write_bytes(metadata.to_bytes())


@pytest.fixture
def attacked(depot: Depot, box: Path, tmp_path: Path) -> Attacked:
    old = depot.medium(tmp_path / "old")
    depot.pull(box, old)
    depot.publish(LATER, plant_a=[depot.ship("plant-a/asr", 2, "second")])
    return Attacked(depot, box, depot.medium(tmp_path / "new"), old)


def test_without_an_attack_the_second_set_is_taken(attacked: Attacked) -> None:
    assert attacked.depot.pull(attacked.box, attacked.medium, LATER).changed


def test_a_rollback_to_the_medium_before_is_refused(attacked: Attacked) -> None:
    attacked.depot.pull(attacked.box, attacked.medium, LATER)
    with pytest.raises(DeliveryRefused, match="older metadata") as refusal:
        attacked.depot.pull(attacked.box, attacked.old, LATER)
    assert refusal.value.reason == "rollback"
    present = active_set(attacked.box)
    assert present is not None
    assert present.site_set.adapters[0].version == 2


def test_a_rollback_is_refused_even_after_the_metadata_of_the_box_were_lost(attacked: Attacked) -> None:
    attacked.depot.pull(attacked.box, attacked.medium, LATER)
    shutil.rmtree(attacked.box / "tuf")
    with pytest.raises(DeliveryRefused, match="older than what is here"):
        attacked.depot.pull(attacked.box, attacked.old, LATER)


def test_a_freeze_is_noticed_when_the_timestamp_is_too_old(attacked: Attacked) -> None:
    attacked.depot.pull(attacked.box, attacked.old, NOW + timedelta(days=179))
    attacked.medium = attacked.old
    attacked.refused("expired", NOW + timedelta(days=181))


def test_a_server_cannot_be_frozen_with_a_timestamp_for_media(attacked: Attacked) -> None:
    class Online(FolderSource):
        @property
        def fresh(self) -> timedelta:
            return timedelta(days=30)

    attacked.medium = Online(attacked.medium.folder)
    attacked.refused("expired", LATER + timedelta(days=31))


def test_a_clock_without_a_battery_cannot_make_old_metadata_young(attacked: Attacked) -> None:
    much_later = NOW + timedelta(days=400)
    attacked.depot.publish(much_later, plant_a=attacked.depot.sets[SITE])
    newest = attacked.depot.medium(attacked.medium.folder.parent / "much later")
    attacked.depot.pull(attacked.box, newest, much_later)
    # the clock is back in 1970: the box still knows that 400 days have passed
    with pytest.raises(DeliveryRefused, match=r".+") as refusal:
        attacked.depot.pull(attacked.box, attacked.medium, datetime.fromtimestamp(0, NOW.tzinfo))
    assert refusal.value.reason in ("expired", "rollback")
    assert not attacked.depot.pull(attacked.box, newest, datetime.fromtimestamp(0, NOW.tzinfo)).changed


def test_mixing_an_old_set_with_the_new_snapshot_is_refused(attacked: Attacked) -> None:
    new = attacked.newest(f"site-{SITE}")
    old = next(attacked.old.folder.glob(f"metadata/*.site-{SITE}.json"))
    shutil.copy(old, new)
    attacked.refused("rollback")


def test_mixing_an_old_snapshot_with_the_new_timestamp_is_refused(attacked: Attacked) -> None:
    new = attacked.newest("snapshot")
    shutil.copy(next(attacked.old.folder.glob("metadata/*.snapshot.json")), new)
    attacked.refused("rollback")


def test_the_set_of_another_site_is_refused(attacked: Attacked) -> None:
    other = next(attacked.metadata.glob(f"*.site-{OTHER}.json"))
    shutil.copy(other, attacked.newest(f"site-{SITE}"))
    attacked.refused("signature")


def test_the_key_of_another_site_signs_nothing_for_this_one(attacked: Attacked) -> None:
    key = attacked.depot.folder / "keys" / "delivery" / f"site-{OTHER}.pem"
    attacked.sign(attacked.newest(f"site-{SITE}"), key, lambda signed: None)
    attacked.refused("signature")


def test_a_set_that_is_about_another_site_is_refused(attacked: Attacked) -> None:
    # by somebody with the keys of this site's role
    attacked.depot.sets[SITE] = [attacked.depot.ship("plant-b/asr", 9, "theirs")]
    attacked.depot.publish(LATER + timedelta(minutes=1))
    attacked.medium = attacked.depot.medium(attacked.medium.folder)
    attacked.refused("other site", LATER + timedelta(minutes=1))


@pytest.mark.parametrize("role", ["root", "targets", "snapshot", f"site-{SITE}"])
def test_a_flipped_byte_in_the_metadata_is_refused(attacked: Attacked, role: str) -> None:
    path = attacked.newest(role)
    if role == "root":
        path = attacked.metadata / "2.root.json"
        shutil.copy(attacked.metadata / "1.root.json", path)
    content = bytearray(path.read_bytes())
    place = content.index(b'"expires":"') + len(b'"expires":"')
    content[place + 3] ^= 1
    path.write_bytes(bytes(content))
    if role == "targets":
        # the box has that version already, and reads its own copy
        shutil.rmtree(attacked.box / "tuf")
    with pytest.raises(DeliveryRefused, match=r".+"):
        attacked.depot.pull(attacked.box, attacked.medium, LATER)
    attacked.unchanged()


@pytest.mark.parametrize("name", ["adapter_model.safetensors", "manifest.json", "set.json", "lineage.dsse.json"])
@pytest.mark.parametrize("how", ["flipped", "cut", "longer", "missing", "empty"])
def test_an_altered_file_is_refused(attacked: Attacked, name: str, how: str) -> None:
    path = attacked.target(name)
    content = path.read_bytes()
    middle = len(content) // 2
    flipped = content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :]
    changed = {"flipped": flipped, "cut": content[:middle], "longer": content + b"x", "empty": b""}
    if how == "missing":
        path.unlink()
    else:
        path.write_bytes(changed[how])
    with pytest.raises((DeliveryRefused, ServiceError), match=r".+"):
        attacked.depot.pull(attacked.box, attacked.medium, LATER)
    attacked.unchanged()
    path.write_bytes(content)
    assert attacked.depot.pull(attacked.box, attacked.medium, LATER).changed


@pytest.mark.parametrize("where", ["metadata/timestamp.json", "metadata/2.root.json", "set.json", "safetensors"])
def test_data_without_end_is_cut_off(attacked: Attacked, where: str) -> None:
    sent = 0

    class Endless(FolderSource):
        def read(self, path: str, start: int = 0) -> ByteStream:
            return ByteStream(start, self._zeros()) if path.endswith(where) else super().read(path, start)

        @staticmethod
        def _zeros() -> Iterator[bytes]:
            nonlocal sent
            while True:
                sent += 100_000
                yield b"0" * 100_000

    attacked.medium = Endless(attacked.medium.folder)
    attacked.refused("too long")
    assert sent < 1_000_000


def test_a_root_that_too_few_signed_is_refused(attacked: Attacked) -> None:
    depot = attacked.depot
    depot.root([], 0, depot.signers[:1])
    attacked.medium = depot.medium(attacked.medium.folder)
    attacked.refused("signature")
    # the second signature makes it count
    sign_root(depot.metadata, depot.signers[2])
    assert depot.pull(attacked.box, depot.medium(attacked.medium.folder), LATER).changed


def test_signers_are_replaced_by_the_old_ones_and_not_by_themselves(attacked: Attacked, tmp_path: Path) -> None:
    depot, thieves = attacked.depot, [tmp_path / "thief-1.pem", tmp_path / "thief-2.pem"]
    pems = [new_private_key(path) for path in thieves]
    depot.root(pems, 2, thieves)
    attacked.medium = depot.medium(attacked.medium.folder)
    attacked.refused("signature")
    for key in depot.signers[:2]:
        sign_root(depot.metadata, key)
    # the snapshot has to name the list of sites that the new signers signed
    after = LATER + timedelta(minutes=1)
    depot.publish(after)
    assert depot.pull(attacked.box, depot.medium(attacked.medium.folder), after).changed


def test_a_rotated_server_key_counts_and_the_old_one_no_more(attacked: Attacked) -> None:
    depot, keys = attacked.depot, attacked.depot.folder / "keys" / "delivery"
    for role in ("timestamp", "snapshot", f"site-{SITE}"):
        (keys / f"{role}.pem").rename(keys / f"{role}.stolen")
    depot.root([], 0, depot.signers[:2])
    after = LATER + timedelta(minutes=1)
    attacked.medium = depot.medium(attacked.medium.folder)
    # the metadata are still those of the old keys
    attacked.refused("signature")
    depot.publish(after, plant_a=[depot.ship("plant-a/asr", 3, "third")])
    medium = depot.medium(attacked.medium.folder)
    assert depot.pull(attacked.box, medium, after).changed
    attacked.sign(attacked.metadata / "timestamp.json", keys / "timestamp.stolen", lambda signed: None)
    with pytest.raises(DeliveryRefused, match="signatures"):
        depot.pull(attacked.box, medium, after)


def _with_the_servers_keys(attacked: Attacked, shipped: Shipped) -> None:
    """Publish as somebody does who has the server's keys for metadata, but neither a trainer's nor a gate's."""
    attacked.depot.publish(LATER + timedelta(minutes=1), plant_a=[shipped])
    attacked.medium = attacked.depot.medium(attacked.medium.folder)
    attacked.refused("statement", LATER + timedelta(minutes=1))


def test_the_servers_keys_alone_deliver_no_adapter_of_an_own_making(attacked: Attacked, tmp_path: Path) -> None:
    _with_the_servers_keys(attacked, ship(ensure_keys(tmp_path / "own keys"), "plant-a/asr", 2, "backdoor"))


@pytest.mark.parametrize(
    "changed",
    [{"outcome": "failed"}, {"slot": "plant-a/ser", "model": "elp.plant-a.ser"}, {"bundle": "sha256:" + "d" * 64}],
)
def test_a_verdict_on_something_else_is_refused(attacked: Attacked, changed: dict[str, object]) -> None:
    _with_the_servers_keys(attacked, attacked.depot.ship("plant-a/asr", 2, "third", verdict=changed))


def test_a_set_without_a_verdict_is_refused(attacked: Attacked) -> None:
    shipped = attacked.depot.ship("plant-a/asr", 2, "third")
    _with_the_servers_keys(attacked, replace(shipped, adapter=replace(shipped.adapter, verdict="", verdict_at="")))


def test_statements_of_another_adapter_do_not_stand_for_this_one(attacked: Attacked) -> None:
    one, two = (attacked.depot.ship("plant-a/asr", 2, mark) for mark in ("third", "fourth"))
    swapped = {**one.contents, "lineage.dsse.json": two.contents["lineage.dsse.json"]}
    adapter = replace(one.adapter, lineage=two.adapter.lineage)
    _with_the_servers_keys(attacked, Shipped(adapter, swapped))


def test_a_revoked_statement_key_ends_updates_and_not_the_service(attacked: Attacked) -> None:
    depot = attacked.depot
    [verdicts] = [key for key in depot.statements.keys if key.roles == ("verdict",)]
    revoke_key(depot.folder / "keys", verdicts.keyid)
    depot.statements = replace(depot.statements, keys=ensure_keys(depot.folder / "keys").keys)
    depot.root([], 0, depot.signers[:2])
    attacked.medium = depot.medium(attacked.medium.folder)
    attacked.refused("statement")
