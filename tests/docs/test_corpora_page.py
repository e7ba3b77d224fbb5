"""The commands of docs/how-to/corpora.md on small trees of these corpora, and the table of formats."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
from click.testing import CliRunner

from pipelines.cli.data_verbs import data
from pipelines.datasets.importers import IMPORTERS
from pipelines.local.initialise import init_workspace
from tests.docs.pages import ROOT, fences
from tests.support import corpora


def trees(root: Path) -> None:
    corpora.librilight(root)
    corpora.librispeech(root, {"dev-clean": (84, 174), "test-clean": (1089, 1188)})
    corpora.voxceleb(root / "VoxCeleb1", (10001, 10002), (10270, 10271))
    corpora.text(
        root / "my-trials.txt",
        "1 id10270/1zcIwhmdeo4/00001.wav id10270/7gWzIy6yIIk/00001.wav",
        "0 id10270/1zcIwhmdeo4/00001.wav id10271/7gWzIy6yIIk/00001.wav",
    )
    corpora.iemocap(root, each=1)
    corpora.fluent(root)
    corpora.mls(root)
    corpora.common_voice(root)
    rows = []
    for voice in ("anna", "bert", "carl"):
        corpora.sound(root / f"{voice}.wav")
        rows.append(f"{voice}.wav;guten tag;{voice}")
        corpora.text(corpora.sound(root / "pairs" / voice / "1.wav").with_suffix(".txt"), "open the door")
    corpora.text(root / "clips.csv", "datei;wortlaut;wer", *rows)


@pytest.mark.slow
@pytest.mark.integration
def test_every_command_of_the_page_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = init_workspace(tmp_path / "foundry").root
    trees(root / "corpora")
    monkeypatch.chdir(root)
    lines = [line for fence in fences("sh") if fence.page == "corpora.md" for line in fence.commands]
    assert len(lines) >= 10
    for line in lines:
        elp, group, *arguments = shlex.split(line)
        assert (elp, group) == ("elp", "data")
        done = CliRunner().invoke(data, arguments)
        # sentences of two German corpora have letters that an English slot does not
        refused = "--dry-run" in line and "refused" in done.output
        assert done.exit_code == 0 or refused, f"{line}\n{done.output}\n{done.exception}"


def test_every_format_stands_in_the_table_in_its_order() -> None:
    page = (ROOT / "docs" / "reference" / "deliveries.md").read_text(encoding="utf-8")
    lines = [re.split(r"(?<!\\)\|", line) for line in page.splitlines() if line.startswith("| `")]
    rows = [(cells[1].strip(" `"), cells[3]) for cells in lines]
    assert [name for name, _ in rows] == [importer.name for importer in IMPORTERS]
    assert {len(cells) for cells in lines} == {6}
    for importer, (_, options) in zip(IMPORTERS, rows, strict=True):
        assert [option.name for option in importer.options if f"`{option.name}" not in options] == [], importer.name
