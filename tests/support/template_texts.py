"""Texts of a template that no catalogue can translate: they are not marked with `trans` or `_`."""

from __future__ import annotations

import re
from collections.abc import Iterator
from html.parser import HTMLParser

import jinja2
from jinja2 import nodes

ATTRIBUTES = ("title", "aria-label", "placeholder", "alt", "data-ask", "data-text")
"""Attributes that a reader sees or hears."""
AS_THEY_ARE = {"script", "style", "code", "pre"}
"""Elements whose text is no language: commands, names of settings, digests."""
NAMES = ("Data Docs", "ELP", "SNR", "UTC", "dB", "dBFS", "Hz", "KiB")
"""Names and units that every language writes alike."""
_PASSED_ON = {"safe", "capitalize", "title", "replace", "default", "d", "upper", "lower", "trim"}
"""Filters that leave a text in its language."""
_WORD = re.compile(r"[^\W\d_]{2,}")


def unmarked_texts(source: str) -> list[str]:
    """The visible texts of a template with words that are not marked for translation."""
    environment = jinja2.Environment(autoescape=True, extensions=["jinja2.ext.i18n"])
    reader = _Reader()
    reader.feed("".join(_written(environment.parse(source))))
    reader.close()
    return [text for text in reader.found if _WORD.search(_without_names(text))]


def _without_names(text: str) -> str:
    for name in NAMES:
        text = re.sub(rf"\b{re.escape(name)}\b", "", text)
    return text


def _written(node: nodes.Node) -> Iterator[str]:
    """What a template writes in any of its branches, in order; values and messages are left out."""
    for child in node.iter_child_nodes():
        if isinstance(child, nodes.TemplateData):
            yield child.data
        elif isinstance(child, nodes.Stmt):
            yield from _written(child)
        elif isinstance(node, nodes.Output):
            # a space, because no two alternatives are one word
            yield " ".join(_constants(child))


def _constants(value: nodes.Node) -> Iterator[str]:
    """The texts that an expression may give without a change."""
    match value:
        case nodes.Const(value=str(text)):
            yield text
        case nodes.CondExpr(expr1=one, expr2=other):
            yield from _constants(one)
            yield from _constants(other) if other else ()
        case nodes.BinExpr(left=one, right=other):
            yield from _constants(one)
            yield from _constants(other)
        case nodes.Concat(nodes=parts):
            for part in parts:
                yield from _constants(part)
        case nodes.Filter(name=name, node=inner) if name in _PASSED_ON and inner:
            yield from _constants(inner)
        case nodes.Getitem(node=nodes.Dict(items=items)):
            for pair in items:
                yield from _constants(pair.value)
        case _:
            return


class _Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []
        self.skipped = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.skipped += tag in AS_THEY_ARE
        self.found += [value.strip() for name, value in attrs if name in ATTRIBUTES and value and value.strip()]

    def handle_endtag(self, tag: str) -> None:
        self.skipped -= tag in AS_THEY_ARE

    def handle_data(self, data: str) -> None:
        if not self.skipped and data.strip():
            self.found.append(data.strip())
