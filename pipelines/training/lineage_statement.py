"""The lineage of a bundle as a statement to sign: what `lineage.json` tells, by digest."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from pipelines.registry.statements import LineageStatement, Material

if TYPE_CHECKING:
    from elp_core.bundle import BundleManifest


def lineage_statement(model: str, bundle: BundleManifest) -> LineageStatement:
    """The statement on a verified bundle; the same bundle always gives the same statement.

    Args:
        model: Registered model: ``elp.<site>.<task>``.
        bundle: What `verify_bundle` gave.
    """
    told = bundle.lineage
    return LineageStatement(
        model=model,
        bundle=bundle.digest,
        files=dict(bundle.files),
        asked={
            "slot": told["slot"],
            "dataset": told["dataset"]["tag"],
            "golden": told["golden"]["tag"],
            "config": told["config"],
            "seed": told["seed"],
        },
        given={
            "key": told["key"],
            "training": told["training"],
            "hardware": told["hardware"],
            "flow_run": told["flow_run"],
        },
        materials=_materials(told),
        versions={"elp-foundry": str(told["code"]["version"])},
        run=str(told["mlflow_run"]),
        finished=str(told["created"]),
    )


def _materials(told: Mapping[str, Any]) -> tuple[Material, ...]:
    data, golden, backbone, code, packages = (
        told[name] for name in ("dataset", "golden", "backbone", "code", "packages")
    )
    revision = {"gitCommit": code["revision"]} if code["revision"] else {}
    pinned = (
        (Material("golden", {"elpIds": _hex(golden["digest"])}, annotations=_without(golden, "digest")),)
        if golden["tag"]
        else ()
    )
    return (
        Material(
            "dataset",
            {"gitCommit": str(data["revision"]), "dvcMd5": _hex(data["dvc_hash"]).removesuffix(".dir")},
            uri=str(data["repository"]),
            annotations=_without(data, "repository", "revision", "dvc_hash"),
        ),
        Material("clips", {"elpIds": _hex(told["training"]["ids"])}),
        *pinned,
        Material("backbone", {"elpFingerprint": _hex(backbone["fingerprint"])}, uri=str(backbone["id"])),
        Material(
            "code",
            {"elpCode": _hex(code["digest"]), **revision},
            annotations={"version": code["version"], "dirty": code["dirty"]},
        ),
        Material("packages", {"elpLock": _hex(packages["lock"])}, annotations=_without(packages, "lock")),
    )


def _hex(prefixed: Any) -> str:
    """The digits of a digest that may name its algorithm, such as ``sha256:…`` or DVC's ``md5:…``."""
    return str(prefixed).rpartition(":")[2]


def _without(values: Mapping[str, Any], *names: str) -> dict[str, Any]:
    return {name: value for name, value in values.items() if name not in names}
