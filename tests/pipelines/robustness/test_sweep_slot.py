"""`elp sweep` on a real registry: the champion and another version, once computed and then kept."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest

from elp_core.errors import ConfigError
from elp_core.testing import save_tiny
from pipelines.cli.main import run
from pipelines.errors import RegistryError, UsageError
from pipelines.local.workspace import open_workspace
from pipelines.registry.client.connection import connect
from pipelines.registry.plain_json import plain
from pipelines.registry.slot import Slot
from pipelines.robustness import sweep_cells
from pipelines.robustness.sweep_slot import SweepRequest, sweep_slot
from tests.support import bundles
from tests.support.versions import make_champion
from tests.support.workspaces import Site, own_slot

pytestmark = pytest.mark.integration


@pytest.mark.parametrize("task", ["asr", pytest.param("asv", marks=pytest.mark.slow)])
def test_a_champion_and_a_version_are_swept_once_and_kept(
    site: Site, mlflow_uri: str, tmp_path: Path, task: str, monkeypatch: pytest.MonkeyPatch, capfd: Any
) -> None:
    slot, client = own_slot(site, Slot("swept", task)), connect(mlflow_uri)
    shutil.copytree(site.workspace.root, tmp_path / "workspace")
    workspace = open_workspace(tmp_path / "workspace")
    with pytest.raises(RegistryError, match=f"{slot} has no champion to sweep; name a version"):
        sweep_slot(workspace, slot, SweepRequest(), mlflow_uri=mlflow_uri)
    with pytest.raises(UsageError, match="'cave' is not a family of the sweep; expected some of hall, talker"):
        sweep_slot(workspace, slot, SweepRequest(families=("cave",)), mlflow_uri=mlflow_uri)
    with monkeypatch.context() as missing:
        missing.setitem(sys.modules, "pyroomacoustics", None)
        with pytest.raises(ConfigError, match="pyroomacoustics, which is missing"):
            sweep_slot(workspace, slot, SweepRequest(), mlflow_uri=mlflow_uri)
    make_champion(client, bundles.add_bundle(client, slot, "k1", tmp_path))
    bundles.add_bundle(client, slot, "k2", tmp_path, silent=True)

    def sweep(**request: Any) -> tuple[Any, Path, list[str]]:
        lines: list[str] = []
        asked = SweepRequest(clips=6, families=("talker",), **request)
        found, folder = sweep_slot(workspace, slot, asked, mlflow_uri=mlflow_uri, log=lines.append)
        return found, folder, lines

    monkeypatch.setattr("pipelines.robustness.sweep_slot.SEVERITIES", (1, 4))
    first, _, lines = sweep()
    assert lines[1] == "0 of 3 results are kept from earlier sweeps"
    assert (first.clips, first.golden_clips > 6, [one.version for one in first.systems]) == (6, True, [1])
    # a sweep that was stopped after some results continues with the others
    kept = sorted((workspace.cache / "sweeps").iterdir())
    kept[0].write_text("{")
    both, folder, lines = sweep(version=2)
    assert lines[1] == "2 of 6 results are kept from earlier sweeps"
    assert [one.name for one in both.systems] == ["v1", "v2"]
    assert [cell.values[0] for cell in both.cells] == [cell.values[0] for cell in first.cells]
    assert all(cell.distance > 0 for cell in both.cells)
    (logged,) = client.search_runs(
        [client.get_experiment_by_name(slot.model_name).experiment_id], "tags.`elp.swept` = 'v1, v2'"
    )
    assert (logged.data.tags["elp.kind"], logged.data.tags["elp.slot"]) == ("sweep", str(slot))
    assert f"v2.talker.4.{both.metric}" in logged.data.metrics
    files = {Path(one.path).name for one in client.list_artifacts(logged.info.run_id, "sweep")}
    assert files == {"sweep.html", "sweep.ja.html", "sweep.json", "talker.png"}

    monkeypatch.setattr(sweep_cells, "answer_systems", lambda *_: pytest.fail("answered again"))
    monkeypatch.setattr("pipelines.local.addresses.mlflow_uri", lambda _: mlflow_uri)
    command = ["-w", str(workspace.root), "sweep", str(slot), "--clips", "6", "--family", "talker", "--version", "2"]
    assert run([*command, "--json"]) == 0
    shown = json.loads(capfd.readouterr().out)
    assert (shown["sweep"], shown["report"]) == (plain(both), str(folder / "sweep.html"))

    # while the site changes to another backbone, its versions are swept on their own one
    save_tiny(tmp_path / "other", "wavlm")
    with (workspace.root / "elp.yaml").open("a") as settings:
        settings.write(f"\nslots: {{{slot}: {{backbone: {tmp_path / 'other'}}}}}\n")
    assert run([*command, "--json"]) == 0
    assert json.loads(capfd.readouterr().out)["sweep"] == shown["sweep"]
