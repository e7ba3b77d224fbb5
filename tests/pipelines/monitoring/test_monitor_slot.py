from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import requests

from elp_core.audio import clip_id, load
from pipelines.cli.main import run
from pipelines.errors import RegistryError, UsageError
from pipelines.monitoring.block_scores import BlockScores
from pipelines.monitoring.look_list import monitor_folder, recorded_looks
from pipelines.monitoring.look_report import estimate_text
from pipelines.monitoring.reference_record import ReferenceSource, load_reference, make_reference, save_reference
from pipelines.registry.client.connection import connect
from pipelines.registry.client.model_registry import find_champion
from pipelines.registry.slot import Slot
from pipelines.request_log.log_file import add_requests, log_path, opened_log
from pipelines.request_log.served_request import ServedRequest
from tests.docs.pages import fences
from tests.support.deliveries import write_manifest
from tests.support.scored_clips import SOURCE, scored_clips
from tests.support.served_requests import served
from tests.support.watched_slot import Watched, watched_slot, write_sessions

pytestmark = pytest.mark.integration

SLOT = Slot("watched", "asr")


@pytest.fixture(scope="module")
def watched(tmp_path_factory: pytest.TempPathFactory, mlflow_uri: str) -> Watched:
    return watched_slot(tmp_path_factory.mktemp("watched"), mlflow_uri, SLOT)


@pytest.fixture(autouse=True)
def _never_looked_at(request: pytest.FixtureRequest) -> None:
    """Forget the looks of other tests."""
    if "watched" in request.fixturenames:
        workspace = request.getfixturevalue("watched").workspace
        shutil.rmtree(monitor_folder(workspace.state, SLOT), ignore_errors=True)


def test_a_site_like_its_golden_set_and_then_with_noise(
    watched: Watched, tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    quiet = watched.look(write_sessions(tmp_path / "quiet", 0, 4))
    assert (quiet.look.blocks, quiet.look.alarm_since, quiet.look.reference_blocks) == (4, "", 9)
    assert {move.name for move in quiet.look.moves} == {
        "distance", "confidence", "blank_share", "snr_db", "level_db", "seconds"
    }  # fmt: skip
    assert quiet.look.estimate.reason == "the reference has 9 blocks, 20 are needed"
    folder = monitor_folder(watched.workspace.state, SLOT)
    (reference,) = (folder / "references").iterdir()
    # an untrained adapter has errors on every speaker of the golden set
    assert min(json.loads((reference / "reference.json").read_text())["errors"]) > 0
    measured = (reference / "reference.json").stat().st_mtime_ns

    # the command: prints what moved, and ends with the code of an alarm
    monkeypatch.setenv("ELP_WORKSPACE", str(watched.workspace.root))
    noisy = write_sessions(tmp_path / "noisy", 20, 18, noise=0.1)
    assert run(["monitor", str(SLOT), "--from", str(noisy)]) == 4
    shown = capfd.readouterr().out
    assert "watched/asr: alarm: " in shown
    assert "signal-to-noise ratio" in shown.splitlines()[0]
    assert "18 new blocks of 36 recordings" in shown
    assert "9 blocks; with fewer than 30, many changes are found late" in shown
    assert (reference / "reference.json").stat().st_mtime_ns == measured

    # the same sessions again count nothing, and the alarm stays
    again = watched.look(noisy)
    assert (again.look.blocks, again.look.known) == (0, 18)
    assert again.look.alarm_since

    client = connect(watched.uri)
    experiment = client.get_experiment_by_name("monitor.watched.asr")
    (logged,) = client.search_runs([experiment.experiment_id])
    assert logged.data.tags["elp.found"].startswith("alarm: ")
    page = requests.get(f"{watched.uri}/elp/slots/{SLOT}", timeout=60).text
    assert f'<span class="alarm">{logged.data.tags["elp.found"]}</span>' in page
    assert f"/runs/{logged.info.run_id}/artifacts/monitor/look-00003.html" in page
    assert page.count('<polyline class="curve ') == 6
    assert "3 looks; an alarm is at 100 %. At the last one: " in page
    assert "not known: the reference has 9 blocks, 20 are needed" in page
    assert re.search(r"<td class=.n.>[0-9.]+ dB to [0-9.]+ dB</td>", page)
    assert {point.step for point in client.get_metric_history(logged.info.run_id, "evidence.snr_db")} == {1, 2, 3}
    pages = [file.path for file in client.list_artifacts(logged.info.run_id, "monitor")]
    assert [len(pages), pages[-2:]] == [6, ["monitor/look-00003.html", "monitor/look-00003.ja.html"]]

    assert run(["monitor", str(SLOT), "--restart", "--reason", "a new press, expected"]) == 0
    assert run(["monitor", str(SLOT)]) == 0
    listed = capfd.readouterr().out
    assert "a new press, expected" in listed
    assert [entry["kind"] for entry in recorded_looks(folder)] == ["look", "look", "look", "restart"]
    assert run(["monitor", str(SLOT), "--json"]) == 0
    assert len(json.loads(capfd.readouterr().out)) == 4


def test_a_golden_set_of_many_blocks_gives_an_estimate(watched: Watched, tmp_path: Path) -> None:
    sent = write_sessions(tmp_path / "sent", 0, 4)
    watched.look(sent)
    folder = monitor_folder(watched.workspace.state, SLOT)
    (kept,) = (folder / "references").iterdir()
    source = ReferenceSource(**json.loads((kept / "reference.json").read_text())["source"])
    record = load_reference(folder / "references", source)
    # as if the golden set had three times as many speakers, in a wider range
    blocks = [
        BlockScores(f"{one.block} {factor}", one.clips, {name: factor * value for name, value in one.scores.items()})
        for factor in (0.6, 1.0, 1.6)
        for one in record.blocks
    ]
    save_reference(folder / "references", replace(record, blocks=tuple(blocks), errors=record.errors * 3))
    for forgotten in ("state.json", "looks.jsonl"):
        (folder / forgotten).unlink()
    estimate = watched.look(sent).look.estimate
    assert min(record.errors) <= estimate.value <= max(record.errors)
    assert 0 <= estimate.low <= estimate.value <= estimate.high <= 1
    page = requests.get(f"{watched.uri}/elp/slots/{SLOT}", timeout=60).text
    assert estimate_text(estimate) in page


def test_the_commands_of_the_page_run(
    watched: Watched, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("ELP_WORKSPACE", str(watched.workspace.root))
    monkeypatch.chdir(tmp_path)
    write_sessions(tmp_path / "recordings", 60, 2)
    rows = [{"audio_filepath": f"recordings/session-60/{take}.wav", "call": "one"} for take in range(2)]
    write_manifest(tmp_path, rows, "sent.jsonl")
    write_manifest(tmp_path, [row | {"text": "stop"} for row in rows], "labels.jsonl")
    # those of the schedules have a test with Prefect
    every = [line for fence in fences("sh") if fence.page == "monitor.md" for line in fence.commands]
    lines = [line for line in every if line.startswith("elp monitor")]
    assert len(lines) == 7
    for line in lines:
        words = shlex.split(line.replace("plant-a/asr", str(SLOT)))
        assert words[0] == "elp"
        assert run(words[1:]) == 0, (line, capfd.readouterr().err)
    assert "new microphones since Monday" in str(list(recorded_looks(monitor_folder(watched.workspace.state, SLOT))))


def test_references_that_arrive_later_bound_the_error(
    watched: Watched, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    place = ["-w", str(watched.workspace.root)]
    write_sessions(tmp_path / "sent", 70, 3)
    rows = [
        {"audio_filepath": f"sent/session-{session}/{take}.wav", "session": session, "text": "Close the valve!"}
        for session in (70, 71, 72)
        for take in range(2)
    ]
    # of session 71 the clip with the lower identifier comes later: the session has grown then, and is no new one
    last = max(rows[2:4], key=lambda row: clip_id(load(tmp_path / str(row["audio_filepath"]))))
    manifest = write_manifest(tmp_path, [*rows[:2], last], "labels.jsonl")
    assert run(["monitor", str(SLOT), "--labels", str(manifest), *place]) == UsageError.exit_code
    assert "was not monitored yet" in capfd.readouterr().err
    watched.look(tmp_path / "sent")
    assert run(["monitor", str(SLOT), "--labels", str(manifest), "--json", *place]) == 0
    first = json.loads(capfd.readouterr().out)
    assert (first["metric"], first["added"], first["known"], first["bound"]["sessions"]) == ("wer", 2, 0, 2)
    # an untrained adapter: at least one word is wrong in each clip
    assert first["bound"]["mean"] > 0.3
    assert first["bound"]["low"] < first["bound"]["mean"] < first["bound"]["high"] + 1e-9
    write_manifest(tmp_path, rows, "labels.jsonl")
    assert run(["monitor", str(SLOT), "--labels", str(manifest), *place]) == 0
    assert "95 % interval at every look" in capfd.readouterr().out
    assert [len(one["rates"]) for one in list(recorded_looks(monitor_folder(watched.workspace.state, SLOT)))[1:]] == [
        2,
        1,
    ]
    write_manifest(tmp_path, [rows[0] | {"text": ""}], "labels.jsonl")
    assert run(["monitor", str(SLOT), "--labels", str(manifest), *place]) == UsageError.exit_code
    assert "has no text; every line of the manifest needs one" in capfd.readouterr().err


def test_a_slot_without_champion_is_refused(watched: Watched, tmp_path: Path) -> None:
    with pytest.raises(RegistryError, match="nobody/asr has no champion to monitor with"):
        watched.look(write_sessions(tmp_path, 0, 1), Slot("nobody", "asr"))


def test_usage(watched: Watched, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("ELP_WORKSPACE", str(watched.workspace.root))
    assert run(["monitor", "other/asr"]) == 0
    assert "other/asr was not monitored yet" in capfd.readouterr().out
    assert run(["monitor", "other/asr", "--restart", "--reason", "x"]) == UsageError.exit_code
    assert run(["monitor", "other/asr", "--restart"]) == UsageError.exit_code
    assert run(["monitor", "other/asr", "--reason", "x"]) == 2
    assert run(["monitor", "other/asr", "--restart", "--from", "x"]) == 2
    assert run(["monitor", "other/asr", "--retrain"]) == 2
    assert "other/asr has no source of audio" in capfd.readouterr().err


def test_without_a_source_a_look_takes_what_the_champion_has_served(
    watched: Watched, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    place = ["-w", str(watched.workspace.root)]
    champion = find_champion(connect(watched.uri), SLOT)
    watched.look(write_sessions(tmp_path, 80, 1))
    (reference,) = (monitor_folder(watched.workspace.state, SLOT) / "references").iterdir()
    usual = tuple(np.load(reference / "distance.npz")["mean"].astype(np.float32).tolist())
    values = {"confidence": 0.5, "blank_share": 0.5, "snr_db": 20.0, "level_db": -20.0, "seconds": 0.4}

    def request(number: int, **changes: Any) -> tuple[ServedRequest, None]:
        common = {"bundle": champion.bundle_digest, "measurements": values, "features": usual}
        return served(number, SLOT, **{**common, "session": f"call-{number // 2}", **changes}), None

    requests_of = [request(number) for number in range(8)]
    requests_of += [request(20, bundle="sha256:other"), request(21, session="", speaker=""), request(22, features=())]
    path = log_path(watched.workspace.state, SLOT)
    try:
        with opened_log(path, create=True) as db:
            add_requests(db, requests_of)
        # an alarm or none: the four sessions are all alike
        assert run(["monitor", str(SLOT), "--json", *place]) in (0, 4)
        said = capfd.readouterr()
        assert (json.loads(said.out)["look"]["blocks"], json.loads(said.out)["look"]["clips"]) == (4, 8)
        assert "8 logged requests of" in said.err
        assert "1 request of other versions left out" in said.err
        assert "1 request without a session or speaker left out" in said.err
        assert "1 request without speech (10.00 %) left out" in said.err
        assert run(["monitor", str(SLOT), "--list", "--json", *place]) == 0
        assert [entry["blocks"] for entry in json.loads(capfd.readouterr().out)] == [1, 4]
        # what was counted is counted once
        assert run(["monitor", str(SLOT), "--json", *place]) in (0, 4)
        assert json.loads(capfd.readouterr().out)["look"]["known"] == 4
    finally:
        shutil.rmtree(path.parent)


@pytest.mark.parametrize("point", ["file state.json", "look of the monitor"])
@pytest.mark.parametrize("side", ["before", "after"])
def test_a_look_that_was_killed_counts_once(tmp_path: Path, point: str, side: str) -> None:
    save_reference(
        tmp_path / "references", make_reference(SOURCE, scored_clips(20, "golden"), scored_clips(20, "usual"))
    )
    script = (
        "import sys; from pathlib import Path; from tests.support.scored_clips import SOURCE, scored_clips;"
        "from pipelines.monitoring.monitor_slot import count_scored_clips;"
        "from pipelines.monitoring.reference_record import load_reference;"
        "folder = Path(sys.argv[1]); record = load_reference(folder / 'references', SOURCE);"
        "count_scored_clips(folder, record, scored_clips(4, 'sent'), 0.05)"
    )
    root = str(Path(__file__).resolve().parents[3])

    def look(**extra: str) -> int:
        environment = {**os.environ, "PYTHONPATH": root, **extra}
        return subprocess.run([sys.executable, "-c", script, str(tmp_path)], env=environment, cwd=root).returncode

    assert look(ELP_FAIL_POINT=f"{side} {point}") == -9
    assert look() == 0
    entries = list(recorded_looks(tmp_path))
    assert sum(entry["blocks"] for entry in entries) == 4
    assert [entry["number"] for entry in entries] == list(range(1, len(entries) + 1))
