from __future__ import annotations

import dataclasses

import click
import pytest

from pipelines.cli.run_panel import RunEnd
from pipelines.orchestration.run_outcome import RunOutcome, SlotRun, publish_outcome
from pipelines.registry.slot import Slot
from tests.support.outcomes import DATASET, JUDGED, REGISTERED

COSTS = {
    "wer": 0.1,
    "train_seconds": 250.4,
    "bundle_bytes": 2587683.0,
    "trainable_parameters": 646912.0,
    "backbone_parameters": 6469120.0,
}
TRAINED = dataclasses.replace(REGISTERED, metrics=COSTS)
COMPARED = dataclasses.replace(
    JUDGED,
    champion=4,
    verdict=dataclasses.replace(
        JUDGED.verdict,
        first_version=False,
        champion=0.142,
        delta=-0.042,
        interval=(-0.06, -0.021),
        reasons=("better than v4", "second", "third", "fourth"),
    ),
)
END = RunEnd("plant-a/asr", RunOutcome(DATASET, TRAINED, COMPARED), "http://ml:5000", "retrain: Completed in 5 s")


def test_in_a_pipe_the_panel_is_one_line_a_value() -> None:
    assert END.panel().splitlines() == [
        "plant-a/asr v5 passed the gate",
        "WER         champion v4 14.20 % → v5 10.00 % (5.00 % … 15.00 %)",
        "difference  −4.20 points (−6.00 points … −2.10 points), allowed +2.00 points",
        "why         better than v4",
        "            second",
        "            third",
        "            and 1 more reason in the report",
        "data        data/plant-a/asr/v2: 9 clips, 1 min 00 s, 3 speakers; 1 clip in quarantine",
        "cost        trained in 4 min 10 s, 2.59 MB, 646,912 parameters (10.00 % of a full copy)",
        "next        elp promote plant-a/asr",
        "console     http://ml:5000/elp/slots/plant-a/asr?version=5",
        "report      http://ml:5000/elp/slots/plant-a/asr/v5/report",
        "retrain: Completed in 5 s",
    ]


@pytest.mark.parametrize("width", [80, 120])
def test_on_a_terminal_it_is_a_frame_within_the_width(monkeypatch: pytest.MonkeyPatch, width: int) -> None:
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    monkeypatch.setenv("COLUMNS", str(width))
    monkeypatch.setenv("TERM", "xterm-256color")
    drawn = END.panel()
    lines = click.unstyle(drawn).splitlines()
    assert "\x1b[32m" in drawn
    assert lines[0].startswith("╭─ plant-a/asr v5 passed the gate ─")
    assert {len(line) for line in lines[:-1]} == {width}


def test_a_first_version_names_its_limit_and_a_promoted_one_needs_no_next_step() -> None:
    shown = dataclasses.replace(END, outcome=RunOutcome(DATASET, TRAINED, JUDGED, promoted=True)).panel()
    assert shown.startswith("plant-a/asr v5 passed the gate, and is the champion\n")
    assert "v5 10.00 % (5.00 % … 15.00 %); a first version, limit 50.00 %" in shown
    assert "elp promote" not in shown


def test_the_champion_is_not_proposed_for_promotion() -> None:
    serving = dataclasses.replace(JUDGED, serving=True, reused=True)
    shown = dataclasses.replace(END, outcome=RunOutcome(DATASET, TRAINED, serving)).panel()
    assert shown.startswith("plant-a/asr v5 passed the gate, and is the champion\n")
    assert "elp promote" not in shown


def test_the_panel_begins_with_the_untrained_model_if_it_was_measured() -> None:
    measured = dataclasses.replace(TRAINED, metrics={**COSTS, "before_wer": 0.983})
    lines = dataclasses.replace(END, outcome=RunOutcome(DATASET, measured, COMPARED)).panel().splitlines()
    assert lines[1] == "before      WER 98.30 % untrained → 10.00 % trained, on the validation split"
    assert lines[2].startswith("WER         champion v4")


def test_what_was_trained_before_cost_nothing() -> None:
    reused = dataclasses.replace(TRAINED, reused=True)
    shown = dataclasses.replace(END, outcome=RunOutcome(adapter=reused)).panel()
    assert shown.startswith("plant-a/asr v5 was trained before\nWER   10.00 % on the validation split\n")
    assert "nothing was trained: the registry has this training already, 2.59 MB" in shown


def test_without_a_server_the_report_is_a_file() -> None:
    assert "report      /e/report.html" in dataclasses.replace(END, mlflow="").panel()


def test_a_run_over_all_slots_lists_them() -> None:
    runs = (SlotRun("plant-a/asr", "Completed: all well"), SlotRun("b/asv", "Refused: worse"))
    shown = RunEnd("", RunOutcome(slots=runs), "", "done").panel()
    assert shown.splitlines() == [
        "all slots",
        "plant-a/asr  Completed: all well",
        "b/asv        Refused: worse",
        "done",
    ]


def test_an_empty_outcome_is_only_its_last_line() -> None:
    assert RunEnd("", RunOutcome(), "", "done").panel() == "all slots\ndone"


def test_the_table_in_prefect_has_units(monkeypatch: pytest.MonkeyPatch) -> None:
    tables: list[list[dict[str, str]]] = []
    monkeypatch.setattr("prefect.artifacts.create_table_artifact", lambda table, **_: tables.append(table))
    monkeypatch.setattr("prefect.artifacts.Artifact.create", lambda self: None)
    publish_outcome("retrain", Slot("plant-a", "asr"), END.outcome, "title")
    shown = {row["what"]: row["value"] for row in tables[0]}
    assert shown["training: bundle_bytes"] == "2.59 MB"
    assert shown["training: trainable_parameters"] == "646,912"
    assert (shown["challenger"], shown["champion"]) == ("10.00 %", "14.20 %")
