"""The page that is shown while the database is away."""

from flask import Response
from sqlalchemy.exc import OperationalError

from pipelines.server.database_outage import RETRY_SECONDS, outage_sentence
from pipelines.server.pages.rendering import render_page
from pipelines.server.pages.views import blueprint


@blueprint.errorhandler(OperationalError)
def show_outage(error: OperationalError) -> Response:
    """Answer 503 with the reason."""
    page = render_page("error.html", status=503, heading="No database", sentence=outage_sentence(error))
    page.headers["Retry-After"] = str(RETRY_SECONDS)
    return page
