"""The lineage of a version as boxes with links, and arrows between them: the content of an inline SVG."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from flask import url_for

from pipelines.number_text import metric_title, percent
from pipelines.registry.adapter_version import CHAMPION, AdapterVersion, Tags
from pipelines.registry.statements import Material
from pipelines.server.pages.filters import digest_label, utc_text
from pipelines.server.read_models.signed_records import RecordedLineage, RecordedVerdict
from pipelines.server.read_models.slot_page import SlotPage, VersionRow

BOX_WIDTH, BOX_HEIGHT = 172.0, 74.0
_GAP_X, _GAP_Y, _EDGE = 30.0, 22.0, 4.0
_EDGES = (
    ("clips", "dataset"),
    ("dataset", "run"),
    ("backbone", "run"),
    ("run", "bundle"),
    ("bundle", "verdict"),
    ("golden", "verdict"),
    ("verdict", "champion"),
)


@dataclass(frozen=True)
class Node:
    """One thing that the lineage names."""

    key: str
    kind: str
    """What it is: dataset, golden set, backbone, run, bundle, verdict or champion."""
    name: str
    detail: str
    """A hash or a number that identifies it."""
    href: str
    """Target of the link; empty without a page."""
    column: int
    row: int
    state: str = ""
    """Colour of the box: passed, failed, undecided or override."""


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
    """SVG path data, one for each edge."""


@dataclass(frozen=True)
class Links:
    """Addresses in MLflow's own pages."""

    prefix: str
    """Prefix of every address: `mlflow server --static-prefix`, or empty."""
    experiments: dict[str, str]
    """Number of the experiment by run."""

    def run(self, run: str) -> str:
        """Return the page of a run."""
        experiment = self.experiments.get(run)
        if not run:
            return ""
        return f"{self.prefix}/#/experiments/{experiment}/runs/{run}" if experiment else f"{self.prefix}/#/runs/{run}"

    def version(self, version: AdapterVersion) -> str:
        """Return the page of a model version."""
        return f"{self.prefix}/#/models/{version.slot.model_name}/versions/{version.version}"

    def artifact(self, run: str, path: str) -> str:
        """Return the address of a run's artifact."""
        return f"{self.prefix}/get-artifact?run_uuid={run}&path={path}"

    def artifact_page(self, run: str, path: str) -> str:
        """Return the page of a run's artifact in MLflow's viewer."""
        return f"{self.run(run)}/artifacts/{path}"


def draw_lineage(page: SlotPage, row: VersionRow, origin: RecordedLineage | None, links: Links) -> Picture:
    """Return the picture of one version's lineage; what no record names is left out."""
    version, judged = row.version, row.judged
    named = {material.name: material for material in origin.statement.materials} if origin else {}
    nodes = [*_data_nodes(version, named, judged), *_run_nodes(version, links)]
    if judged:
        verdict = judged.statement
        value = "" if verdict.challenger is None else f"{metric_title(verdict.metric)} {percent(verdict.challenger)}"
        href = url_for(".statement_page", digest=judged.digest)
        nodes.append(Node("verdict", "verdict", verdict.outcome, value, href, 4, 0, verdict.outcome))
    if CHAMPION in version.aliases:
        state = "override" if row.override and row.override.in_force else "passed"
        began = f"since {utc_text(page.since)[:16]}" if page.since else "now"
        nodes.append(Node("champion", "champion", str(page.slot), began, "#ledger", 5, 0, state))
    return lay_out(nodes, _EDGES)


def lay_out(nodes: Sequence[Node], edges: Sequence[tuple[str, str]]) -> Picture:
    """Place the nodes by column and row; an edge without one of its ends is left out."""
    boxes = {
        node.key: Box(_EDGE + node.column * (BOX_WIDTH + _GAP_X), _EDGE + node.row * (BOX_HEIGHT + _GAP_Y), node)
        for node in nodes
    }
    arrows = tuple(_arrow(boxes[a], boxes[b]) for a, b in edges if a in boxes and b in boxes)
    width = max((box.x for box in boxes.values()), default=0.0) + BOX_WIDTH + _EDGE
    height = max((box.y for box in boxes.values()), default=0.0) + BOX_HEIGHT + _EDGE
    return Picture(width, height, tuple(boxes.values()), arrows)


def _data_nodes(version: AdapterVersion, named: dict[str, Material], judged: RecordedVerdict | None) -> list[Node]:
    tags, nodes, data = version.tags, [], named.get("dataset")
    tag, golden = version.dataset, judged.statement.golden.tag if judged else tags.get(Tags.GOLDEN, "")
    href = url_for(".dataset_page", tag=tag) if tag else ""
    if "clips" in named and data:
        count, ids = data.annotations.get("clips", ""), next(iter(named["clips"].digest.values()), "")
        nodes.append(Node("clips", "recordings", f"{count} clips".strip(), f"ids {digest_label(ids)}", href, 0, 0))
    if tag:
        signed = (
            data.digest if data else {"gitCommit": tags.get(Tags.REVISION, ""), "dvcMd5": tags.get(Tags.DVC_HASH, "")}
        )
        marks = {"Git": signed.get("gitCommit", ""), "DVC": signed.get("dvcMd5", "")}
        detail = " · ".join(f"{name} {mark[:7]}" for name, mark in marks.items() if mark)
        nodes.append(Node("dataset", "dataset version", tag, detail, href, 1, 0))
    if mark := version.fingerprint:
        name = version.backbone or (named["backbone"].uri if "backbone" in named else "") or "frozen model"
        href = url_for(".backbone_page", fingerprint=mark)
        nodes.append(Node("backbone", "backbone", name, digest_label(mark), href, 1, 1))
    if golden:
        detail = digest_label(judged.statement.golden.digest) if judged else "left out of training"
        nodes.append(Node("golden", "golden set", golden, detail, url_for(".dataset_page", tag=golden), 3, 1))
    return nodes


def _run_nodes(version: AdapterVersion, links: Links) -> list[Node]:
    digest = digest_label(version.bundle_digest)
    nodes = [Node("bundle", "bundle", f"v{version.version}", digest, links.version(version), 3, 0)]
    if run := version.run_id:
        nodes.append(Node("run", "MLflow run", run[:12], utc_text(version.created)[:16], links.run(run), 2, 0))
    return nodes


def _arrow(source: Box, target: Box) -> str:
    """Return a curve from the right edge of one box to the left edge of another."""
    x1, y1 = source.x + BOX_WIDTH, source.y + BOX_HEIGHT / 2
    x2, y2 = target.x - 5, target.y + BOX_HEIGHT / 2
    bend = (x2 - x1) / 2
    return f"M{x1:g} {y1:g} C{x1 + bend:g} {y1:g} {x2 - bend:g} {y2:g} {x2:g} {y2:g}"
