from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from pipelines.cli.main import run
from pipelines.registry.client.connection import connect
from pipelines.registry.slot import Slot
from tests.support.bundles import add_bundle
from tests.support.command import Elp, elp_in
from tests.support.mlflow_server import free_port
from tests.support.versions import add_version, make_champion, record_verdict

if TYPE_CHECKING:
    from mlflow import MlflowClient

pytestmark = pytest.mark.integration


@pytest.fixture
def client(mlflow_uri: str) -> MlflowClient:
    return connect(mlflow_uri)


@pytest.fixture
def elp(mlflow_uri: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Elp:
    """Run `elp` in a workspace that knows the server; its exit code, stdout and stderr."""
    root = tmp_path / "workspace"
    root.mkdir()
    subprocess.run(["git", "init", "-q", str(root)], check=True)
    (root / "elp.yaml").write_text(f"servers: {{mlflow_uri: '{mlflow_uri}'}}\n")
    return elp_in(root, capsys)


def test_adapters_are_listed_as_a_table_and_as_json(client: MlflowClient, elp: Elp, tmp_path: Path) -> None:
    slot = Slot("cli-list", "asr")
    make_champion(client, add_bundle(client, slot, "k1", tmp_path))
    add_version(client, slot, "k2")
    code, out, _ = elp("versions", "cli-list/asr")
    assert (code, [line.split()[1:3] for line in out.splitlines()[1:]]) == (0, [["2", "candidate"], ["1", "champion"]])
    assert [v["status"] for v in json.loads(elp("versions", "--json", "cli-list/asr")[1])] == ["candidate", "champion"]
    assert "cli-list/asr" in elp("versions")[1]


def test_a_slot_without_adapters_says_how_to_make_one(elp: Elp) -> None:
    assert elp("versions", "cli-none/asr")[:2] == (0, "no adapters yet; make one with: elp retrain SITE/TASK\n")


def test_promote_audit_and_rollback_from_the_command_line(client: MlflowClient, elp: Elp, tmp_path: Path) -> None:
    slot = Slot("cli-life", "asr")
    first = record_verdict(client, add_bundle(client, slot, "k1", tmp_path))
    assert elp("promote", "cli-life/asr", "--by", "ann")[:2] == (
        0,
        "cli-life/asr: champion is v1 (the first); changed by ann\n",
    )
    record_verdict(client, add_bundle(client, slot, "k2", tmp_path), against=first)
    assert json.loads(elp("promote", "cli-life/asr", "--version", "2", "--json")[1])["previous"] == 1
    code, out, _ = elp("audit", "cli-life/asr")
    assert (code, out.splitlines()[0].split(" (")[0]) == (0, "adapter: cli-life/asr v2 ")
    assert elp("rollback", "cli-life/asr", "--reason", "noise")[1].startswith(
        "cli-life/asr: champion is v1 (before: v2)"
    )
    said = elp("rollback", "cli-life/asr", "--version", "1")
    assert said == (0, "cli-life/asr: v1 is the champion already; nothing changed\n", "")
    assert elp("retire", "cli-life/asr")[0] == 2
    assert elp("retire", "cli-life/asr", "--reason", "the line was closed", "--by", "ann")[:2] == (
        0,
        "cli-life/asr: no champion (before: v1); changed by ann\n",
    )


def test_a_refused_promotion_ends_with_code_3(client: MlflowClient, elp: Elp, tmp_path: Path) -> None:
    slot = Slot("cli-refused", "asr")
    record_verdict(client, add_bundle(client, slot, "k1", tmp_path), "failed")
    code, out, err = elp("promote", "cli-refused/asr", "--version", "1")
    assert (code, out) == (3, "")
    assert "the gate's verdict is failed" in err


@pytest.mark.parametrize("slot", ["Plant A/asr", "plant/a/asr", "plant/tts"])
def test_a_wrong_slot_name_ends_with_code_2(elp: Elp, slot: str) -> None:
    assert elp("promote", slot)[0] == 2


def test_without_the_server_every_verb_says_how_to_start_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "elp.yaml").write_text(f"servers: {{mlflow_uri: 'http://127.0.0.1:{free_port()}'}}\n")
    for verb in (["versions"], ["audit", "a/asr"], ["rollback", "a/asr"], ["predict", "a/asr", "x.wav"]):
        assert run(["-w", str(tmp_path), *verb]) == 1
        assert "start it with: elp up" in capsys.readouterr().err


def test_a_hold_from_the_command_line(client: MlflowClient, elp: Elp) -> None:
    words = ("--until", "2099-01-31", "--reason", "a dispute", "--by", "ann")
    code, _, error = elp("hold", "cli-hold/asr", *words)
    assert (code, "cli-hold/asr has no dataset version and no adapter" in error) == (1, True)
    add_version(client, Slot("cli-hold", "asr"), "k1")
    code, out, _ = elp("hold", "cli-hold/asr", *words)
    assert (code, out.split()[0]) == (0, "hold")
    number = out.split()[1].rstrip(":")
    assert out.endswith("cli-hold/asr is kept until 2099-01-31 23:59 UTC\n")
    assert elp("hold", "list", "cli-hold/asr")[1].splitlines()[1].split() == [
        *(number, "cli-hold/asr", "2099-01-31", "23:59", "ann", "a", "dispute")
    ]
    assert elp("hold", "end", number, "--reason", "settled")[:2] == (0, f"hold {number} on cli-hold/asr is over\n")
    assert elp("hold", "list", "cli-hold/asr")[1].startswith("nothing is held")
    assert elp("hold", "end", number, "--reason", "settled")[0] == 3


@pytest.mark.parametrize("words", [("cli-hold/asr", "--reason", "x"), ("cli-hold/asr", "--until", "2099-01-31")])
def test_a_hold_needs_a_date_and_a_reason(elp: Elp, words: tuple[str, ...]) -> None:
    code, _, error = elp("hold", *words)
    assert (code, "Missing option" in error) == (2, True)
