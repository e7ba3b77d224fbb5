from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
from click.testing import CliRunner

from elp_core.languages import LanguageConfig, codes, language
from pipelines.cli.data_verbs import data
from pipelines.datasets.ingest import add_delivery
from pipelines.local.initialise import init_workspace
from pipelines.registry.slot import Slot
from tests.docs.pages import ROOT, fences
from tests.support.deliveries import write_delivery

PAGE = ROOT / "docs" / "reference" / "languages.md"


def test_the_table_has_every_language_as_it_is_defined() -> None:
    rows = [line for line in PAGE.read_text("utf-8").splitlines() if line.startswith("| `")]
    found = [language(code) for code in codes()]
    assert rows == [
        f"| `{one.code}` | {one.name} | {one.units} | {one.metric.upper()} | "
        f"{'a letter' if one.apostrophes else 'dropped'} | {'yes' if one.spells else 'no'} |"
        for one in found
    ]


def test_the_page_shows_the_default_options() -> None:
    import yaml

    shown = re.search(r"```yaml\n(.*?)```", PAGE.read_text("utf-8"), re.DOTALL)
    assert shown is not None
    assert LanguageConfig.parse(yaml.safe_load(shown[1])["language"]) == LanguageConfig("ja")


@pytest.mark.integration
def test_the_commands_of_the_way_forward_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    workspace = init_workspace(tmp_path / "foundry")
    add_delivery(workspace, Slot("plant-a", "asr"), write_delivery(tmp_path / "in"))
    settings = workspace.root / "elp.yaml"
    settings.write_text(settings.read_text("utf-8") + "\nslots: {plant-a/asr: {language: fr}}\n", "utf-8")
    monkeypatch.chdir(workspace.root)
    lines = [line for fence in fences("sh") if fence.page == "languages.md" for line in fence.commands]
    shown = [line for line in lines if "renormalise" in line]
    outputs = []
    for line in shown:
        done = CliRunner().invoke(data, shlex.split(line)[2:])
        assert done.exit_code == 0, f"{line}\n{done.output}\n{done.exception}"
        outputs.append(done.output)
    assert "would be normalised from English to fr, normaliser fr/1" in outputs[0]
    assert "plant-a/asr is at v2: 0 transcripts changed, 0 clips to quarantine, from English to fr" in outputs[1]
    assert "the golden set is golden/plant-a/asr/v2; verdicts on the one before are out of date" in outputs[1]
    again = CliRunner().invoke(data, shlex.split(shown[1])[2:])
    assert "nothing changes: the transcripts of data/plant-a/asr/v2 are fr" in again.output
