"""Jinja2 templates with words from the catalogue of a language."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import jinja2

from pipelines.texts.message_catalogue import Texts

Worded = Callable[..., Any]
"""A filter that gets the language first, and then its value."""


def template_environment(folder: Path, texts: Texts, worded: Mapping[str, Worded]) -> jinja2.Environment:
    """Return the environment of a folder's templates in a language; undefined names are errors, values are escaped."""
    made = _environment((folder,))
    # added by the extension
    made.install_gettext_translations(texts.translations, newstyle=True)  # type: ignore[attr-defined]
    made.filters |= {name: partial(function, texts) for name, function in worded.items()}
    return made


@functools.cache
def shared_environment(folders: tuple[Path, ...], worded: tuple[tuple[str, Worded], ...]) -> jinja2.Environment:
    """Return an environment whose templates are compiled once for all languages: `said` of each rendering is its own.

    To compile a report takes longer than to render it in every language.
    """
    made = _environment(folders)
    made.install_gettext_callables(_gettext, _ngettext, newstyle=True)  # type: ignore[attr-defined]
    made.filters |= {name: _in_language(function) for name, function in worded}
    return made


def _environment(folders: tuple[Path, ...]) -> jinja2.Environment:
    made = jinja2.Environment(
        loader=jinja2.FileSystemLoader(folders),
        # jinja2 escapes nothing by default, and names and reasons come from users
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
        extensions=["jinja2.ext.i18n"],
    )
    made.policies["ext.i18n.trimmed"] = True
    return made


@jinja2.pass_context
def _gettext(context: jinja2.runtime.Context, message: str) -> str:
    said: Texts = context["said"]
    return said.translations.gettext(message)


@jinja2.pass_context
def _ngettext(context: jinja2.runtime.Context, one: str, many: str, number: int) -> str:
    said: Texts = context["said"]
    return said.translations.ngettext(one, many, number)


def _in_language(function: Worded) -> Worded:
    # with the context: the compiler would compute a filter of a constant once, in the first language
    @jinja2.pass_context
    def filtered(context: jinja2.runtime.Context, *values: Any) -> Any:
        return function(context["said"], *values)

    return filtered
