"""The boxes of a version's lineage: clips and dataset, golden set, backbone, run, bundle, verdict, champion."""

from __future__ import annotations

from dataclasses import dataclass

from flask import url_for

from elp_core.metrics.scores import title
from pipelines.number_text import percent
from pipelines.registry.adapter_version import AdapterVersion
from pipelines.registry.statements import Material
from pipelines.registry.tags import CHAMPION, Tags
from pipelines.server.pages.filters import short, when
from pipelines.server.pages.lineage_layout import Node, Picture, picture
from pipelines.server.read_models.ledger_records import Judged, Origin
from pipelines.server.read_models.slot_page import SlotPage, VersionRow

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
class Links:
    """Addresses in MLflow's own pages."""

    prefix: str
    """What `mlflow server --static-prefix` put before every address; empty without it."""
    experiments: dict[str, str]
    """Experiment's number by run."""

    def run(self, run: str) -> str:
        """The page of a run."""
        experiment = self.experiments.get(run)
        if not run:
            return ""
        return f"{self.prefix}/#/experiments/{experiment}/runs/{run}" if experiment else f"{self.prefix}/#/runs/{run}"

    def version(self, version: AdapterVersion) -> str:
        """The page of a model version."""
        return f"{self.prefix}/#/models/{version.slot.model_name}/versions/{version.version}"

    def artifact(self, run: str, path: str) -> str:
        """The bytes of a run's artifact."""
        return f"{self.prefix}/get-artifact?run_uuid={run}&path={path}"

    def artifact_page(self, run: str, path: str) -> str:
        """A run's artifact in MLflow's viewer."""
        return f"{self.run(run)}/artifacts/{path}"


def drawn(page: SlotPage, row: VersionRow, origin: Origin | None, links: Links) -> Picture:
    """The picture of one version's lineage; what no record names is left out."""
    version, judged = row.version, row.judged
    named = {material.name: material for material in origin.statement.materials} if origin else {}
    nodes = [*_data(version, named, judged), *_made(version, links)]
    if judged:
        nodes.append(_verdict(judged))
    if CHAMPION in version.aliases:
        state = "override" if row.override and row.override.in_force else "passed"
        began = f"since {when(page.since)[:16]}" if page.since else "now"
        nodes.append(Node("champion", "champion", str(page.slot), began, "#ledger", 5, 0, state))
    return picture(nodes, _EDGES)


def _data(version: AdapterVersion, named: dict[str, Material], judged: Judged | None) -> list[Node]:
    tags, nodes, data = version.tags, [], named.get("dataset")
    tag, golden = tags.get(Tags.DATASET, ""), judged.statement.golden.tag if judged else tags.get(Tags.GOLDEN, "")
    href = url_for(".dataset_page", tag=tag) if tag else ""
    if "clips" in named and data:
        count, ids = data.annotations.get("clips", ""), next(iter(named["clips"].digest.values()), "")
        nodes.append(Node("clips", "recordings", f"{count} clips".strip(), f"ids {short(ids)}", href, 0, 0))
    if tag:
        signed = (
            data.digest if data else {"gitCommit": tags.get(Tags.REVISION, ""), "dvcMd5": tags.get(Tags.DVC_HASH, "")}
        )
        marks = {"Git": signed.get("gitCommit", ""), "DVC": signed.get("dvcMd5", "")}
        told = " · ".join(f"{name} {mark[:7]}" for name, mark in marks.items() if mark)
        nodes.append(Node("dataset", "dataset version", tag, told, href, 1, 0))
    if mark := tags.get(Tags.FINGERPRINT, ""):
        name = tags.get(Tags.BACKBONE) or (named["backbone"].uri if "backbone" in named else "") or "frozen model"
        nodes.append(Node("backbone", "backbone", name, short(mark), url_for(".backbone_page", fingerprint=mark), 1, 1))
    if golden:
        told = short(judged.statement.golden.digest) if judged else "left out of training"
        nodes.append(Node("golden", "golden set", golden, told, url_for(".dataset_page", tag=golden), 3, 1))
    return nodes


def _made(version: AdapterVersion, links: Links) -> list[Node]:
    nodes = [
        Node("bundle", "bundle", f"v{version.version}", short(version.bundle_digest), links.version(version), 3, 0)
    ]
    if version.run_id:
        nodes.append(
            Node("run", "MLflow run", version.run_id[:12], when(version.created)[:16], links.run(version.run_id), 2, 0)
        )
    return nodes


def _verdict(judged: Judged) -> Node:
    told = judged.statement
    value = "" if told.challenger is None else f"{title(told.metric)} {percent(told.challenger)}"
    return Node(
        "verdict", "verdict", told.outcome, value, url_for(".statement_page", digest=judged.digest), 4, 0, told.outcome
    )
