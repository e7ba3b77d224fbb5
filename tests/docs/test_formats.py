"""The scripts on the pages about formats check real statements and ledgers, and find what was done to them."""

from __future__ import annotations

import base64
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pipelines.registry.signing import key_folder
from pipelines.registry.signing.envelope import sign
from pipelines.registry.signing.keys import KeyRing, load_trusted_keys, write_keys
from tests.docs.pages import fences
from tests.support import proof


def _scripts(folder: Path) -> None:
    for block in fences("python"):
        if block.page in ("statements.md", "ledger.md"):
            (folder / block.file).write_text(block.text, encoding="utf-8")


def _run(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """In isolated mode: neither the checkout nor PYTHONPATH is on the path."""
    return subprocess.run([sys.executable, "-I", *arguments], cwd=folder, capture_output=True, text=True)


@pytest.fixture
def ring(tmp_path: Path) -> KeyRing:
    _scripts(tmp_path)
    ring = proof.ring(tmp_path)
    (tmp_path / "trusted.json").write_text(write_keys(ring.keys))
    (tmp_path / "envelope.json").write_text(sign(proof.verdict().payload, ring, "verdict").text)
    return ring


def test_no_script_knows_this_project() -> None:
    shown = [block.text for block in fences("python") if block.page in ("statements.md", "ledger.md")]
    assert len(shown) == 2
    assert not any("pipelines" in text or "elp_core" in text or "securesystemslib" in text for text in shown)


def test_the_shown_script_checks_an_envelope(tmp_path: Path, ring: KeyRing) -> None:
    (command,) = [
        line for block in fences("sh") for line in block.commands if line.startswith("python3 check_envelope")
    ]
    done = _run(tmp_path, *command.split()[1:])
    assert done.returncode == 0, done.stderr
    assert f"good signature by verdict {ring.active('verdict')[0].keyid}" in done.stdout
    assert '"outcome": "passed"' in done.stdout
    assert _run(tmp_path, "check_envelope.py", "envelope.json", "trusted.json", "lineage").returncode != 0


def test_the_shown_script_refuses_an_altered_envelope_and_a_revoked_key(tmp_path: Path, ring: KeyRing) -> None:
    values = json.loads((tmp_path / "envelope.json").read_text())
    values["payload"] = base64.b64encode(base64.b64decode(values["payload"]).replace(b"passed", b"failed")).decode()
    (tmp_path / "altered.json").write_text(json.dumps(values))
    assert "InvalidSignature" in _run(tmp_path, "check_envelope.py", "altered.json", "trusted.json", "verdict").stderr
    key_folder.revoke_key(ring.folder, "verdict")
    (tmp_path / "trusted.json").write_text(write_keys(load_trusted_keys(ring.folder).keys))
    done = _run(tmp_path, "check_envelope.py", "envelope.json", "trusted.json", "verdict")
    assert "does not count" in done.stderr


def test_openssl_alone_verifies_the_signature(tmp_path: Path, ring: KeyRing) -> None:
    (block,) = [block for block in fences("sh") if "pkeyutl" in block.text]
    done = subprocess.run(["bash", "-ec", block.text], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    verified, keyid, digest = done.stdout.splitlines()
    assert verified == "Signature Verified Successfully"
    assert keyid.split()[0] == ring.active("verdict")[0].keyid
    assert digest.split()[0] == sign(proof.verdict().payload, ring, "verdict").digest
    (tmp_path / "signed.bin").write_bytes((tmp_path / "signed.bin").read_bytes() + b" ")
    verify = next(line for line in block.text.splitlines() if "pkeyutl" in line)
    assert subprocess.run(["bash", "-c", verify], cwd=tmp_path, capture_output=True).returncode != 0


def _drop(rows: list[Any]) -> None:
    del rows[2]


ATTACKS: list[tuple[Callable[[list[Any]], object], str]] = [
    (_drop, "entry 3: "),
    (lambda rows: rows.pop(), "entry 4: the ledger ends here"),
    (lambda rows: rows.reverse(), "entry 1: "),
    (lambda rows: rows[1].update(hash="0" * 64), "entry 2: "),
    (lambda rows: rows[3].update(envelope=rows[3]["envelope"].replace('"payload":"ey', '"payload":"eX')), "entry 4: "),
]


@pytest.mark.parametrize(("attack", "sentence"), ATTACKS)
def test_the_shown_script_checks_a_ledger_and_names_the_place(
    tmp_path: Path, ring: KeyRing, attack: Callable[[list[Any]], object], sentence: str
) -> None:
    rows = proof.chain(ring, 5)
    entries = [{"entry": json.loads(row.entry), "hash": row.hash, "envelope": row.envelope} for row in rows]
    (tmp_path / "ledger-head.json").write_text(json.dumps({"seq": 5, "hash": rows[-1].hash}))
    (tmp_path / "ledger.json").write_text(json.dumps(entries))
    (command,) = [line for block in fences("sh") for line in block.commands if line.startswith("python3 check_ledger")]
    assert _run(tmp_path, *command.split()[1:]).stdout.startswith("5 entries, one chain")
    attack(entries)
    (tmp_path / "ledger.json").write_text(json.dumps(entries))
    assert sentence in _run(tmp_path, *command.split()[1:]).stderr
