"""The report on a site and the plan of a proof of concept, written by the command line and looked at in a browser."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from tests.support.browser import Visit

SITE = "plant-a"


def show_manager_pages(visit: Visit, workspace: Path, language: str) -> None:
    """Write both pages, check the numbers that are shown, and keep their pictures."""
    file = workspace.parent / f"report-{language}.html"
    found = _elp(workspace, "report", SITE, "--language", language, "--out", file)["report"]
    visit.page.goto(file.as_uri())
    text = visit.page.inner_text("body")
    for slot in found["slots"]:
        site, task = slot["slot"]["site"], slot["slot"]["task"]
        recorded = _elp(workspace, "data", "show", f"{site}/{task}")
        assert f"{recorded['clips']:,}" in text
        verdict = slot["champion"]["verdict"] if slot["champion"] else None
        if verdict:
            assert slot["champion"]["digest"] in text
    visit.page.set_viewport_size({"width": 900, "height": 1250})
    visit.screenshot(f"report-{language}", whole=True)

    plan_file = workspace.parent / f"poc-{language}.html"
    plan = _elp(workspace, "poc", "plant-c", "--target", "0.2", "--language", language, "--out", plan_file)["plan"]
    visit.page.goto(plan_file.as_uri())
    text = visit.page.inner_text("body")
    assert f"{plan['train_speakers'] + plan['validation_speakers'] + plan['golden']:,}" in text
    visit.screenshot(f"poc-{language}", whole=True)


def _elp(workspace: Path, *arguments: str | Path) -> dict[str, Any]:
    elp = Path(sys.executable).with_name("elp")
    done = subprocess.run([elp, "-w", workspace, *arguments, "--json"], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    values: dict[str, Any] = json.loads(done.stdout)
    return values
