from __future__ import annotations

import json
import stat
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pipelines.errors import AttestationError
from pipelines.registry.signing.keys import (
    KeyRing,
    key_folder,
    load_signing_keys,
    load_trusted_keys,
    read_keys,
    write_keys,
)
from tests.support import proof

RSA = """-----BEGIN PUBLIC KEY-----
MFwwDQYJKoZIhvcNAQEBBQADSwAwSAJBAKj34GkxFhD90vcNLYLInFEX6Ppy1tPf
9Cnzj4p4WGeKLs1Pt8QuKUpRKfFLfRYC9AIKjbJTWit+CqvjWYzvQwECAwEAAQ==
-----END PUBLIC KEY-----
"""


def test_what_is_written_is_read_again(ring: KeyRing) -> None:
    assert read_keys(write_keys(ring.keys), "here") == ring.keys
    assert load_trusted_keys(ring.folder) == ring


def test_each_role_has_a_key_of_its_own_that_only_its_owner_reads(ring: KeyRing) -> None:
    assert [key.roles for key in ring.keys] == [("lineage",), ("verdict",), ("ledger",)]
    assert {stat.S_IMODE(ring.private(key).stat().st_mode) for key in ring.keys} == {0o600}
    assert stat.S_IMODE(ring.private(ring.keys[0]).parent.stat().st_mode) == 0o700


def test_a_key_id_is_what_openssl_and_sha256_say(ring: KeyRing) -> None:
    key = ring.keys[0]
    der = subprocess.run(
        ["openssl", "pkey", "-pubin", "-outform", "DER"], input=key.pem.encode(), capture_output=True, check=True
    ).stdout
    digest = subprocess.run(["sha256sum"], input=der, capture_output=True, check=True).stdout.decode()
    assert digest.split()[0] == key.keyid


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o666])
def test_a_private_key_that_others_may_use_does_not_sign(tmp_path: Path, mode: int) -> None:
    ring = proof.ring(tmp_path)
    ring.private(ring.active("verdict")[0]).chmod(mode)
    with pytest.raises(AttestationError, match=rf"has mode {mode:04o}: others can sign with it; run: chmod 600"):
        load_signing_keys(ring.folder, "verdict")


@pytest.mark.parametrize("mode", [0o664, 0o646])
def test_a_list_of_trusted_keys_that_others_may_change_is_not_read(tmp_path: Path, mode: int) -> None:
    ring = proof.ring(tmp_path)
    (ring.folder / "trusted.json").chmod(mode)
    with pytest.raises(AttestationError, match="others can change which keys are trusted"):
        load_trusted_keys(ring.folder)


def test_a_private_key_under_the_name_of_another_is_refused(tmp_path: Path) -> None:
    ring = proof.ring(tmp_path)
    lineage, verdict, _ = ring.keys
    ring.private(lineage).write_bytes(ring.private(verdict).read_bytes())
    with pytest.raises(AttestationError, match="is not the private half of key"):
        ring.signer("lineage")


def test_a_file_that_is_no_key_is_refused(tmp_path: Path) -> None:
    ring = proof.ring(tmp_path)
    ring.private(ring.keys[0]).write_text("not a key")
    with pytest.raises(AttestationError, match="is not a readable private key"):
        ring.signer("lineage")


def test_a_machine_without_the_private_half_is_told_what_to_do(tmp_path: Path) -> None:
    ring = proof.ring(tmp_path)
    ring.private(ring.active("ledger")[0]).unlink()
    with pytest.raises(AttestationError, match=r"no private key for the role ledger.*elp keys new --role ledger"):
        ring.signer("ledger")


def test_a_folder_without_keys_is_told_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(AttestationError, match=r"make keys with: elp keys new, or set ELP_KEYS"):
        load_trusted_keys(tmp_path)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda v: v.update(format=2), "expected format 1"),
        (lambda v: v.update(more=1), "expected format 1"),
        (lambda v: v.update(keys={}), "a list of keys"),
        (lambda v: v["keys"].append(v["keys"][0]), "occurs twice"),
        (lambda v: v["keys"].append("text"), "expected exactly the fields"),
        (lambda v: v["keys"][0].update(comment=""), "expected exactly the fields"),
        (lambda v: v["keys"][0].pop("revoked"), "expected exactly the fields"),
        (lambda v: v["keys"][0].update(retired=None), "every field except roles must be text"),
        (lambda v: v["keys"][0].update(name=""), "the name must not be empty"),
        (lambda v: v["keys"][0].update(roles=[]), "expected some of lineage, verdict, ledger"),
        (lambda v: v["keys"][0].update(roles=["admin"]), "expected some of lineage, verdict, ledger"),
        (lambda v: v["keys"][0].update(roles="ledger"), "expected some of lineage, verdict, ledger"),
        (lambda v: v["keys"][0].update(created=""), "is no ISO 8601 moment"),
        (lambda v: v["keys"][0].update(retired="2026-01-01T00:00:00"), "has no offset from UTC"),
        (lambda v: v["keys"][0].update(keyid="0" * 64), "the hash of its PEM is"),
        (lambda v: v["keys"][0].update(pem=v["keys"][1]["pem"]), "the hash of its PEM is"),
        (lambda v: v["keys"][0].update(pem="no PEM"), "is not a public key"),
        (lambda v: v["keys"][0].update(pem=RSA), "is not an Ed25519 key"),
    ],
)
def test_a_malformed_list_of_keys_is_refused(ring: KeyRing, change: Callable[[Any], None], sentence: str) -> None:
    values = json.loads(write_keys(ring.keys))
    change(values)
    with pytest.raises(AttestationError, match=sentence):
        read_keys(json.dumps(values), "here")


def test_a_key_given_twice_under_one_name_in_an_object_is_refused(ring: KeyRing) -> None:
    text = write_keys(ring.keys).replace('"format": 1,', '"format": 1, "format": 1,')
    with pytest.raises(AttestationError, match="'format' occurs twice"):
        read_keys(text, "here")


def test_the_folder_is_the_one_named_else_the_workspaces(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ELP_KEYS", raising=False)
    assert key_folder(tmp_path / ".elp") == tmp_path / ".elp" / "keys"
    monkeypatch.setenv("ELP_WORKSPACE", str(tmp_path))
    assert key_folder() == tmp_path / ".elp" / "keys"
    monkeypatch.setenv("ELP_KEYS", str(tmp_path / "mine"))
    assert key_folder(tmp_path / ".elp") == tmp_path / "mine"


def test_the_digest_of_a_ring_tells_of_every_change(tmp_path: Path) -> None:
    from pipelines.registry.signing.key_folder import new_key, retire_key, revoke_key

    folder = proof.ring(tmp_path).folder
    digests = [load_trusted_keys(folder).digest]
    for change in (
        lambda: new_key(folder, "more", ("verdict",)),
        lambda: retire_key(folder, "more"),
        lambda: revoke_key(folder, "ledger"),
    ):
        change()
        digests.append(load_trusted_keys(folder).digest)
    assert len(set(digests)) == 4
