"""A page as a screen reader meets it: names of controls, headings, tables, landmarks, and what is wrong with them."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from html.parser import HTMLParser

_VOID = {"meta", "link", "input", "img", "br", "path", "rect", "line", "circle"}


@dataclass
class Element:
    """One element and what is inside it."""

    tag: str
    attributes: dict[str, str]
    children: list[Element] = field(default_factory=list)
    own: str = ""

    @property
    def text(self) -> str:
        return self.own + " ".join(child.text for child in self.children)

    def all(self, *tags: str) -> list[Element]:
        """Every element of these names below this one."""
        found = [self] if self.tag in tags else []
        return found + [element for child in self.children for element in child.all(*tags)]


class _Tree(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.open = [Element("", {})]

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        made = Element(tag, {name: value or "" for name, value in attrs})
        self.open[-1].children.append(made)
        if tag not in _VOID:
            self.open.append(made)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.open[-1].children.append(Element(tag, {name: value or "" for name, value in attrs}))

    def handle_endtag(self, tag: str) -> None:
        if tag not in _VOID:
            assert self.open[-1].tag == tag, f"</{tag}> closes <{self.open[-1].tag}>"
            self.open.pop()

    def handle_data(self, data: str) -> None:
        self.open[-1].own += data


def read_html(text: str) -> Element:
    """The page's tree; every element must be closed in its order."""
    parser = _Tree()
    parser.feed(text)
    parser.close()
    assert len(parser.open) == 1, f"<{parser.open[-1].tag}> is never closed"
    return parser.open[0]


def faults(page: Element) -> list[str]:
    """What a screen reader, a keyboard or the content policy would stumble over; empty for a good page."""
    every = page.all(*{element.tag for element in _walk(page)})
    ids = Counter(e.attributes["id"] for e in every if "id" in e.attributes)
    labels = {e.attributes.get("for", "") for e in page.all("label")}
    found = [f"the id {name} stands {count} times" for name, count in ids.items() if count > 1]
    for tag in ("h1", "main", "header", "title"):
        count = len([e for e in page.all(tag) if tag != "title" or e.text.strip().endswith("ELP")])
        found += [] if count == 1 else [f"{count} of <{tag}>"]
    found += [] if page.all("html")[0].attributes.get("lang") else ["no language"]
    for control in page.all("input", "select", "textarea"):
        hidden = control.attributes.get("type") == "hidden"
        found += [] if hidden or control.attributes.get("id") in labels else [f"no label for {control.attributes}"]
    for link in page.all("a", "button"):
        named = link.text.strip() or link.attributes.get("aria-label")
        found += [] if named else [f"no name for {link.attributes}"]
    for table in page.all("table"):
        found += [] if table.all("caption") else ["a table has no caption"]
        found += [f"a header without scope: {th.text}" for th in table.all("th") if "scope" not in th.attributes]
    found += [f"no alt: {image.attributes}" for image in page.all("img") if not image.attributes.get("alt")]
    for element in every:
        for name, value in element.attributes.items():
            if name.startswith("on") or name == "style" or value.strip().lower().startswith("javascript:"):
                found.append(f"code in an attribute: {name}={value[:40]}")
            if name in ("aria-labelledby", "aria-describedby"):
                found += [f"{name} names no id: {one}" for one in value.split() if one not in ids]
        if element.tag == "style" or (element.tag == "script" and element.own.strip()):
            found.append(f"inline <{element.tag}>")
    return found


def _walk(element: Element) -> list[Element]:
    return [element, *(below for child in element.children for below in _walk(child))]
