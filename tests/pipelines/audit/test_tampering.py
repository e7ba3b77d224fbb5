"""Changes in the database, the artifact store, the DVC remote or Git are found, and the place is named."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from pipelines.audit.server_records import ServerRecords
from pipelines.audit.verify import verify_registry
from pipelines.registry.ledger.entry import Head
from pipelines.registry.signing.envelope import Envelope, read_envelope
from tests.support.real_registry import SLOT, Real, failed_lines

pytestmark = pytest.mark.integration


@pytest.mark.parametrize(
    ("statement", "message"),
    [
        (
            "UPDATE registered_model_aliases SET version = 1 WHERE alias = 'champion'",
            "alias champion v1: the ledger says v2 (entry",
        ),
        (
            "DELETE FROM registered_model_aliases WHERE alias = 'champion'",
            "alias champion no champion: the ledger says v2",
        ),
        (
            "INSERT INTO registered_model_aliases (workspace, name, alias, version) SELECT workspace, name, "
            "'challenger', version FROM registered_model_aliases WHERE alias = 'champion'",
            "alias challenger v2: it is the champion",
        ),
        (
            "UPDATE elp_ledger SET entry = replace(entry, 'better', 'worse') WHERE seq = 4",
            "entry 4 edited: the hash of its text",
        ),
        ("UPDATE elp_ledger SET entry = '{' WHERE seq = 4", "entry 4 edited"),
        ("UPDATE elp_ledger SET envelope = replace(envelope, 'sig', 'gis') WHERE seq = 4", "entry 4 bad signature"),
        ("DELETE FROM elp_ledger WHERE seq = 3", "entry 3 cut: missing: 3"),
        ("DELETE FROM elp_ledger WHERE seq > 5", "entry 6 cut: the ledger ends here, the checkpoint says 7 entries"),
        ("UPDATE elp_ledger SET seq = -seq WHERE seq IN (3)", "entry"),
        ("DELETE FROM elp_statements WHERE kind = 'verdict' AND version = 2", "the server does not have it any more"),
        ("DELETE FROM elp_statements WHERE kind = 'lineage' AND version = 1", "the server does not have it any more"),
        ("UPDATE elp_statements SET version = 1 WHERE kind = 'verdict' AND version = 2", "verdict statement"),
        (
            "UPDATE elp_statements SET envelope = (SELECT envelope FROM elp_statements WHERE kind = 'verdict' AND "
            "version = 1) WHERE kind = 'verdict' AND version = 2",
            "verdict statement",
        ),
        (
            "UPDATE model_version_tags SET value = 'forged' WHERE key = 'elp.dataset' AND version = 1",
            "elp.dataset forged",
        ),
        ("UPDATE model_version_tags SET value = 'failed' WHERE key = 'elp.verdict'", "elp.verdict failed"),
        ("DELETE FROM model_versions WHERE version = 1", "version v1: the ledger has it, the registry does not"),
    ],
)
def test_a_change_in_the_database_is_found(real: Real, statement: str, message: str) -> None:
    real.sql(statement)
    found = failed_lines(real.registry())
    assert any(message in line for line in found), found


def test_a_signed_verdict_with_another_outcome_in_it_is_found(real: Real) -> None:
    records = ServerRecords(real.server.uri)
    stored = next(one for one in records.statements(SLOT.model_name, 2) if one.kind == "verdict")
    signed = read_envelope(stored.envelope)
    payload = signed.payload.replace(b'"outcome":"passed"', b'"outcome":"failed"')
    forged = Envelope(payload, signed.payload_type, signed.keyid, signed.signature)
    assert payload != signed.payload
    change = f"envelope = '{forged.text}', digest = '{forged.digest}'"
    real.sql(f"UPDATE elp_statements SET {change} WHERE digest = '{stored.digest}'")
    found = failed_lines(real.adapter())
    assert any("no entry of the ledger recorded it" in line for line in found), found
    assert any("rests on" in line for line in found), found


def _flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.unlink()
    path.write_bytes(bytes(content))


def _adapter(real: Real) -> None:
    _flip(real.one("adapter_model.safetensors"))


def _card(real: Real) -> None:
    path = next(p for p in real.one("adapter_model.safetensors").parent.iterdir() if p.name == "README.md")
    path.write_text("another card")


def _evidence(real: Real) -> None:
    path = real.one("evidence.json")
    path.write_text(path.read_text() + " ")


def _no_evidence(real: Real) -> None:
    real.one("evidence.json").unlink()


def _packages(real: Real) -> None:
    path = real.one("packages.txt")
    path.write_text("torch==1.0\n" + path.read_text())


def _shard(real: Real) -> None:
    shards = [p for p in (real.workspace.root / ".elp" / "remote").rglob("*") if p.is_file() and p.suffix != ".dir"]
    _flip(max(shards, key=lambda path: path.stat().st_size))


def _listing(real: Real) -> None:
    _flip(real.one("*.dir", real.workspace.root / ".elp" / "remote"))


def _weights(real: Real) -> None:
    _flip(real.backbone / "model.safetensors")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (_adapter, "in the artifact store"),
        (_card, "in the artifact store"),
        (_evidence, "evidence gate/v2"),
        (_no_evidence, "it is not among the artifacts"),
        (_packages, "packages sha256:"),
        (_shard, "the remote has the MD5"),
        (_listing, "listing"),
        (_weights, "weights sha256:"),
    ],
)
def test_a_change_in_the_bytes_is_found(real: Real, change: Callable[[Real], None], message: str) -> None:
    change(real)
    found = failed_lines(real.adapter())
    assert any(message in line for line in found), found


def test_a_moved_git_tag_is_found(real: Real) -> None:
    root = real.workspace.root
    commit = ["git", "-C", str(root), "rev-parse", f"{SLOT.tag(1)}^{{commit}}"]
    was = subprocess.run(commit, check=True, capture_output=True, text=True).stdout.strip()
    subprocess.run(["git", "-C", str(root), "tag", "--force", SLOT.tag(1), f"{was}~1"], check=True, capture_output=True)
    try:
        found = failed_lines(real.adapter())
    finally:
        subprocess.run(["git", "-C", str(root), "tag", "--force", SLOT.tag(1), was], check=True, capture_output=True)
    assert any("tag points to" in line for line in found), found


def test_statements_of_a_revoked_key_are_not_valid(real: Real) -> None:
    tools = real.verification()
    keys = tuple(
        replace(k, revoked="2026-01-01T00:00:00+00:00") if "verdict" in k.roles else k for k in tools.trusted.keys
    )
    found = failed_lines(real.adapter(replace(tools, trusted=replace(tools.trusted, keys=keys))))
    assert any("verdict statement" in line and "was revoked" in line for line in found), found
    assert any("rests on" in line for line in found), found


def test_a_checkpoint_with_another_entry_names_the_place(real: Real) -> None:
    tools = replace(real.verification(), checkpoint=Head(3, "0" * 64))
    assert any("entry 3 rewritten" in line for line in failed_lines(verify_registry(tools)))
