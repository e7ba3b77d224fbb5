"""The routes of the pages. Every page is read from the database when it is requested."""

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from flask import Blueprint, Response, abort, make_response, redirect, request

from pipelines.errors import AttestationError
from pipelines.registry.evidence_scores import PLOT_FILES
from pipelines.registry.ledger.entry import MOVES, LedgerEntry
from pipelines.registry.monitor_names import REPORTS, report_name
from pipelines.registry.signing.canonical_json import parse_json
from pipelines.registry.signing.envelope import read_envelope, verify
from pipelines.registry.signing.keys import key_folder, load_trusted_keys
from pipelines.registry.slot import Slot
from pipelines.server.auth.principal import current_caller, same_person
from pipelines.server.mlflow_private import static_prefix, tracking_store
from pipelines.server.overrides import LONGEST, USUAL_DAYS
from pipelines.server.pages.browser_security import add_headers
from pipelines.server.pages.counted_words import units_words
from pipelines.server.pages.data_access import data_root, speechless_requests
from pipelines.server.pages.dataset_facts import dataset_facts
from pipelines.server.pages.filters import parse_moment
from pipelines.server.pages.glossary import GLOSSARY
from pipelines.server.pages.golden_clips import newest_answers, wanted_rows
from pipelines.server.pages.lineage_picture import draw_lineage
from pipelines.server.pages.look_chart import LookChart
from pipelines.server.pages.metric_chart import Chart, ChartPoint, ChartStep
from pipelines.server.pages.page_language import page_texts
from pipelines.server.pages.rendering import render_page
from pipelines.server.pages.state_words import worded
from pipelines.server.read_models.decision import find_decision
from pipelines.server.read_models.dependents import backbone_dependents, dataset_dependents
from pipelines.server.read_models.flow_health import read_flow_health
from pipelines.server.read_models.grid import Cell, read_grid
from pipelines.server.read_models.health import health_items
from pipelines.server.read_models.mlflow_tables import experiment_of, run_metrics
from pipelines.server.read_models.serving_hosts import count_hosts, recorded_serving, reported_hosts
from pipelines.server.read_models.signed_records import RecordedLineage, RecordedVerdict, entry_at, statement_rows
from pipelines.server.read_models.site_audio import read_site_audio
from pipelines.server.read_models.site_boxes import boxes_of_slot, count_boxes, reported_boxes
from pipelines.server.read_models.slot_page import SlotPage, VersionRow, read_slot_page, version_lineage
from pipelines.server.stores.registry_store import registry
from pipelines.texts.message_catalogue import Texts
from pipelines.texts.rate_words import percent_words

blueprint = Blueprint("elp_console", __name__, static_folder="static")
blueprint.after_request(add_headers)

_FORM = dict.fromkeys(("kind", "version", "days", "again", "reason", "by"), "")
"""Fields of the forms of a slot's page, empty."""
_COSTED = 200
"""Versions, the newest first, whose cost is looked up."""
_FRESH_SECONDS = 600
"""How long a link may report what a form did."""
REQUESTS = ("override asked", "override withdrawn")
"""Events of forms that do not change the champion."""


@blueprint.get("/")
def grid_page() -> Response:
    """Show all slots by site and task."""
    wanted = request.args.get("site", "").strip().lower()
    with registry().engine.connect() as records, tracking_store().engine.connect() as runs:
        page, now = read_grid(records, runs), datetime.now(UTC)
        champions = {str(cell.slot): cell.champion for cell in page.cells if cell.champion is not None}
        boxes = reported_boxes(records, {slot: one.version for slot, one in champions.items()}, now)
        hosts = reported_hosts(records, champions, now)
    health = health_items(page, read_flow_health(now), [key_folder()], now, boxes, page_texts(request), hosts)
    rows: dict[str, dict[str, Cell]] = {}
    for cell in page.cells:
        rows.setdefault(cell.slot.site, {})[cell.slot.task] = cell
    return render_page(
        "grid.html",
        page=page,
        health=health,
        serving=recorded_serving(data_root()),
        hosts=count_hosts(hosts),
        serving_hosts=hosts,
        boxes=count_boxes(boxes),
        reported=boxes,
        wanted=wanted,
        rows=list(rows.items()),
        shown=sum(wanted in site for site in rows),
        champions=len(champions),
    )


@blueprint.get("/slots/<site>/<task>")
def slot_page(site: str, task: str) -> Response:
    """Show one slot."""
    return show_slot(Slot(site, task))


def show_slot(slot: Slot, status: int = 200, refused: str = "", form: Mapping[str, str] | None = None) -> Response:
    """Return a slot's page; after a refusal, with its sentence and the content of the form (`_FORM`)."""
    said = page_texts(request)
    with registry().engine.connect() as records:
        page = read_slot_page(records, slot, asked_number("before") or None, refusals="refusals" in request.args)
        row = page.row(request.args.get("version", type=int)) if page else None
        if page is None or (page.rows and row is None):
            abort(404)
        origin = version_lineage(records, slot, row.version.version) if row else None
        done = _done(entry_at(records, asked_number("done")), slot)
        served = page.champion.version if page.champion else None
        boxes = boxes_of_slot(records, slot, served, datetime.now(UTC))
    run = _run_page(row.version.run_id) if row else ""
    with tracking_store().engine.connect() as runs:
        metrics = run_metrics(runs, [one.version.run_id for one in page.rows[:_COSTED]])
        audio = read_site_audio(runs, slot)
    return render_page(
        "slot.html",
        status=status,
        page=page,
        decision=find_decision(page, metrics, said),
        champion_row=page.row(page.champion.version) if page.champion else None,
        shown=row.version if row else None,
        judged=row.judged if row else None,
        origin=origin,
        picture=draw_lineage(said, page, row, origin, static_prefix(), run) if row else None,
        changes=[(change, _judged(page, change.after)) for change in page.changes],
        chart=_chart(said, page),
        left_out=_left_out(page),
        boxes=boxes,
        written=_language(said, origin),
        logged=speechless_requests(slot, datetime.now(UTC)),
        audio=audio,
        look_chart=LookChart(audio.curves) if audio and audio.curves else None,
        reports=REPORTS,
        report_name=report_name,
        # the rule that refused does not know under which prefix the pages are
        refused=refused.replace(" /elp/slots/", f" {static_prefix()}/elp/slots/"),
        done=done,
        form={**_FORM, "days": str(USUAL_DAYS), **(form or {})},
        asked_here=page.override is not None and same_person(current_caller().name, page.override.asked_by),
        longest=LONGEST.days,
        **_evidence(row, run),
    )


@blueprint.get("/slots/<site>/<task>/v<int:version>/report")
def report_page(site: str, task: str, version: int) -> Response:
    """Redirect to the gate's report on a version, which is among the artifacts of its run."""
    with registry().engine.connect() as records:
        page = read_slot_page(records, Slot(site, task), None)
        row = page.row(version) if page else None
    report = _evidence(row, _run_page(row.version.run_id))["report"] if row else ""
    return make_response(redirect(report or abort(404)))


@blueprint.get("/glossary")
def glossary_page() -> Response:
    """Show the words of the pages in plain words."""
    return render_page("glossary.html", parts=GLOSSARY)


@blueprint.get("/backbones/<fingerprint>")
def backbone_page(fingerprint: str) -> Response:
    """Show a backbone and the adapters on it."""
    with registry().engine.connect() as records:
        page = backbone_dependents(records, fingerprint, asked_number("first")) or abort(404)
    return render_page("backbone.html", page=page, fingerprint=fingerprint)


@blueprint.get("/datasets/<path:tag>")
def dataset_page(tag: str) -> Response:
    """Show a dataset version or a golden set: what the signed records say of it, and the adapters that depend on it."""
    golden, said = tag.startswith("golden/"), page_texts(request)
    with registry().engine.connect() as records:
        page = dataset_dependents(records, tag, asked_number("first")) or abort(404)
        table = newest_answers(said, records, tag, page, wanted_rows(request.args)) if golden else None
    return render_page(
        "dataset.html",
        page=page,
        tag=tag,
        golden=golden,
        facts=dataset_facts(said, page, golden),
        slot=page.dependents[0].version.slot,
        table=table,
    )


@blueprint.get("/statements/<digest>")
def statement_page(digest: str) -> Response:
    """Show a signed statement, verified while the page is made."""
    with registry().engine.connect() as records:
        [row, *_] = statement_rows(records, {"digest": digest}) or abort(404)
    envelope, fault = read_envelope(row.envelope), ""
    try:
        verify(envelope, load_trusted_keys(key_folder()), row.kind, recorded_at=row.at)
    except AttestationError as error:
        fault = str(error)
    text = json.dumps(parse_json(envelope.payload, "statement"), indent=2, ensure_ascii=False)
    return render_page("statement.html", row=row, envelope=envelope, fault=fault, payload=text)


def asked_number(name: str) -> int:
    """Return a number of the address, 0 without one, at most a thousand million: databases refuse larger ones."""
    return min(max(0, request.args.get(name, 0, type=int)), 10**9)


def _run_page(run: str) -> str:
    """Return the address of a run in MLflow's own pages; empty without a run."""
    if not run:
        return ""
    with tracking_store().engine.connect() as runs:
        experiment = experiment_of(runs, run)
    return (
        f"{static_prefix()}/#/experiments/{experiment}/runs/{run}" if experiment else f"{static_prefix()}/#/runs/{run}"
    )


def _done(entry: LedgerEntry | None, slot: Slot) -> LedgerEntry | None:
    """Return the ledger entry of the form that was sent just now, if the address names one of this slot."""
    if entry is None or entry.slot != str(slot) or entry.event not in (*MOVES, *REQUESTS):
        return None
    return entry if (datetime.now(UTC) - parse_moment(entry.at)).total_seconds() < _FRESH_SECONDS else None


def _judged(page: SlotPage, version: int | None) -> RecordedVerdict | None:
    row = page.row(version) if version else None
    return row.judged if row else None


def _periods(page: SlotPage) -> list[ChartStep]:
    """Return the champions with the value of their newest verdict, oldest first."""
    found, end = [], None
    for change in page.changes:
        judged, begin = _judged(page, change.after), parse_moment(change.at)
        value = judged.statement.challenger if judged and page.comparable(judged) else None
        if change.event != "retired" and value is not None:
            found.append(ChartStep(begin, end, value))
        end = begin
    return found[::-1]


def _chart(said: Texts, page: SlotPage) -> Chart | None:
    """Return the chart of the verdicts by the slot's present metric and normaliser; None without any."""
    former = {change.after for change in page.changes}
    points = []
    for row in page.rows:
        if row.judged is None or row.judged.statement.challenger is None or not page.comparable(row.judged):
            continue
        verdict = row.judged.statement
        assert verdict.challenger is not None
        low, high = verdict.challenger_interval or (None, None)
        kind = "champion" if row.version.version in former else verdict.outcome
        label = f"v{row.version.version}: {percent_words(said, verdict.challenger)}, {worded(said, verdict.outcome)}"
        bounds = (low, high) if low is not None and high is not None else None
        points.append(ChartPoint(parse_moment(verdict.decided_at), verdict.challenger, bounds, label, kind))
    numbered = said.language != "en"
    return Chart(points, _periods(page), datetime.now(UTC), numbered) if points else None


def _left_out(page: SlotPage) -> int:
    """Return the number of verdicts that the chart cannot show."""
    return sum(row.judged is not None and not page.comparable(row.judged) for row in page.rows)


def _language(said: Texts, origin: RecordedLineage | None) -> str:
    """Return what the head of a version writes, such as ``ja in 31 characters``; empty for English letters."""
    found = origin.statement.language if origin else None
    if not found or not found.code:
        return ""
    return said.say("%(code)s in %(units)s", code=found.code, units=units_words(said, found.size, found.kind))


def _evidence(row: VersionRow | None, run: str) -> dict[str, Any]:
    """Return the addresses of the report and the plots of a version's verdict, whose run has the page `run`."""
    if row is None or row.judged is None or not run:
        return {"plots": [], "report": ""}
    verdict = row.judged.statement
    folder = verdict.evidence.path.rpartition("/")[0]
    artifacts = f"{static_prefix()}/get-artifact?run_uuid={row.version.run_id}&path={folder}"
    plots = [{"title": title, "href": f"{artifacts}/{file}"} for file, title in PLOT_FILES.get(verdict.metric, ())]
    return {"plots": plots, "report": f"{run}/artifacts/{folder}/report.html"}
