"""The lineage of a bundle as a statement to sign: its parts by digest."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from elp_core.config import to_dict
from pipelines.registry.lineage import Lineage, PinnedGolden, TrainingDataset
from pipelines.registry.statements import LineageStatement, Material

if TYPE_CHECKING:
    from elp_core.bundle import BundleManifest


def lineage_statement(model: str, bundle: BundleManifest) -> LineageStatement:
    """Return the statement on a verified bundle of a registered model; one bundle always gives the same statement."""
    lineage = Lineage.from_json(bundle.lineage)
    values = lineage.to_json()
    return LineageStatement(
        model=model,
        bundle=bundle.digest,
        files=dict(bundle.files),
        asked={
            "slot": lineage.slot,
            "dataset": lineage.dataset.tag,
            "golden": lineage.golden.tag,
            "config": values["config"],
            "seed": lineage.seed,
        },
        given={
            "key": lineage.key,
            "training": values["training"],
            "hardware": values["hardware"],
            "flow_run": lineage.flow_run,
        },
        materials=_materials(lineage),
        versions={"elp-foundry": lineage.code.version},
        run=lineage.mlflow_run,
        finished=lineage.created,
    )


def _materials(lineage: Lineage) -> tuple[Material, ...]:
    data, golden, backbone, code = lineage.dataset, lineage.golden, lineage.backbone, lineage.code
    revision = {"gitCommit": code.revision} if code.revision else {}
    pinned = Material("golden", {"elpIds": _hex(golden.digest)}, annotations=_without(golden, "digest"))
    return (
        Material(
            "dataset",
            {"gitCommit": data.revision, "dvcMd5": _hex(data.dvc_hash).removesuffix(".dir")},
            uri=data.repository,
            annotations=_without(data, "repository", "revision", "dvc_hash"),
        ),
        Material("clips", {"elpIds": _hex(lineage.training.ids)}),
        *((pinned,) if golden.tag else ()),
        Material("backbone", {"elpFingerprint": _hex(backbone.fingerprint)}, uri=backbone.id),
        Material(
            "code",
            {"elpCode": _hex(code.digest), **revision},
            annotations={"version": code.version, "dirty": code.dirty},
        ),
        Material(
            "packages",
            {"elpLock": _hex(lineage.packages["lock"])},
            annotations={name: value for name, value in lineage.packages.items() if name != "lock"},
        ),
    )


def _hex(prefixed: str) -> str:
    """Return the digits of a digest that may name its algorithm, such as ``sha256:…`` or DVC's ``md5:…``."""
    return prefixed.rpartition(":")[2]


def _without(record: TrainingDataset | PinnedGolden, *names: str) -> dict[str, Any]:
    return {name: value for name, value in to_dict(record).items() if name not in names}
