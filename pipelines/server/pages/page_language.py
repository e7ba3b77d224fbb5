"""The language of the pages: chosen by the switch and kept in a cookie, or else the first that the browser asks for."""

from flask import Request, Response

from pipelines.server.mlflow_private import static_prefix
from pipelines.texts.message_catalogue import LANGUAGES, NAMES, Language, Texts, texts

LANGUAGE_COOKIE, LANGUAGE_FIELD = "elp_language", "language"
_YEAR_SECONDS = 365 * 86400


def page_texts(request: Request) -> Texts:
    """Return the messages in the visitor's language; English if the browser asks for none that the pages have."""
    for asked in (request.args.get(LANGUAGE_FIELD, ""), request.cookies.get(LANGUAGE_COOKIE, "")):
        if asked in LANGUAGES:
            return texts(asked)
    return texts(request.accept_languages.best_match(LANGUAGES, "en"))


def keep_language(request: Request, response: Response) -> None:
    """Keep the language that the switch chose."""
    asked = request.args.get(LANGUAGE_FIELD, "")
    if asked in LANGUAGES:
        response.set_cookie(
            LANGUAGE_COOKIE, asked, max_age=_YEAR_SECONDS, path=f"{static_prefix()}/elp", samesite="Lax",
            httponly=True, secure=request.is_secure,
        )  # fmt: skip


def language_switch(request: Request, present: Language) -> list[tuple[Language, str, str]]:
    """Return code, name and address of this page in each other language."""
    values = {name: value for name, value in request.args.items() if name != LANGUAGE_FIELD}
    return [
        (code, NAMES[code], _address(request, {**values, LANGUAGE_FIELD: code}))
        for code in LANGUAGES
        if code != present
    ]


def _address(request: Request, values: dict[str, str]) -> str:
    from urllib.parse import urlencode

    # the answer to a form has the form's address, which no link can open
    path = request.path if request.method == "GET" else request.path.rsplit("/", 1)[0]
    return f"{static_prefix()}{path.removeprefix(static_prefix())}?{urlencode(values)}"
