"""The pages that are shown instead of what was asked for: not there, refused, not readable, damaged."""

from flask import Response, request
from werkzeug.exceptions import HTTPException

from elp_core.errors import CorpusError, ElpError
from pipelines.errors import AttestationError, VersioningError, WorkspaceError
from pipelines.server.pages.page_language import page_texts
from pipelines.server.pages.rendering import render_page
from pipelines.server.pages.state_words import worded
from pipelines.server.pages.views import blueprint
from pipelines.server.refusal import Refusal
from pipelines.texts.english_records import in_english


@blueprint.errorhandler(HTTPException)
def show_http_error(error: HTTPException) -> Response:
    """Answer what is not there, or is not allowed over HTTP."""
    said = page_texts(request)
    sentence = said.say(
        "This server has no such slot, version, clip, backbone, dataset or statement; look for it among the slots."
    )
    text = sentence if error.code == 404 else in_english(said, error.description or "")
    return render_page("error.html", status=error.code or 500, heading=worded(said, error.name), sentence=text)


@blueprint.errorhandler(Refusal)
def show_refusal(error: Refusal) -> Response:
    """Answer a refusal of the rules."""
    said, status = page_texts(request), error.get_http_status_code()
    text = in_english(said, error.message)
    return render_page("error.html", status=status, heading=said.say("Refused"), sentence=text)


@blueprint.errorhandler(WorkspaceError)
@blueprint.errorhandler(VersioningError)
@blueprint.errorhandler(CorpusError)
def show_unreadable_data(error: ElpError) -> Response:
    """Answer that the files of the recordings cannot be read."""
    said = page_texts(request)
    text = in_english(said, f"{error}.")
    return render_page("error.html", status=500, heading=said.say("The data cannot be read"), sentence=text)


@blueprint.errorhandler(AttestationError)
def show_damaged_records(error: AttestationError) -> Response:
    """Answer that a signed record was changed."""
    said = page_texts(request)
    text = said.say("A record in the database cannot be read:") + " " + in_english(said, f"{error}")
    text += said.say(". It was changed; find the place with: elp audit --verify")
    return render_page("error.html", status=500, heading=said.say("The records are damaged"), sentence=text)
