"""The answer of an audit as a tree of facts, each with the result of its verification."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

from pipelines.texts.english_phrases import phrase

State = Literal["verified", "failed", "not verified", ""]
"""Computed again and equal; computed again and different; cannot be computed; only a record."""

_SIGNS = {"verified": "✓", "failed": "✗", "not verified": "?", "": " "}


@dataclass(frozen=True)
class Fact:
    """One line of the audit: a name, what the records say, and whether that was verified."""

    name: str
    value: str
    state: State = ""
    note: str = ""
    """Why the verification failed, or was not possible."""
    children: tuple[Fact, ...] = ()

    def walk(self) -> Iterator[Fact]:
        """Yield this fact and all below it, top down."""
        yield self
        for child in self.children:
            yield from child.walk()

    @property
    def failed(self) -> tuple[Fact, ...]:
        """Every fact of the tree whose verification failed; of nested ones, the innermost."""
        found = [fact for fact in self.walk() if fact.state == "failed"]
        return tuple(fact for fact in found if not any(child.state == "failed" for child in fact.children))

    @property
    def not_verified(self) -> tuple[Fact, ...]:
        """Every fact of the tree that could not be verified."""
        return tuple(fact for fact in self.walk() if fact.state == "not verified")

    def to_json(self) -> dict[str, Any]:
        """Return plain values, without empty ones."""
        more = {"state": self.state, "note": self.note, "children": [child.to_json() for child in self.children]}
        return {"name": self.name, "value": self.value} | {name: value for name, value in more.items() if value}


def compared(name: str, recorded: str, found: str, source: str, children: tuple[Fact, ...] = ()) -> Fact:
    """Return a fact that was computed again: verified, or failed with a note that names `source` and its value."""
    if recorded == found:
        return Fact(name, recorded, "verified", children=children)
    note = phrase("%(source)s has %(found)s", source=source, found=found or phrase("nothing"))
    return Fact(name, recorded or phrase("not recorded"), "failed", note, children)


def tree_text(fact: Fact) -> str:
    """Return the tree as text, one fact a line."""
    return "\n".join(_lines(fact, "", ""))


def _lines(fact: Fact, head: str, tail: str) -> Iterator[str]:
    note = f"  ({fact.note})" if fact.note else ""
    yield f"{head}{_SIGNS[fact.state]} {fact.name}: {fact.value}{note}" if head else f"{fact.name}: {fact.value}{note}"
    for position, child in enumerate(fact.children):
        last = position == len(fact.children) - 1
        yield from _lines(child, f"{tail}{'└─' if last else '├─'}", f"{tail}{'  ' if last else '│ '}")
