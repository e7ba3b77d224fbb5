"""The lineage of a version as boxes with links, and arrows between them: the content of an inline SVG."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar

from flask import url_for

from pipelines.registry.adapter_version import CHAMPION, AdapterVersion, Tags
from pipelines.server.pages.filters import digest_label, utc_text
from pipelines.server.pages.state_words import worded
from pipelines.server.read_models.signed_records import RecordedLineage, RecordedVerdict
from pipelines.server.read_models.slot_page import SlotPage, VersionRow
from pipelines.texts.message_catalogue import Texts
from pipelines.texts.rate_words import metric_words, percent_words

_GAP_X, _GAP_Y, _EDGE = 30.0, 22.0, 4.0
_PLACES = {
    "recordings": (0, 0),
    "dataset version": (1, 0),
    "backbone": (1, 1),
    "MLflow run": (2, 0),
    "bundle": (3, 0),
    "golden set": (3, 1),
    "verdict": (4, 0),
    "champion": (5, 0),
}
"""Column and row of each kind of box."""
_EDGES = (
    ("recordings", "dataset version"),
    ("dataset version", "MLflow run"),
    ("backbone", "MLflow run"),
    ("MLflow run", "bundle"),
    ("bundle", "verdict"),
    ("golden set", "verdict"),
    ("verdict", "champion"),
)


@dataclass(frozen=True)
class Node:
    """One thing that the lineage names, as a box in the picture."""

    width: ClassVar[float] = 172.0
    height: ClassVar[float] = 74.0
    kind: str
    """What it is: a key of `_PLACES`."""
    name: str
    detail: str
    """A hash or a number that identifies it."""
    href: str
    """Target of the link; empty without a page."""
    state: str = ""
    """Colour of the box: passed, failed, undecided or override."""

    @property
    def x(self) -> float:
        """Left edge."""
        return _EDGE + _PLACES[self.kind][0] * (self.width + _GAP_X)

    @property
    def y(self) -> float:
        """Upper edge."""
        return _EDGE + _PLACES[self.kind][1] * (self.height + _GAP_Y)


@dataclass(frozen=True)
class Picture:
    """What the template draws."""

    nodes: Sequence[Node]

    @property
    def width(self) -> float:
        """Right end of the picture."""
        return max(node.x for node in self.nodes) + Node.width + _EDGE

    @property
    def height(self) -> float:
        """Lower end of the picture."""
        return max(node.y for node in self.nodes) + Node.height + _EDGE

    @property
    def arrows(self) -> Iterator[str]:
        """SVG path data of a curve from box to box; an edge without one of its ends is left out."""
        boxes = {node.kind: node for node in self.nodes}
        for source, target in _EDGES:
            if source in boxes and target in boxes:
                x1, y1 = boxes[source].x + Node.width, boxes[source].y + Node.height / 2
                x2, y2 = boxes[target].x - 5, boxes[target].y + Node.height / 2
                bend = (x2 - x1) / 2
                yield f"M{x1:g} {y1:g} C{x1 + bend:g} {y1:g} {x2 - bend:g} {y2:g} {x2:g} {y2:g}"


def draw_lineage(
    said: Texts, page: SlotPage, row: VersionRow, origin: RecordedLineage | None, prefix: str, run: str
) -> Picture:
    """Return the picture of one version's lineage; what no record names is left out.

    `prefix` begins the address of every page of MLflow, `run` is the address of the version's run.
    """
    version, judged = row.version, row.judged
    model, number = version.model_version
    nodes = _data_nodes(said, version, origin, judged)
    bundle = f"{prefix}/#/models/{model}/versions/{number}"
    nodes.append(Node("bundle", f"v{number}", digest_label(version.bundle_digest), bundle))
    if version.run_id:
        nodes.append(Node("MLflow run", version.run_id[:12], utc_text(version.created)[:16], run))
    if judged:
        verdict = judged.statement
        rate = "" if verdict.challenger is None else percent_words(said, verdict.challenger)
        value = f"{metric_words(said, verdict.metric)} {rate}" if rate else ""
        href = url_for(".statement_page", digest=judged.digest)
        nodes.append(Node("verdict", worded(said, verdict.outcome), value, href, verdict.outcome))
    if CHAMPION in version.aliases:
        state = "override" if row.override and row.override.in_force else "passed"
        began = said.say("since %(time)s", time=utc_text(page.since)[:16]) if page.since else said.say("now")
        nodes.append(Node("champion", str(page.slot), began, "#ledger", state))
    return Picture(nodes)


def _data_nodes(
    said: Texts, version: AdapterVersion, origin: RecordedLineage | None, judged: RecordedVerdict | None
) -> list[Node]:
    tags, nodes = version.tags, []
    named = {material.name: material for material in origin.statement.materials} if origin else {}
    data, golden = named.get("dataset"), judged.statement.golden.tag if judged else tags.get(Tags.GOLDEN, "")
    href = url_for(".dataset_page", tag=version.dataset) if version.dataset else ""
    if "clips" in named and data:
        count, ids = data.annotations.get("clips", ""), next(iter(named["clips"].digest.values()), "")
        name = said.say("%(clips)s clips", clips=count) if count else said.say("clips")
        nodes.append(Node("recordings", name, said.say("ids %(digest)s", digest=digest_label(ids)), href))
    if version.dataset:
        unsigned = {"gitCommit": tags.get(Tags.REVISION, ""), "dvcMd5": tags.get(Tags.DVC_HASH, "")}
        signed = data.digest if data else unsigned
        marks = {"Git": signed.get("gitCommit", ""), "DVC": signed.get("dvcMd5", "")}
        detail = " · ".join(f"{name} {mark[:7]}" for name, mark in marks.items() if mark)
        nodes.append(Node("dataset version", version.dataset, detail, href))
    if version.fingerprint:
        name = version.backbone or (named["backbone"].uri if "backbone" in named else "") or said.say("frozen model")
        href = url_for(".backbone_page", fingerprint=version.fingerprint)
        nodes.append(Node("backbone", name, digest_label(version.fingerprint), href))
    if golden:
        detail = digest_label(judged.statement.golden.digest) if judged else said.say("left out of training")
        nodes.append(Node("golden set", golden, detail, url_for(".dataset_page", tag=golden)))
    return nodes
