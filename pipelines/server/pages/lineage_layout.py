"""The lineage of a version as boxes and arrows with links: coordinates of an inline SVG; the template draws them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

BOX_WIDTH, BOX_HEIGHT = 172.0, 74.0
_GAP_X, _GAP_Y, _EDGE = 30.0, 22.0, 4.0


@dataclass(frozen=True)
class Node:
    """One thing that the lineage names."""

    key: str
    kind: str
    """What it is, in a word: dataset, golden set, backbone, run, bundle, verdict, champion."""
    name: str
    detail: str
    """What fixes it: a hash, a number."""
    href: str
    """Where a click leads; empty where there is nothing to see."""
    column: int
    row: int
    state: str = ""
    """passed, failed, undecided or override: the box's colour."""


@dataclass(frozen=True)
class Box:
    """A node with its place."""

    x: float
    y: float
    node: Node


@dataclass(frozen=True)
class Picture:
    """What the template draws."""

    width: float
    height: float
    boxes: tuple[Box, ...]
    arrows: tuple[str, ...]
    """SVG path data, one an edge."""


def picture(nodes: Sequence[Node], edges: Sequence[tuple[str, str]]) -> Picture:
    """Lay the nodes out by column and row; an edge whose end is missing is left out."""
    boxes = {
        node.key: Box(_EDGE + node.column * (BOX_WIDTH + _GAP_X), _EDGE + node.row * (BOX_HEIGHT + _GAP_Y), node)
        for node in nodes
    }
    arrows = tuple(_arrow(boxes[a], boxes[b]) for a, b in edges if a in boxes and b in boxes)
    width = max((box.x for box in boxes.values()), default=0.0) + BOX_WIDTH + _EDGE
    height = max((box.y for box in boxes.values()), default=0.0) + BOX_HEIGHT + _EDGE
    return Picture(width, height, tuple(boxes.values()), arrows)


def _arrow(source: Box, target: Box) -> str:
    """A curve from the right edge of one box to the left edge of another."""
    x1, y1 = source.x + BOX_WIDTH, source.y + BOX_HEIGHT / 2
    x2, y2 = target.x - 5, target.y + BOX_HEIGHT / 2
    bend = (x2 - x1) / 2
    return f"M{x1:g} {y1:g} C{x1 + bend:g} {y1:g} {x2 - bend:g} {y2:g} {x2:g} {y2:g}"
