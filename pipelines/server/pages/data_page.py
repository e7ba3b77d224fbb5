"""The routes of the pages about recordings: a slot's data, its quarantine, one clip, and the Data Docs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from flask import Response, abort, make_response, request, url_for
from werkzeug.security import safe_join

from pipelines.registry.adapter_version import AdapterVersion, Tags
from pipelines.registry.slot import Slot
from pipelines.server.auth.principal import READ, authorize
from pipelines.server.pages.change_words import change_words
from pipelines.server.pages.data_access import clip_id, data_root, open_data, read_slot
from pipelines.server.pages.histogram_chart import HistogramChart
from pipelines.server.pages.page_language import page_texts
from pipelines.server.pages.rendering import render_page
from pipelines.server.pages.sounds import sound_response
from pipelines.server.pages.views import asked_number, blueprint
from pipelines.server.read_models import mlflow_tables
from pipelines.server.refusal import Attempt
from pipelines.server.stores.registry_store import registry

_SHOWN = 50
"""Clips on one page."""
_LISTED = 15
"""Speakers, labels and versions that a table lists."""
_CHOICES = 500
"""Names up to which a filter offers them in a list."""
_KINDS = ("speaker", "label", "condition", "group")
_FILTERS = ("split", *_KINDS, "text", "order")
_DOCS_POLICY = (
    "default-src 'none'; style-src 'unsafe-inline'; img-src 'self' data:; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'self'"
)
"""The Data Docs have their styles inside the pages, and no scripts."""


@dataclass(frozen=True)
class Pager:
    """The part of a list that a page shows."""

    first: int
    shown: int
    total: int
    query: Mapping[str, Any]
    """Of the address of the page, without the place."""

    @property
    def earlier(self) -> int | None:
        """First place of the page before; None on the first page."""
        return max(0, self.first - _SHOWN) if self.first else None

    @property
    def further(self) -> int | None:
        """First place of the next page; None on the last page."""
        return self.first + self.shown if self.first + self.shown < self.total else None

    def link(self, first: int) -> str:
        """Return the address of the page that begins at a place."""
        assert request.endpoint
        return url_for(request.endpoint, **(request.view_args or {}), **self.query, first=first or None) + "#clips"


@blueprint.get("/data/")
def slots_page() -> Response:
    """List the slots of the workspace that have data, those without an adapter, too."""
    root = data_root() or abort(404)
    authorize(READ, Attempt("list the slots with data"))
    from pipelines.datasets.data_slots import slots_with_data

    return render_page("data_slots.html", slots=slots_with_data(root))


@blueprint.get("/data/<site>/<task>")
def data_page(site: str, task: str) -> Response:
    """Show a dataset version of a slot: the newest, or that of ``?version=N``."""
    slot = read_slot(site, task)
    data = open_data(slot, request.args.get("version", type=int)) if _asked_well() else abort(404)
    if data is None:
        return render_page(
            "data.html", status=200 if data_root() is None else 404, slot=slot, data=None, tags=_tags(slot)
        )
    from pipelines.datasets.clip_table import ORDERS, ClipFilter

    said = page_texts(request)
    query = {name: request.args.get(name, "")[:200] for name in _FILTERS if request.args.get(name)}
    first, clips = asked_number("first"), data.clips
    total, rows = clips.page(ClipFilter(**query), first, _SHOWN)
    version = {} if data.shown is data.newest else {"version": data.shown.version}
    figures = clips.figures
    names = {kind: getattr(figures, f"{kind}s") for kind in _KINDS}
    return render_page(
        "data.html",
        slot=slot,
        data=data,
        figures=figures,
        charts=[(one, HistogramChart(one.first, one.step, one.counts)) for one in figures.histograms],
        names=names,
        listed=_LISTED,
        choices={
            kind: [line.name for line in sorted(lines, key=lambda line: line.name)] if len(lines) <= _CHOICES else None
            for kind, lines in names.items()
        },
        orders=list(ORDERS),
        changes=[(one, change_words(said, one)) for one in reversed(data.newest.deliveries)],
        everything="versions" in request.args,
        reasons=_reasons(data),
        clips=rows,
        hidden=clips.hidden,
        wanted=ClipFilter(**query),
        pager=Pager(first, len(rows), total, {**version, **query}),
        docs=_docs_folder(slot),
        adapters=_adapters([data.shown.tag]),
        gated=bool(data.shown.golden and _adapters([data.shown.golden], Tags.GOLDEN)),
    )


@blueprint.get("/data/<site>/<task>/quarantine")
def quarantine_page(site: str, task: str) -> Response:
    """Show the clips in quarantine, of one reason with ``?reason=``."""
    slot = read_slot(site, task)
    data = open_data(slot) or abort(404)
    reason, first = request.args.get("reason", "")[:200], asked_number("first")
    found = [clip for clip in data.quarantine if reason in ("", clip.reason)]
    rows = found[first : first + _SHOWN]
    return render_page(
        "quarantine.html",
        slot=slot,
        data=data,
        reasons=_reasons(data),
        reason=reason,
        clips=rows,
        pager=Pager(first, len(rows), len(found), {"reason": reason} if reason else {}),
    )


@blueprint.get("/data/<site>/<task>/quarantine/<key>/sound")
def quarantined_sound(site: str, task: str, key: str) -> Response:
    """Answer the sound of a clip in quarantine, if it can be read."""
    key, slot = clip_id(key), read_slot(site, task)
    data = open_data(slot)
    return sound_response(data.quarantined_wav(key) if data else None)


@blueprint.get("/data/<site>/<task>/clips/<clip>")
def clip_page(site: str, task: str, clip: str) -> Response:
    """Show one clip: what was measured, and its history."""
    clip, slot = clip_id(clip), read_slot(site, task)
    data = open_data(slot) or abort(404)
    if clip in data.dropped:
        said = page_texts(request)
        text = said.say(
            "This clip was dropped from %(slot)s: nothing of it is shown, and no later delivery brings it back.",
            slot=slot,
        )
        return render_page("error.html", status=410, heading=said.say("Dropped"), sentence=text)
    history = data.history(clip) or abort(404)
    return render_page(
        "clip.html", slot=slot, data=data, clip=history.clip, history=history, adapters=_adapters(history.learned)
    )


@blueprint.get("/data/<site>/<task>/docs/<path:page>")
def data_docs(site: str, task: str, page: str) -> Response:
    """Answer a page of the Data Docs, which Great Expectations wrote at intake."""
    folder = _docs_folder(read_slot(site, task))
    path = safe_join(str(folder), page) if folder else None
    if path is None or not path.endswith(".html") or not Path(path).is_file():
        abort(404)
    response = make_response(Path(path).read_bytes())
    response.headers["Content-Security-Policy"] = _DOCS_POLICY
    return response


def _docs_folder(slot: Slot) -> Path | None:
    """Return the folder of a slot's Data Docs if it has any."""
    root = data_root()
    folder = root / ".elp" / "data-docs" / slot.site / slot.task if root else None
    return folder if folder and (folder / "index.html").is_file() else None


def _asked_well() -> bool:
    """Return whether the version in the address, if there is one, is a number."""
    version = request.args.get("version")
    return version is None or (version.isascii() and version.isdecimal() and len(version) < 10)


def _reasons(data: Any) -> list[tuple[str, int, str]]:
    """Return each reason in quarantine with its number of clips and its rule in words, the most frequent first."""
    from pipelines.datasets.quarantine_page import count_by_reason

    rules: dict[str, list[str]] = {}
    for rule in data.newest.validation.rules:
        rules.setdefault(rule.reason, []).append(rule.expects)
    counted = count_by_reason(data.quarantine).items()
    return [(reason, number, " and ".join(rules.get(reason, ()))) for reason, number in counted]


def _tags(slot: Slot) -> list[str]:
    """Return the dataset versions that the registry names for a slot, newest first."""
    with registry().engine.connect() as records:
        versions = mlflow_tables.slot_versions(records, slot)
    return list(dict.fromkeys(version.dataset for version in versions if version.dataset))


def _adapters(tags: Iterable[str], kind: str = Tags.DATASET) -> list[AdapterVersion]:
    """Return the adapters that were trained on dataset versions, or judged on golden sets, newest first."""
    with registry().engine.connect() as records:
        keys = [key for tag in tags for key in mlflow_tables.versions_by_tag(records, kind, tag)]
        return sorted(mlflow_tables.versions_at(records, keys), key=lambda one: (str(one.slot), -one.version))
