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
from pipelines.server.pages.page_language import keep_language, language_switch, page_texts
from pipelines.server.pages.state_words import WORDS
from pipelines.texts.message_catalogue import Texts
from pipelines.texts.translated_templates import template_environment


def render_page(template: str, status: int = 200, **values: Any) -> Response:
    """Return a page with the values that each one needs, and the visitor's cookie."""
    token, said = csrf_token(request), page_texts(request)
    text = (
        _environment(said)
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
            language=said.language,
            languages=language_switch(request, said.language),
        )
    )
    response = make_response(text, status)
    # scripts and other sites can neither read nor send the cookie that a form's token is compared with
    response.set_cookie(
        COOKIE, token, path=f"{static_prefix()}/elp", httponly=True, samesite="Strict", secure=request.is_secure
    )
    keep_language(request, response)
    return response


@cache
def _environment(said: Texts) -> jinja2.Environment:
    made = template_environment(Path(__file__).with_name("templates"), said, WORDS)
    made.filters |= FILTERS
    return made
