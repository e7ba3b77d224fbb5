"""The documentation's commands, page after page in real workspaces with their servers and workers."""

from __future__ import annotations

import shlex
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.docs.pages import fences
from tests.docs.test_examples import NEEDS_A_WORKSPACE
from tests.support.shell import shell

pytestmark = [pytest.mark.slow, pytest.mark.integration, pytest.mark.timeout(1800)]

PARTS = {
    "first steps": ("README.md", "operate.md"),
    "data": ("README.md", "data.md", "quarantine.md", "splits.md", "correct-data.md", "versions.md"),
    "adapters": (
        *("README.md", "gate.md", "registry.md", "enrolled-voices.md", "audit.md"),
        *("decoding.md", "tasks.md", "training.md"),
    ),
    "backbone": ("README.md", "backbone-upgrade.md"),
    "choices": ("README.md", "warm-start.md", "compare.md", "report.md", "tune.md", "robustness.md"),
}
"""In a workspace each, because they take minutes; each begins with the README's."""
IN_CI = "first steps"
REFUSALS = {"elp gate", "elp rollback", "elp promote", "elp retrain", "elp backbone"}
"""May end with 1 or 3: nothing to roll back to, nothing better to promote or switch to. Never with 2 or a traceback."""
SETTINGS = """\
defaults: {asr: {train: {epochs: 2}, gate: {limit: 1.5}}, asv: {train: {epochs: 2}, gate: {limit: 1.0}}}
servers: {mlflow_port: 0, prefect_port: 0}
"""
BEFORE = ("elp data add plant-b/asr ../first/manifest.jsonl",)
"""What the pages take for granted: another slot with data."""
VERIFIER = ("elp retrain plant-a/asv ../first/manifest.jsonl", "elp promote plant-a/asv")
"""The pages beyond the first steps take a champion that verifies speakers for granted, too."""
ARPA = """\
\\data\\
ngram 1=4
ngram 2=1

\\1-grams:
-1.0	<unk>
-99	<s>	0
-1.0	</s>
-0.5	start	0

\\2-grams:
-0.3	<s> start

\\end\\
"""


@pytest.fixture
def workspace(tmp_path: Path, _own_home: None) -> Iterator[Path]:
    root = tmp_path / "foundry"
    yield root
    if (root / "elp.yaml").exists():
        shell("elp down --yes", root)


def _deliveries(root: Path) -> None:
    """What the pages speak of: deliveries of the embedded corpus, recordings, and another backbone."""
    from elp_core.testing import save_tiny
    from pipelines.demo.corpus import SITES, DeliveryPlan, write_delivery

    for number, name in enumerate(("first", "recordings", "deliveries")):
        folder = root.parent / name
        manifest = write_delivery(SITES[0], DeliveryPlan(name, per_speaker=2), folder, seed=number)
        if name != "first":
            shutil.copytree(folder, root / name)
    (root / "deliveries" / "manifest.jsonl").rename(root / "deliveries" / "monday.jsonl")
    wave = next((manifest.parent / "audio").glob("*.wav"))
    for name in ("recording.wav", "call.wav", "enrolled-1.wav", "enrolled-2.wav", "someone.wav"):
        shutil.copy(wave, root / name)
    save_tiny(root.parent / "other-weights", seed=1)
    (root / "words.arpa").write_text(ARPA, encoding="utf-8")
    (root / "names.txt").write_text("Kowalski\n", encoding="utf-8")


@pytest.mark.parametrize("part", [pytest.param(part, marks=[pytest.mark.walk] * (part == IN_CI)) for part in PARTS])
def test_every_shown_command_runs(workspace: Path, part: str) -> None:
    assert shell("elp init foundry", workspace.parent).returncode == 0
    (workspace / "elp.yaml").write_text(SETTINGS)
    _deliveries(workspace)
    assert shell("git add elp.yaml && git commit -qm Settings", workspace).returncode == 0
    shown = [(f.name, line) for page in PARTS[part] for f in fences("sh") if f.page == page for line in f.commands]
    lines = [(name, line) for name, line in shown if line.startswith("elp ") and not line.startswith("elp init")]
    ending = [(name, line) for name, line in lines if line == "elp down"]
    for line in ("elp up", *BEFORE, *(VERIFIER if part != IN_CI else ())):
        assert shell(line, workspace, timeout=900).returncode == 0, line
    for name, line in [pair for pair in lines if pair not in ending]:
        here = line.replace("/path/to/manifest.jsonl", f"{workspace.parent}/first/manifest.jsonl")
        _check(name, here.replace("facebook/wav2vec2-large", f"{workspace.parent}/other-weights"), workspace)
    for block in (f for f in fences("python") if f.page in NEEDS_A_WORKSPACE and f.page in PARTS[part]):
        script = workspace.parent / f"{block.name}.py"
        script.write_text(_here(block.text, workspace))
        done = shell(shlex.join([sys.executable, str(script)]), workspace, timeout=900)
        assert done.returncode == 0, block.name
    for name, line in ending:
        _check(name, line, workspace)


def _check(name: str, line: str, workspace: Path) -> None:
    done = shell(line, workspace, timeout=900)
    allowed = {0, 1, 3} if " ".join(line.split()[:2]) in REFUSALS else {0}
    assert done.returncode in allowed, f"{name}: {line}"
    assert "Traceback" not in done.stderr
    assert "error: unexpected" not in done.stderr


def _here(text: str, workspace: Path) -> str:
    """A block of Python with this workspace's addresses in place of the page's."""
    from pipelines.gating.evidence import EVIDENCE_FILE
    from pipelines.local.addresses import mlflow_uri
    from pipelines.local.workspace import open_workspace

    evidence = sorted((workspace / ".elp").rglob(EVIDENCE_FILE))
    changes = {
        "/srv/workspace": str(workspace),
        "http://127.0.0.1:5000": mlflow_uri(open_workspace(workspace)),
        "…/gate/v2-0123456789abcdef-fedcba9876543210": str(evidence[0].parent) if evidence else "",
    }
    for shown, here in changes.items():
        text = text.replace(shown, here)
    return text
