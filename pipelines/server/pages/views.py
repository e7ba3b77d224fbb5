"""The routes that show. Every page is read from the database at the moment it is asked for."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

import jinja2
from flask import Blueprint, Response, abort, make_response, request, url_for
from werkzeug.exceptions import HTTPException

from pipelines.errors import AttestationError
from pipelines.gating.plots import FILES
from pipelines.registry.ledger.entry import MOVES, LedgerEntry
from pipelines.registry.signing.canonical_json import parse_json as parse_json
from pipelines.registry.signing.envelope import verify
from pipelines.registry.signing.keys import key_folder, load_trusted_keys
from pipelines.registry.slot import Slot
from pipelines.server.auth import principal as who
from pipelines.server.overrides import override as overrides
from pipelines.server.pages import clip_pages as clips
from pipelines.server.pages import csrf as forgery
from pipelines.server.pages import lineage_boxes as lineage
from pipelines.server.pages.filters import FILTERS, parse
from pipelines.server.pages.headers import guarded
from pipelines.server.pages.lineage_layout import BOX_HEIGHT, BOX_WIDTH
from pipelines.server.pages.metric_chart import ChampionPeriod, Chart, Point, chart
from pipelines.server.read_models import dependents as shared
from pipelines.server.read_models import grid as grid_read
from pipelines.server.read_models import ledger_records as records
from pipelines.server.read_models import slot_page as slot_read
from pipelines.server.read_models.latest_runs import experiments
from pipelines.server.read_models.slot_page import SlotPage, VersionRow
from pipelines.server.stores import current as server

blueprint = Blueprint("elp_console", __name__, static_folder="static")
blueprint.after_request(guarded)

_FORM = dict.fromkeys(("kind", "version", "days", "again", "reason", "by"), "")
"""What the forms of a slot's page hold before anybody wrote something."""
_FRESH_SECONDS = 600
"""How long a link may say that something was done just now."""
WISHES = ("override asked", "override withdrawn")
"""Events of forms that leave the champion as it is."""


@blueprint.get("/")
def grid_page() -> Response:
    """Sites × tasks."""
    wanted = request.args.get("site", "").strip().lower()
    with server.registry().engine.connect() as registry, server.tracking().engine.connect() as tracking:
        page = grid_read.grid(registry, tracking)
    rows: dict[str, dict[str, grid_read.Cell]] = {}
    for cell in page.cells:
        rows.setdefault(cell.slot.site, {})[cell.slot.task] = cell
    return _page(
        "grid.html",
        page=page,
        wanted=wanted,
        rows=list(rows.items()),
        shown=sum(wanted in site for site in rows),
        champions=sum(cell.champion is not None for cell in page.cells),
    )


@blueprint.get("/slots/<site>/<task>")
def slot_page(site: str, task: str) -> Response:
    """One slot."""
    return show_slot(Slot(site, task))


def show_slot(slot: Slot, status: int = 200, refused: str = "", form: Mapping[str, str] | None = None) -> Response:
    """A slot's page, with what became of the form that was sent.

    Args:
        slot: The slot.
        status: Of the answer.
        refused: Why the form was refused, in a sentence.
        form: What the form held, to be shown again: `_FORM`.
    """
    with server.registry().engine.connect() as registry:
        page = slot_read.slot_page(registry, slot, request.args.get("before", type=int))
        row = page.row(request.args.get("version", type=int)) if page else None
        if page is None or (page.rows and row is None):
            abort(404)
        origin = slot_read.origin(registry, slot, row.version.version) if row else None
        done = _done(records.entry(registry, request.args.get("done", 0, type=int)), slot)
    with server.tracking().engine.connect() as tracking:
        links = lineage.Links(_prefix(), experiments(tracking, [row.version.run_id] if row else []))
    serving = page.champion.version if page.champion else None
    champion_row = page.row(serving) if serving else None
    reigns = _reigns(page)
    return _page(
        "slot.html",
        status=status,
        page=page,
        champion_row=champion_row,
        shown=row.version if row else None,
        judged=row.judged if row else None,
        origin=origin,
        picture=lineage.drawn(page, row, origin, links) if row else None,
        box_width=BOX_WIDTH,
        box_height=BOX_HEIGHT,
        changes=[(change, _judged(page, change.after)) for change in page.changes],
        chart=_chart(page, reigns),
        reigns=reigns,
        refused=refused,
        done=done,
        form={**_FORM, "days": str(overrides.USUAL_DAYS), **(form or {})},
        asked_here=page.override is not None and who.same_person(who.current_caller().name, page.override.asked_by),
        longest=overrides.LONGEST.days,
        **_evidence(row, links),
    )


@blueprint.get("/backbones/<fingerprint>")
def backbone_page(fingerprint: str) -> Response:
    """A backbone and everything that stands on it."""
    with server.registry().engine.connect() as registry:
        page = shared.backbone(registry, fingerprint, _first()) or abort(404)
    return _page("backbone.html", page=page, fingerprint=fingerprint)


@blueprint.get("/datasets/<path:tag>")
def dataset_page(tag: str) -> Response:
    """A dataset version or a golden set: what the signed records say of it, and what depends on it."""
    golden = tag.startswith("golden/")
    with server.registry().engine.connect() as registry:
        page = shared.dataset(registry, tag, _first()) or abort(404)
        found = clips.heard(registry, tag, page) if golden else None
    return _page(
        "dataset.html",
        page=page,
        tag=tag,
        golden=golden,
        facts=clips.facts(page, golden),
        slot=page.dependents[0].version.slot,
        heard=found,
    )


@blueprint.get("/statements/<digest>")
def statement_page(digest: str) -> Response:
    """A signed statement, verified while the page is made."""
    with server.registry().engine.connect() as registry:
        row = records.statement(registry, digest) or abort(404)
    fault = ""
    try:
        verify(row.envelope, load_trusted_keys(key_folder()), row.kind, recorded_at=row.at)
    except AttestationError as error:
        fault = str(error)
    text = json.dumps(parse_json(row.envelope.payload, "statement"), indent=2, ensure_ascii=False)
    return _page("statement.html", row=row, fault=fault, payload=text)


@blueprint.errorhandler(HTTPException)
def _not_there(error: HTTPException) -> Response:
    sentence = "The registry has no such slot, version, backbone, dataset or statement; look for it among the slots."
    told = sentence if error.code == 404 else error.description or ""
    return _page("error.html", status=error.code or 500, heading=error.name, sentence=told)


@blueprint.errorhandler(AttestationError)
def _damaged(error: AttestationError) -> Response:
    told = f"A record in the database cannot be read: {error}. Somebody changed it; find out with: elp audit --verify"
    return _page("error.html", status=500, heading="The records are damaged", sentence=told)


def _page(template: str, status: int = 200, **values: Any) -> Response:
    token = forgery.token(request)
    text = (
        _environment()
        .get_template(template)
        .render(
            **values,
            request=request,
            now=datetime.now(UTC),
            prefix=_prefix(),
            user=who.current_caller().name if who.login_on() else "",
            token=token,
            url_for=url_for,
        )
    )
    response = make_response(text, status)
    forgery.keep(request, response, token, f"{_prefix()}/elp")
    return response


@cache
def _environment() -> jinja2.Environment:
    made = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).with_name("templates")),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    made.filters |= FILTERS
    return made


def _first() -> int:
    return max(0, request.args.get("first", 0, type=int))


def _prefix() -> str:
    """What MLflow's pages and ours are under: `mlflow server --static-prefix`."""
    from mlflow.server.handlers import _add_static_prefix

    return str(_add_static_prefix(""))


def _done(entry: LedgerEntry | None, slot: Slot) -> LedgerEntry | None:
    """The entry of the form that was sent just now, if the address names one of this slot."""
    if entry is None or entry.slot != str(slot) or entry.event not in (*MOVES, *WISHES):
        return None
    return entry if (datetime.now(UTC) - parse(entry.at)).total_seconds() < _FRESH_SECONDS else None


def _judged(page: SlotPage, version: int | None) -> records.Judged | None:
    row = page.row(version) if version else None
    return row.judged if row else None


def _reigns(page: SlotPage) -> list[ChampionPeriod]:
    """Who served from when to when, at what value; oldest first."""
    found, end = [], None
    for change in page.changes:
        judged, begin = _judged(page, change.after), parse(change.at)
        if change.event != "retired" and judged and judged.statement.challenger is not None:
            found.append(ChampionPeriod(begin, end, judged.statement.challenger))
        end = begin
    return found[::-1]


def _chart(page: SlotPage, reigns: list[ChampionPeriod]) -> Chart | None:
    once = {change.after for change in page.changes}
    points = []
    for row in page.rows:
        told = row.judged.statement if row.judged else None
        if told is None or told.challenger is None or told.metric != page.metric:
            continue
        low, high = told.challenger_interval or (None, None)
        kind = "champion" if row.version.version in once else told.outcome
        label = f"v{row.version.version}: {FILTERS['percent'](told.challenger)}, {told.outcome}"
        bounds = (low, high) if low is not None and high is not None else None
        points.append(Point(parse(told.decided_at), told.challenger, bounds, label, kind))
    return chart(points, reigns, datetime.now(UTC))


def _evidence(row: VersionRow | None, links: lineage.Links) -> dict[str, Any]:
    """Addresses of the report and the plots of a version's verdict."""
    if row is None or row.judged is None or not row.version.run_id:
        return {"plots": [], "report": ""}
    told, run = row.judged.statement, row.version.run_id
    folder = told.evidence.path.rpartition("/")[0]
    plots = [
        {"title": title, "href": links.artifact(run, f"{folder}/{file}")} for file, title in FILES.get(told.metric, ())
    ]
    return {"plots": plots, "report": links.artifact_page(run, f"{folder}/report.html")}
