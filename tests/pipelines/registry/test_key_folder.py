from __future__ import annotations

import multiprocessing
import os
from pathlib import Path

import pytest

from pipelines.errors import AttestationError, UsageError
from pipelines.registry.signing import key_folder
from pipelines.registry.signing.envelope import sign, verify
from pipelines.registry.signing.keys import load_trusted_keys, write_keys
from tests.support import proof


def test_keys_are_made_once(tmp_path: Path) -> None:
    first = proof.ring(tmp_path)
    assert proof.ring(tmp_path) == first
    key_folder.retire_key(first.folder, "verdict")
    assert len(proof.ring(tmp_path).keys) == 3, "a role whose key was ended on purpose gets no new one by itself"


def test_only_the_roles_asked_for_get_keys(tmp_path: Path) -> None:
    ring = key_folder.ensure_keys(tmp_path / "keys", ("lineage", "verdict"))
    assert [key.name for key in ring.keys] == ["lineage", "verdict"]


def test_rotation_signs_with_the_new_key_and_keeps_what_was_recorded(tmp_path: Path) -> None:
    ring = proof.ring(tmp_path)
    before = sign(proof.verdict().payload, ring, "verdict")
    old, new = key_folder.rotate_key(ring.folder, "verdict")
    ring = load_trusted_keys(ring.folder)
    assert (old.state, new.state, ring.signs(old), ring.signs(new)) == ("retired", "active", False, True)
    assert sign(proof.verdict().payload, ring, "verdict").keyid == new.keyid
    assert verify(before, ring, "verdict", recorded_at=old.created) == old
    with pytest.raises(AttestationError, match=r"was retired at .*: sign again with the active key"):
        verify(before, ring, "verdict")


def test_retiring_twice_keeps_the_first_date(tmp_path: Path) -> None:
    folder = proof.ring(tmp_path).folder
    first = key_folder.retire_key(folder, "ledger")
    assert key_folder.retire_key(folder, first.keyid[:12]) == first


def test_revoking_a_retired_key_keeps_both_dates(tmp_path: Path) -> None:
    folder = proof.ring(tmp_path).folder
    retired = key_folder.retire_key(folder, "ledger")
    revoked = key_folder.revoke_key(folder, retired.keyid)
    assert (revoked.state, revoked.retired) == ("revoked", retired.retired)
    assert key_folder.revoke_key(folder, retired.keyid) == revoked


@pytest.mark.parametrize("text", ["nobody", "0123", "ffffffffffff"])
def test_a_key_that_is_not_there_is_told(tmp_path: Path, text: str) -> None:
    with pytest.raises(UsageError, match=rf"no key in .* fit '{text}'"):
        key_folder.retire_key(proof.ring(tmp_path).folder, text)


def test_a_name_that_two_keys_have_is_not_enough(tmp_path: Path) -> None:
    folder = proof.ring(tmp_path).folder
    key_folder.new_key(folder, "ledger", ("ledger",))
    with pytest.raises(UsageError, match=r"2 keys in .* fit 'ledger'"):
        key_folder.rotate_key(folder, "ledger")


def test_an_ended_key_is_not_rotated(tmp_path: Path) -> None:
    folder = proof.ring(tmp_path).folder
    old = key_folder.retire_key(folder, "ledger")
    with pytest.raises(UsageError, match="is already retired; create a key with: elp keys new"):
        key_folder.rotate_key(folder, old.keyid)


def test_another_machine_is_trusted_by_its_export_but_cannot_be_signed_for(tmp_path: Path) -> None:
    worker, server = proof.ring(tmp_path / "worker"), proof.ring(tmp_path / "server")
    text = write_keys(worker.active("lineage"))
    added = key_folder.add_keys(server.folder, text, "export.json")
    ring = load_trusted_keys(server.folder)
    assert ([key.name for key in added], ring.signs(added[0])) == (["lineage"], False)
    assert verify(sign(b"x", worker, "lineage"), ring, "lineage") == added[0]
    assert ring.signer("lineage").public_key.keyid == server.active("lineage")[0].keyid
    assert key_folder.add_keys(server.folder, text, "export.json") == ()


def test_an_export_ends_a_key_and_never_revives_it(tmp_path: Path) -> None:
    worker, server = proof.ring(tmp_path / "worker"), proof.ring(tmp_path / "server")
    active = write_keys(worker.keys)
    key_folder.add_keys(server.folder, active, "export.json")
    ended = key_folder.revoke_key(worker.folder, "verdict")
    key_folder.add_keys(server.folder, write_keys(load_trusted_keys(worker.folder).keys), "export.json")
    assert load_trusted_keys(server.folder).find(ended.keyid) == ended
    assert key_folder.add_keys(server.folder, active, "export.json") == ()


def test_an_export_cannot_widen_what_a_key_may_sign(tmp_path: Path) -> None:
    from dataclasses import replace

    ring = proof.ring(tmp_path)
    wider = replace(ring.active("lineage")[0], roles=("lineage", "ledger"))
    with pytest.raises(AttestationError, match="name and roles of a key never change"):
        key_folder.add_keys(ring.folder, write_keys((wider,)), "export.json")


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "keys").write_text("a file")
    with pytest.raises(AttestationError, match="cannot be written"):
        proof.ring(tmp_path)


def test_a_write_that_fails_leaves_the_old_list(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ring = proof.ring(tmp_path)
    monkeypatch.setattr(os, "replace", _full)
    with pytest.raises(OSError, match="full"):
        key_folder.retire_key(ring.folder, "verdict")
    assert load_trusted_keys(ring.folder) == ring
    assert sorted(path.name for path in ring.folder.iterdir()) == [".lock", "private", "trusted.json"]


def _full(*_: object) -> None:
    raise OSError(28, "full")


def test_changes_of_many_processes_are_all_kept(tmp_path: Path) -> None:
    folder = proof.ring(tmp_path).folder
    with multiprocessing.get_context("fork").Pool(4) as pool:
        pool.starmap(key_folder.new_key, [(folder, f"k{n}", ("lineage",)) for n in range(12)])
    assert len(load_trusted_keys(folder).keys) == 15
    assert load_trusted_keys(folder).orphans() == []
