"""From a template and its values to a response."""

from datetime import UTC, datetime
from functools import cache
from itertools import count
from pathlib import Path
from typing import Any

import jinja2
from flask import Response, make_response, request, url_for

from pipelines.server.auth.prefect_rights import shown_prefect
from pipelines.server.auth.principal import current_caller, login_on
from pipelines.server.mlflow_private import static_prefix
from pipelines.server.pages.browser_security import COOKIE, csrf_token
from pipelines.server.pages.data_access import data_root
from pipelines.server.pages.filters import FILTERS


def render_page(template: str, status: int = 200, **values: Any) -> Response:
    """Return a page with the values that each one needs, and the visitor's cookie."""
    token = csrf_token(request)
    text = (
        _environment()
        .get_template(template)
        .render(
            **values,
            request=request,
            now=datetime.now(UTC),
            prefix=static_prefix(),
            prefect=shown_prefect(),
            has_data=data_root() is not None,
            user=current_caller().name if login_on() else "",
            token=token,
            new_id=count(1).__next__,
            url_for=url_for,
        )
    )
    response = make_response(text, status)
    # scripts and other sites can neither read nor send the cookie that a form's token is compared with
    response.set_cookie(
        COOKIE, token, path=f"{static_prefix()}/elp", httponly=True, samesite="Strict", secure=request.is_secure
    )
    return response


@cache
def _environment() -> jinja2.Environment:
    made = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).with_name("templates")),
        # jinja2 escapes nothing by default, and names and reasons come from users
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    made.filters |= FILTERS
    return made
