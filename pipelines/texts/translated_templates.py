"""Jinja2 templates with words from the catalogue of a language."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import jinja2

from pipelines.texts.message_catalogue import Texts


def template_environment(
    folder: Path | Sequence[Path], texts: Texts, worded: Mapping[str, Callable[..., Any]]
) -> jinja2.Environment:
    """Return the environment of the templates of one or more folders in a language.

    Undefined names are errors, and values are escaped. `worded` are filters that get the language first, and then
    their value.
    """
    made = jinja2.Environment(
        loader=jinja2.FileSystemLoader(folder),
        # jinja2 escapes nothing by default, and names and reasons come from users
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
        extensions=["jinja2.ext.i18n"],
    )
    made.policies["ext.i18n.trimmed"] = True
    # added by the extension
    made.install_gettext_translations(texts.translations, newstyle=True)  # type: ignore[attr-defined]
    made.filters |= {name: partial(function, texts) for name, function in worded.items()}
    return made
