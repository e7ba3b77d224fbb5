"""The audit's answer as a tree of facts, each with what came of checking it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

State = Literal["ok", "mismatch", "unchecked", ""]
"""Recomputed and equal; recomputed and different; could not be recomputed; only a record."""

_SIGNS = {"ok": "✓", "mismatch": "✗", "unchecked": "?", "": " "}


@dataclass(frozen=True)
class Fact:
    """One line of the audit: a name, what the records say, and whether it was found so."""

    name: str
    value: str
    state: State = ""
    note: str = ""
    """Why it does not match, or could not be checked."""
    children: tuple[Fact, ...] = ()

    def walk(self) -> Iterator[Fact]:
        """This fact and all below it, top down."""
        yield self
        for child in self.children:
            yield from child.walk()

    @property
    def mismatches(self) -> tuple[Fact, ...]:
        """Every fact of the tree that was found to be otherwise than recorded; of nested ones the innermost."""
        found = [fact for fact in self.walk() if fact.state == "mismatch"]
        return tuple(fact for fact in found if not any(child.state == "mismatch" for child in fact.children))

    @property
    def unchecked(self) -> tuple[Fact, ...]:
        """Every fact of the tree that could not be checked."""
        return tuple(fact for fact in self.walk() if fact.state == "unchecked")

    def to_json(self) -> dict[str, Any]:
        """Plain values, with empty ones left out."""
        values: dict[str, Any] = {"name": self.name, "value": self.value}
        if self.state:
            values["state"] = self.state
        if self.note:
            values["note"] = self.note
        if self.children:
            values["children"] = [child.to_json() for child in self.children]
        return values


def compared(name: str, recorded: str, found: str, source: str, children: tuple[Fact, ...] = ()) -> Fact:
    """A fact that was recomputed: equal, or a mismatch that names both values and where the second came from."""
    if recorded == found:
        return Fact(name, recorded, "ok", children=children)
    return Fact(name, recorded or "not recorded", "mismatch", f"{source} has {found or 'nothing'}", children)


def render(fact: Fact) -> str:
    """The tree as text, one fact a line."""
    return "\n".join(_lines(fact, "", ""))


def _lines(fact: Fact, head: str, tail: str) -> Iterator[str]:
    note = f"  ({fact.note})" if fact.note else ""
    yield f"{head}{_SIGNS[fact.state]} {fact.name}: {fact.value}{note}" if head else f"{fact.name}: {fact.value}{note}"
    for position, child in enumerate(fact.children):
        last = position == len(fact.children) - 1
        yield from _lines(child, f"{tail}{'└─' if last else '├─'}", f"{tail}{'  ' if last else '│ '}")
