"""A report from a real server: every number is computed again from its source."""

from __future__ import annotations

import json

import pytest

from pipelines.cli.main import run
from pipelines.datasets.dataset_version import SHARDS
from pipelines.errors import UsageError
from pipelines.registry.client import runs
from pipelines.registry.client.connection import connect
from pipelines.registry.client.server_api import list_statements
from pipelines.registry.signing.envelope import read_envelope
from pipelines.registry.slot import Slot
from pipelines.registry.verdict_statement import stored_verdict
from pipelines.reporting.site_report import make_site_report
from tests.support.bundles import add_bundle
from tests.support.versions import make_champion, record_verdict
from tests.support.workspaces import Site, own_slot

pytestmark = pytest.mark.integration
METRICS = {"train_seconds": 120.0, "bundle_bytes": 4e6, "backbone_parameters": 1e6, "before_wer": 1.0, "wer": 0.25}


def test_every_number_is_that_of_its_source(site: Site, mlflow_uri: str, tmp_path, monkeypatch, capsys) -> None:
    slot, client, place = own_slot(site, Slot("reported", "asr")), connect(mlflow_uri), site.workspace
    for key in ("first", "second"):
        version = add_bundle(client, slot, key, tmp_path / key)
        runs.log_metrics(client, version.run_id, METRICS)
        champion = make_champion(client, version)
    third = record_verdict(client, add_bundle(client, slot, "third", tmp_path / "third"), "undecided", champion)

    report = make_site_report(place, "reported", mlflow_uri)
    (found,) = report.slots
    assert (found.champion and found.champion.version.version) == 2
    assert (found.contender and found.contender.version.version) == third.version

    wanted = {"model": slot.model_name, "version": 2, "kind": "verdict"}
    (stored,) = list_statements(mlflow_uri, **wanted)
    signed, (former, trained) = stored_verdict(read_envelope(stored.envelope).payload), found.gains
    assert signed.interval is not None
    assert (former.source, former.before, former.after) == (stored.digest, signed.champion, signed.challenger)
    assert (former.lower, former.upper) == (-signed.interval[1], -signed.interval[0])
    assert (trained.before, trained.after) == (METRICS["before_wer"], METRICS["wer"])

    record = json.loads((place.root / slot.folder / "dataset.json").read_text())
    audio = found.recorded
    assert audio is not None
    assert (audio.clips, audio.seconds, audio.speakers) == (record["clips"], record["seconds"], record["speakers"])
    shards = place.root / Slot("plant-a", "asr").folder / SHARDS
    assert audio.stored_bytes == sum(path.stat().st_size for path in shards.iterdir())

    training, labelling, storage = report.costs
    assert training.amount == pytest.approx(120.0 * 12 / 3600)
    assert labelling.cost == pytest.approx(5 * 5 * 40)
    assert storage.amount == pytest.approx((3 * 4e6 + audio.stored_bytes) / 1e9)
    assert report.copies is not None
    assert report.copies.copies_bytes == 50 * 4e6
    assert report.copies.adapters_bytes == 4e6 + 50 * 4e6

    with pytest.raises(UsageError, match="elsewhere has no dataset version and no adapter"):
        make_site_report(place, "elsewhere", mlflow_uri)

    monkeypatch.setattr("pipelines.local.addresses.mlflow_uri", lambda workspace: mlflow_uri)
    page = tmp_path / "page.html"
    assert run(["-w", str(place.root), "report", "reported", "--language", "ja", "--out", str(page), "--json"]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert shown["report"]["slots"][0]["gains"][0]["source"] == stored.digest
    assert "直前のチャンピオン（v1）" in page.read_text(encoding="utf-8")
