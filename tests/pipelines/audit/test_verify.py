"""Everything computed again, and what somebody with the database file, the store or the remote changed is found."""

from __future__ import annotations

import os
import shlex
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from pipelines.attest.envelope import Envelope, read
from pipelines.attest.ledger import Head
from pipelines.audit.answers import index_of
from pipelines.audit.records import dossier
from pipelines.audit.registry import ServerRecords
from pipelines.audit.verify import Bench, bench, verify_adapter, verify_registry
from pipelines.cli.main import run
from pipelines.clients import guard
from pipelines.lineage.audit import Fact
from pipelines.settings import Slot
from pipelines.steps.gate import gate
from pipelines.steps.train import train_adapter
from pipelines.workspace import Workspace
from tests.docs.pages import fences
from tests.support.guarded_server import GuardedServer, guarded_server
from tests.support.workspaces import isolate, workspace_with_data

pytestmark = pytest.mark.integration
SLOT = Slot("plant-a", "asr")
SETTINGS = """
backbone: {backbone}
defaults:
  asr:
    adapter: {{encoder: {{bottleneck: 4}}, layer: {{width: 8}}, prompt: {{count: 1}}}}
    train: {{epochs: 1, batch_seconds: 8.0, device: cpu, seed: {seed}}}
    gate: {{limit: 1.5, margin: 1.0, min_slice: 1, resamples: 200}}
"""


@dataclass(frozen=True)
class Real:
    """A guarded server with two trained, gated and promoted versions of one slot, and the workspace they came from."""

    server: GuardedServer
    workspace: Workspace
    backbone: Path

    def sql(self, statement: str) -> None:
        """What somebody with the database file does."""
        with closing(sqlite3.connect(self.server.folder / "mlflow.db")) as db, db:
            db.execute(statement)

    def bench(self) -> Bench:
        return bench(self.workspace, ServerRecords(self.server.uri), lambda line: None)

    def registry(self) -> Fact:
        """`elp audit --verify`."""
        return verify_registry(self.bench())

    def adapter(self, tools: Bench | None = None) -> Fact:
        """`elp audit plant-a/asr --verify`."""
        with index_of(self.workspace, ServerRecords(self.server.uri), lambda line: None) as db:
            subject = dossier(db, ServerRecords(self.server.uri), SLOT, 2)
            return verify_adapter(db, tools or self.bench(), subject)

    def one(self, pattern: str, below: Path | None = None) -> Path:
        """The newest file of this pattern."""
        return max((below or self.server.artifacts).rglob(pattern), key=lambda path: path.stat().st_mtime_ns)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Real]:
    from elp_core.testing.backbones import tiny_model
    from pipelines.settings import read_settings

    folder = tmp_path_factory.mktemp("real")
    with pytest.MonkeyPatch.context() as patch, guarded_server(folder / "server") as server:
        isolate(folder / "home", patch)
        patch.setenv("ELP_KEYS", str(server.keys))
        patch.setenv("ELP_LEDGER_HEAD", str(server.anchor))
        backbone = folder / "backbone"
        tiny_model("hubert").save_pretrained(backbone)  # type: ignore[operator]
        workspace = workspace_with_data(folder / "site", (SLOT,), SETTINGS.format(backbone=backbone, seed=0))
        for seed in (1, 2):
            settings = read_settings(SETTINGS.format(backbone=backbone, seed=seed))
            options = {"mlflow_uri": server.uri, "cache": folder / "cache"}
            version = train_adapter(str(workspace.root), SLOT, SLOT.tag(1), settings, **options).version
            assert gate(str(workspace.root), SLOT, settings, version, **options).verdict.passed
            guard.promote(server.uri, SLOT, version, by="ann", reason="better")
        yield Real(server, workspace, backbone)


@pytest.fixture
def real(made: Real) -> Iterator[Real]:
    """The same, put right again after each test."""
    places = (made.server.artifacts, made.workspace.root / ".elp" / "remote", made.backbone)
    kept = {path: path.read_bytes() for place in places for path in place.rglob("*") if path.is_file()}
    anchor = made.server.anchor.read_bytes()
    with closing(sqlite3.connect(made.server.folder / "mlflow.db")) as db, closing(sqlite3.connect(":memory:")) as copy:
        db.backup(copy)
        yield made
        copy.backup(db)
    made.server.anchor.write_bytes(anchor)
    for path, content in kept.items():
        if not path.exists() or path.read_bytes() != content:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.unlink(missing_ok=True)
            path.write_bytes(content)


def _mismatches(tree: Fact) -> list[str]:
    return [f"{fact.name} {fact.value}: {fact.note}" for fact in tree.mismatches]


def test_what_nobody_changed_is_found_as_recorded(real: Real) -> None:
    tree = real.adapter()
    assert (_mismatches(tree), [fact.name for fact in tree.unchecked]) == ([], [])
    checked = {fact.name for fact in tree.walk() if fact.state == "ok"}
    assert checked >= {
        "in the artifact store",
        "adapter_model.safetensors",
        "lineage.json, stated again",
        "tag points to",
        "file",
        "clips used",
        "weights",
        "evidence",
        "lineage statement",
        "verdict statement",
        "chain",
        "anchor",
        "alias champion",
        "rests on",
        "tags",
        "packages",
    }
    assert _mismatches(real.registry()) == []


@pytest.mark.parametrize(
    ("statement", "told"),
    [
        (
            "UPDATE registered_model_aliases SET version = 1 WHERE alias = 'champion'",
            "alias champion v1: the ledger says v2 (entry",
        ),
        (
            "DELETE FROM registered_model_aliases WHERE alias = 'champion'",
            "alias champion no champion: the ledger says v2",
        ),
        ("UPDATE elp_ledger SET entry = replace(entry, 'better', 'worse') WHERE seq = 4", "entry 4 edited: its text"),
        ("UPDATE elp_ledger SET entry = '{' WHERE seq = 4", "entry 4 edited"),
        ("UPDATE elp_ledger SET envelope = replace(envelope, 'sig', 'gis') WHERE seq = 4", "entry 4 bad signature"),
        ("DELETE FROM elp_ledger WHERE seq = 3", "entry 3 cut: missing: 3"),
        ("DELETE FROM elp_ledger WHERE seq > 5", "entry 6 cut: the ledger ends here, the anchor knows of 7"),
        ("UPDATE elp_ledger SET seq = -seq WHERE seq IN (3)", "entry"),
        ("DELETE FROM elp_statements WHERE kind = 'verdict' AND version = 2", "the server has it no more"),
        ("DELETE FROM elp_statements WHERE kind = 'lineage' AND version = 1", "the server has it no more"),
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
        ("DELETE FROM model_versions WHERE version = 1", "version v1: the ledger has it, the registry has not"),
    ],
)
def test_what_was_changed_in_the_database_is_found(real: Real, statement: str, told: str) -> None:
    real.sql(statement)
    found = _mismatches(real.registry())
    assert any(told in line for line in found), found


@pytest.mark.parametrize(("tampered", "code"), [(False, 0), (True, 1)])
def test_the_command_ends_with_code_1_where_something_is_otherwise_and_names_it(
    real: Real, tampered: bool, code: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("pipelines.services.addresses.mlflow_uri", lambda workspace: real.server.uri)
    if tampered:
        real.sql("UPDATE registered_model_aliases SET version = 1 WHERE alias = 'champion'")
    assert run(["-w", str(real.workspace.root), "audit", "--verify"]) == code
    out, err = capsys.readouterr()
    assert ("✗ alias champion: v1" in out, "mismatch: alias champion v1: the ledger says v2" in err) == (tampered,) * 2


def test_a_signed_verdict_with_another_outcome_in_it_is_found(real: Real) -> None:
    records = ServerRecords(real.server.uri)
    stored = next(one for one in records.statements(model=SLOT.model_name, version=2) if one.kind == "verdict")
    signed = read(stored.envelope)
    payload = signed.payload.replace(b'"outcome":"passed"', b'"outcome":"failed"')
    forged = Envelope(payload, signed.payload_type, signed.keyid, signed.signature)
    assert payload != signed.payload
    change = f"envelope = '{forged.text}', digest = '{forged.digest}'"
    real.sql(f"UPDATE elp_statements SET {change} WHERE digest = '{stored.digest}'")
    found = _mismatches(real.adapter())
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
    ("change", "told"),
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
def test_what_was_changed_in_the_bytes_is_found(real: Real, change: Callable[[Real], None], told: str) -> None:
    change(real)
    found = _mismatches(real.adapter())
    assert any(told in line for line in found), found


def test_a_tag_of_git_that_was_moved_is_found(real: Real) -> None:
    root = real.workspace.root
    commit = ["git", "-C", str(root), "rev-parse", f"{SLOT.tag(1)}^{{commit}}"]
    was = subprocess.run(commit, check=True, capture_output=True, text=True).stdout.strip()
    subprocess.run(["git", "-C", str(root), "tag", "--force", SLOT.tag(1), f"{was}~1"], check=True, capture_output=True)
    try:
        found = _mismatches(real.adapter())
    finally:
        subprocess.run(["git", "-C", str(root), "tag", "--force", SLOT.tag(1), was], check=True, capture_output=True)
    assert any("tag points to" in line for line in found), found


@pytest.mark.parametrize(
    ("change", "name", "told"),
    [
        (lambda real: shutil.rmtree(real.workspace.root / ".elp" / "remote"), "DVC remote", "holds no file"),
        (lambda real: shutil.rmtree(real.backbone), "weights", "cannot be loaded here"),
        (lambda real: real.server.anchor.unlink(), "anchor", "entries cut off at the end cannot be seen"),
    ],
)
def test_what_cannot_be_verified_is_told_with_the_reason(
    real: Real, change: Callable[[Real], object], name: str, told: str
) -> None:
    change(real)
    tree = real.adapter()
    assert any(fact.name == name and told in fact.note for fact in tree.unchecked), tree.unchecked


def test_statements_by_a_revoked_key_count_no_more(real: Real) -> None:
    tools = real.bench()
    keys = tuple(
        replace(k, revoked="2026-01-01T00:00:00+00:00") if "verdict" in k.roles else k for k in tools.ring.keys
    )
    found = _mismatches(real.adapter(replace(tools, ring=replace(tools.ring, keys=keys))))
    assert any("verdict statement" in line and "was revoked" in line for line in found), found
    assert any("rests on" in line for line in found), found


def test_an_anchor_that_knows_another_entry_names_the_place(real: Real) -> None:
    tools = replace(real.bench(), anchor=Head(3, "0" * 64))
    assert any("entry 3 rewritten" in line for line in _mismatches(verify_registry(tools)))


def test_every_command_of_the_page_runs(real: Real, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = tmp_path / "site"
    shutil.copytree(real.workspace.root, root, symlinks=True)
    monkeypatch.setattr("pipelines.services.addresses.mlflow_uri", lambda workspace: real.server.uri)
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.chdir(root)
    lines = [line for fence in fences("sh") if fence.page == "audit.md" for line in fence.commands]
    assert len(lines) > 10
    for line in lines:
        words = shlex.split(line.replace("plant-a-m2-10-140", "ann"))
        code = run(words[1:]) if words[0] == "elp" else subprocess.run(words, check=False).returncode
        assert code == 0, line
    assert (root / "adapter.cdx.json").is_file()
    assert (root / "audit.html").is_file()
