"""MLflow's own pages: a content policy without requests to other hosts, our scripts, and the tags that they show.

A description of a version may hold a picture of another host: the policy stops the request.
"""

from flask import Flask, Response, request
from markupsafe import escape

from pipelines.server.mlflow_private import static_prefix
from pipelines.server.pages.mlflow_tags import show_deciding_tags
from pipelines.server.pages.page_language import page_texts
from pipelines.texts.message_catalogue import Texts

POLICY = (
    # MLflow builds functions at run time, and shows reports, sounds and pictures from memory
    "default-src 'self'; script-src 'self' 'unsafe-inline' 'unsafe-eval' blob:; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data: blob:; font-src 'self' data:; media-src 'self' data: blob:; worker-src 'self' blob:; "
    "connect-src 'self' data: blob:; frame-src 'self' data: blob:; object-src 'none'; base-uri 'self'; "
    "form-action 'self'; frame-ancestors 'self'"
)


def add_page_headers(app: Flask) -> None:
    """Add the policy to every answer of MLflow's application that has none, our scripts, and the tags for its pages."""
    app.after_request(_guard)


def _guard(response: Response) -> Response:
    response.headers.setdefault("Content-Security-Policy", POLICY)
    response.headers.setdefault("Referrer-Policy", "same-origin")
    if request.path == f"{static_prefix()}/" and response.status_code == 200 and response.mimetype == "text/html":
        _add_scripts(response)
    prefix = static_prefix()
    show_deciding_tags(request.path.removeprefix(prefix), request.host_url.rstrip("/") + prefix, response)
    return response


def _refusal_words(said: Texts) -> dict[str, str]:
    """Return what `mlflow-refusal.js` writes, by the names of its data attributes."""
    return {
        "language": said.language,
        "heading": said.say("Refused, nothing was saved"),
        "slot": said.say("Open %(slot)s in the console", slot="SLOT"),
        "console": said.say("Open the console"),
        "close": said.say("Close"),
    }


def _add_scripts(response: Response) -> None:
    # MLflow sends the file as a stream
    response.direct_passthrough = False
    words = _refusal_words(page_texts(request))
    marks = "".join(f' data-{name}="{escape(text)}"' for name, text in words.items())
    ours = f'<script src="{static_prefix()}/elp/static/mlflow-start.js"></script>'
    ours += f'<script src="{static_prefix()}/elp/static/mlflow-refusal.js"{marks}></script>'
    response.set_data(response.get_data(as_text=True).replace("<script", f"{ours}<script", 1))
    # a browser that has the page of an MLflow without the guard must not keep it
    for name in ("ETag", "Last-Modified"):
        response.headers.pop(name, None)
    response.headers["Cache-Control"] = "no-store"
