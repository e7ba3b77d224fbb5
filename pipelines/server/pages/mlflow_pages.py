"""MLflow's own pages: a content policy without requests to other hosts, our scripts, and the tags that they show.

A description of a version may hold a picture of another host: the policy stops the request.
"""

from flask import Flask, Response, request

from pipelines.server.mlflow_private import static_prefix
from pipelines.server.pages.mlflow_tags import show_deciding_tags

POLICY = (
    # MLflow builds functions at run time, and shows reports, sounds and pictures from memory
    "default-src 'self'; script-src 'self' 'unsafe-inline' 'unsafe-eval' blob:; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data: blob:; font-src 'self' data:; media-src 'self' data: blob:; worker-src 'self' blob:; "
    "connect-src 'self' data: blob:; frame-src 'self' data: blob:; object-src 'none'; base-uri 'self'; "
    "form-action 'self'; frame-ancestors 'self'"
)

_SCRIPTS = ("mlflow-start.js", "mlflow-refusal.js")


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


def _add_scripts(response: Response) -> None:
    # MLflow sends the file as a stream
    response.direct_passthrough = False
    ours = "".join(f'<script src="{static_prefix()}/elp/static/{name}"></script>' for name in _SCRIPTS)
    response.set_data(response.get_data(as_text=True).replace("<script", f"{ours}<script", 1))
    # a browser that has the page of an MLflow without the guard must not keep it
    for name in ("ETag", "Last-Modified"):
        response.headers.pop(name, None)
    response.headers["Cache-Control"] = "no-store"
