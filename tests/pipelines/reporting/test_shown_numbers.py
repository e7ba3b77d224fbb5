"""Every number on the pages for managers, computed here from the records by other arithmetic than the product's.

The sets are equal: a number that is on the page and in no record fails, and so does one that is missing.
"""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from scipy.stats import norm, t

from pipelines.local.settings import read_settings
from pipelines.local.workspace import Workspace
from pipelines.registry.client import runs
from pipelines.registry.client.connection import connect
from pipelines.registry.client.server_api import list_statements
from pipelines.registry.signing.envelope import read_envelope
from pipelines.registry.slot import Slot
from pipelines.reporting.poc_page import poc_page
from pipelines.reporting.poc_plan import make_poc_plan
from pipelines.reporting.site_page import site_page
from pipelines.reporting.site_report import SiteReport, make_site_report
from pipelines.texts.message_catalogue import LANGUAGES, texts
from tests.support.bundles import add_bundle
from tests.support.html import read_html
from tests.support.reported_site import write_compared
from tests.support.shown_numbers import length, people, shown_numbers, size, written
from tests.support.versions import GOLDEN, make_champion
from tests.support.workspaces import Site, own_slot

SHOWN = Slot("shown", "asr")
REPORT = """
report: {sites: 37, trainings: 7, new_audio_hours: 3, label_hours: 6.5, label_price: 31, compute_price: 1.7,
  storage_price: 0.09, people_hours: 16}
"""
SPENT = {"train_seconds": 5321.0, "bundle_bytes": 3_456_000.0, "backbone_parameters": 2_345_678.0, "before_wer": 0.93,
         "wer": 0.27}  # fmt: skip
NAME = "cc00000000000000"
"""Of the comparison; names that begin with a letter are no numbers."""


@dataclass(frozen=True)
class Recorded:
    """The records of a site as other programs read them, and the product's report on it."""

    report: SiteReport
    dataset: dict[str, Any]
    golden: dict[str, Any]
    stored: int
    """Bytes of the shards."""
    verdict: dict[str, Any]
    measured: dict[str, float]
    """Of the training, in MLflow."""
    compared: dict[str, Any]
    versions: int


@pytest.fixture(scope="module")
def recorded(site: Site, mlflow_uri: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Recorded]:
    """A slot with two champions one after the other, a comparison of methods, and prices of its own."""
    slot, client, place = own_slot(site, SHOWN), connect(mlflow_uri), site.workspace
    scratch = tmp_path_factory.mktemp("shown")
    for key in ("first", "second"):
        version = add_bundle(client, slot, key, scratch / key)
        runs.log_metrics(client, version.run_id, SPENT)
        champion = make_champion(client, version)
    own = {"slot": str(slot), "dataset": slot.tag(1), "golden": GOLDEN, "backbone": champion.backbone}
    # the workspace has an adapter configuration of its own
    write_compared(place.state, NAME, "slot", **own, fingerprint=champion.fingerprint)
    (stored,) = list_statements(mlflow_uri, model=slot.model_name, version=2, kind="verdict")
    folder = place.root / slot.folder
    shards = place.root / Slot("plant-a", "asr").folder / "shards"
    own_settings = read_settings((place.root / "elp.yaml").read_text() + REPORT)
    yield Recorded(
        make_site_report(replace(place, settings=own_settings), slot.site, mlflow_uri),
        json.loads((folder / "dataset.json").read_text()),
        json.loads((folder / "golden.json").read_text()),
        sum(path.stat().st_size for path in shards.iterdir()),
        json.loads(read_envelope(stored.envelope).payload)["predicate"],
        dict(client.get_run(champion.run_id).data.metrics),
        json.loads((place.state / "comparisons" / NAME / "compare.json").read_text()),
        len(client.search_model_versions(f"name = '{slot.model_name}'")),
    )
    shutil.rmtree(place.state / "comparisons" / NAME)


def _numbers_of_the_report(found: Recorded, language: str) -> set[str]:
    assumed = yaml.safe_load(REPORT)["report"]
    # the sentences count errors in 100 words
    numbers = {"100", *_day(found.report.made, language), *_recorded(found), *_gains(found), *_costs(found, assumed)}
    backbone, adapter = 4 * found.measured["backbone_parameters"], found.measured["bundle_bytes"]
    copies, shared = assumed["sites"] * backbone, backbone + assumed["sites"] * adapter
    checks = [*found.verdict["details"]["checks"], *found.verdict["details"]["slices"]]
    return numbers | {
        *(written(value, 2) for value in assumed.values()),
        written(copies / shared, 0 if copies / shared >= 3 else 1),
        *map(size, (copies, shared, backbone, adapter)),
        # tasks
        "1",
        *(str(len(some)) for some in (checks, [one for one in checks if one["outcome"] == "passed"])),
    }


def _day(moment: str, language: str) -> set[str]:
    year, month, day = moment[:10].split("-")
    return {year, str(int(day)), *([str(int(month))] if language == "ja" else [])}


def _recorded(found: Recorded) -> set[str]:
    data, golden = found.dataset, found.golden
    refused = data["quarantined"]
    groups = [held for values in data.get("groups", {}).values() for held in values.values()]
    return {
        length(data["seconds"]),
        written(100 * refused / (refused + data["clips"]), 1),
        *map(written, (data["clips"], data["speakers"], refused, golden["clips"], golden["speakers"])),
        *map(written, (*data["conditions"].values(), *groups, *data["quarantine"].values())),
    }


def _gains(found: Recorded) -> set[str]:
    verdict, by_method = found.verdict, {one["method"]: one["value"] for one in found.compared["methods"]}
    (pair,) = [
        one for one in found.compared["differences"] if (one["method"], one["other"]) == ("weighted-sum", "slot")
    ]
    frozen, adapter = by_method["weighted-sum"], by_method["slot"]
    low, high = verdict["interval"]
    shares = [verdict["challenger"], verdict["champion"], *(verdict["challenger_interval"] or ())]
    # over no adapter, over the champion before (of no clear difference: more and fewer), over no training
    shares += [frozen - adapter, frozen, adapter, pair["lower"], pair["upper"], max(0.0, high), max(0.0, -low)]
    shares += [found.measured["before_wer"], found.measured["wer"]]
    return {people(100 * share) for share in shares}


def _costs(found: Recorded, assumed: dict[str, float]) -> set[str]:
    seconds, adapter = found.measured["train_seconds"], found.measured["bundle_bytes"]
    hours = assumed["trainings"] * seconds / 3600
    people_hours = assumed["new_audio_hours"] * assumed["label_hours"]
    gigabytes = (found.versions * adapter + found.stored) / 1e9
    prices = (assumed["compute_price"], assumed["label_price"], 12 * assumed["storage_price"])
    costs = [amount * price for amount, price in zip((hours, people_hours, gigabytes), prices, strict=True)]
    return {
        *(written(amount, 1 if amount >= 1 else 3) for amount in (hours, people_hours, gigabytes)),
        *(written(price, 2) for price in prices),
        *(written(cost, 2 if cost < 10 else 0) for cost in costs),
        written(sum(costs)),
        length(seconds),
        size(adapter),
        size(found.stored),
        written(found.versions),
    }


@pytest.mark.integration
@pytest.mark.parametrize("language", LANGUAGES)
def test_the_numbers_of_the_report_are_those_of_its_records(recorded: Recorded, language: str) -> None:
    page = read_html(site_page(texts(language), recorded.report))
    assert shown_numbers(page) == _numbers_of_the_report(recorded, language)


@dataclass(frozen=True)
class Design:
    """What the plan assumes of a task, as docs/how-to/report.md and the page say."""

    clips: int
    seconds: float
    tokens: float
    spread: float
    closed: bool = False

    def power(self, target: float, blocks: int) -> float:
        """Return the chance that the upper end of the gate's interval is at most the target."""
        rate, clips = 0.75 * target, 1 if self.closed else self.clips
        spread, tokens = 0.0 if self.closed else self.spread, blocks * clips * self.tokens
        error = math.hypot(spread * rate / math.sqrt(blocks), math.sqrt(1.5 * rate * (1 - rate) / tokens))
        floor = math.sqrt(target * (1 - target) / tokens)
        half = max(t.ppf(0.975, blocks - 1) * error, t.ppf(0.975, blocks * clips - 1) * floor)
        return float(norm.cdf((target - rate - half) / error))


def _numbers_of_the_plan(design: Design, target: float, minutes: float, assumed: dict[str, float]) -> set[str]:
    golden = next(blocks for blocks in count(2) if design.power(target, blocks) >= 0.8)
    own = design.clips * design.seconds / 60
    if design.closed:
        parts = [minutes, golden * design.seconds / 60]
        audio, people_needed = sum(parts) + parts[1] / 2, [golden]
    else:
        train, validation = max(golden, math.ceil(minutes / own)), max(2, math.ceil(golden / 2))
        people_needed = [train, validation, golden, train + validation + golden]
        parts = [own * speakers for speakers in people_needed[:3]]
        audio = sum(parts)
    hours = audio / 60 * (1 + assumed["label_hours"])
    weeks = max(1, math.ceil(hours / assumed["people_hours"]))
    return {
        "100",
        # record, train and gate, perhaps once more, decide
        *(str(week) for week in (1, weeks, weeks + 1, weeks + 2, weeks + 3)),
        *(people(100 * share) for share in (target, 0.75 * target)),
        written(100 * design.power(target, golden), 1),
        # later versions: the margin of the gate
        "2",
        *map(written, people_needed),
        *(length(60 * part) for part in (*parts, audio, minutes)),
        written(hours),
        *(written(value, 1) for value in (design.clips, design.seconds, design.tokens, 100 * design.spread)),
        *(written(assumed[name], 1) for name in ("label_hours", "people_hours")),
    }


def _minutes(points: list[tuple[float, float]], error: float) -> float:
    """Minutes at which the straight line through logarithms reaches an error; ten at least."""
    slope, height = np.polyfit(np.log([minutes for minutes, _ in points]), np.log([value for _, value in points]), 1)
    return max(10.0, math.exp((math.log(error) - height) / slope))


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize(
    ("task", "data", "design", "target"),
    [
        ("asr", "{}", Design(40, 5.0, 8.0, 0.5), 0.12),
        ("asv", "{}", Design(12, 5.0, 5.5, 0.7), 0.1),
        ("sic", "{closed_set: true, split_by: clip}", Design(40, 3.0, 1.0, 0.5, closed=True), 0.15),
    ],
)
def test_the_numbers_of_the_plan_are_those_of_its_records(
    tmp_path: Path, language: str, task: str, data: str, design: Design, target: float
) -> None:
    slot = Slot("shown", task)
    settings = read_settings(f"{REPORT}slots: {{{slot}: {{data: {data}}}}}")
    workspace = Workspace(tmp_path, settings)
    if task == "sic":
        # that of docs/reference/benchmarks.md, which the page names with its end
        points, more = [(1.8, 0.323), (4.4, 0.217), (8.6, 0.147), (17.5, 0.107)], {"17.5"}
    else:
        metric = {"asr": "wer", "asv": "eer"}[task]
        write_compared(workspace.state, NAME, slot=str(slot), metric=metric)
        file = workspace.state / "comparisons" / NAME / "compare.json"
        points, more = [(one["minutes"], one["value"]) for one in json.loads(file.read_text())["curve"]], set()
    minutes = _minutes(points, 0.75 * target)
    page = read_html(poc_page(texts(language), make_poc_plan(workspace, slot, target), settings.report))
    expected = _numbers_of_the_plan(design, target, minutes, yaml.safe_load(REPORT)["report"]) | more
    # in Japanese, "an interval without zero" has the digit
    assert shown_numbers(page) == expected | ({"0"} if language == "ja" else set())
