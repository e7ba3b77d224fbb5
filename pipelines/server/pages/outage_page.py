"""The page that is shown while the database is away."""

from flask import Response, request
from sqlalchemy.exc import OperationalError

from pipelines.server.database_outage import RETRY_SECONDS, outage_reason
from pipelines.server.pages.page_language import page_texts
from pipelines.server.pages.rendering import render_page
from pipelines.server.pages.views import blueprint
from pipelines.texts.english_records import in_english


@blueprint.errorhandler(OperationalError)
def show_outage(error: OperationalError) -> Response:
    """Answer 503 with the reason."""
    said = page_texts(request)
    before, reason = said.say("The database of the registry does not answer:"), in_english(said, outage_reason(error))
    text = before + " " + reason + said.say(". Nothing was changed; try again when it is back.")
    page = render_page("error.html", status=503, heading=said.say("No database"), sentence=text)
    page.headers["Retry-After"] = str(RETRY_SECONDS)
    return page
