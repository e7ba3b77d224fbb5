"""The routes of the pages about one or two versions of a slot: answers to the golden clips, and a comparison."""

from flask import Response, abort, request

from elp_core.errors import ElpError
from pipelines.registry.slot import Slot
from pipelines.registry.verdict_statement import VerdictStatement
from pipelines.server.mlflow_private import tracking_store
from pipelines.server.pages.golden_clips import AnswerTable, pair_systems, verdict_answers, wanted_rows
from pipelines.server.pages.page_language import page_texts
from pipelines.server.pages.rendering import render_page
from pipelines.server.pages.views import blueprint
from pipelines.server.read_models.answers import ConditionRates, condition_rates, show_answers
from pipelines.server.read_models.mlflow_tables import run_metrics
from pipelines.server.read_models.slot_page import read_slot_page, version_lineage
from pipelines.server.read_models.version_comparison import Comparison, compare_versions
from pipelines.server.stores.registry_store import registry
from pipelines.texts.english_records import in_english


@blueprint.get("/slots/<site>/<task>/v<int:version>/clips")
def clips_page(site: str, task: str, version: int) -> Response:
    """Show every golden clip with the answers that a version's verdict is based on."""
    slot = Slot(site, task)
    with registry().engine.connect() as records:
        page = read_slot_page(records, slot)
    # without a number, `row` would return the champion's
    row = page.row(version) if page and version else None
    if row is None or row.judged is None:
        abort(404)
    return render_page(
        "version_clips.html",
        slot=slot,
        version=version,
        judged=row.judged,
        table=verdict_answers(page_texts(request), row.version.run_id, row.judged.statement, wanted_rows(request.args)),
    )


@blueprint.get("/slots/<site>/<task>/compare")
def compare_page(site: str, task: str) -> Response:
    """Show two versions side by side: ``?a=3&b=5``, or else the champion and the version that waits for a decision."""
    slot = Slot(site, task)
    with registry().engine.connect() as records:
        page = read_slot_page(records, slot)
        if page is None or not page.rows:
            abort(404)
        usual = dict(zip("ab", page.pair, strict=True))
        one, other = (page.row(request.args.get(name, usual[name], type=int) or -1) for name in "ab")
        if one is None or other is None:
            abort(404)
        lineages = [version_lineage(records, slot, row.version.version) for row in (one, other)]
    with tracking_store().engine.connect() as runs:
        metrics = run_metrics(runs, [row.version.run_id for row in (one, other)])
    found = compare_versions((one, other), (lineages[0], lineages[1]), metrics, page_texts(request))
    table, rates = _answers(found)
    return render_page(
        "compare.html",
        slot=slot,
        versions=[row.version for row in page.rows],
        found=found,
        table=table,
        rates=rates,
        outcomes=[_outcomes(side.verdict) for side in found.sides],
    )


def _answers(found: Comparison) -> tuple[AnswerTable, tuple[ConditionRates, ...]]:
    """Return the clips with the answers of both versions, and their rates by condition."""
    numbers = tuple((name, f"{side.row.version.version}") for name, side in zip("ab", found.sides, strict=True))
    said = page_texts(request)
    source = said.say("The answers are those that the newest verdict on each version is based on.")
    if found.obstacle:
        return AnswerTable(None, found.obstacle, source, fixed=numbers), ()
    try:
        systems = pair_systems(said, found)
        answers = show_answers(systems, wanted_rows(request.args))
        verdict = found.one.verdict
        language = verdict.normaliser.code if verdict and verdict.normaliser else ""
        return AnswerTable(answers, "", source, language, numbers), condition_rates(systems)
    except ElpError as error:
        return AnswerTable(None, in_english(said, f"{error}"), source, fixed=numbers), ()


def _outcomes(verdict: VerdictStatement | None) -> dict[str, str]:
    """Return what a verdict says of each recording condition."""
    return {one.name: one.outcome for one in verdict.details.slices} if verdict and verdict.details else {}
