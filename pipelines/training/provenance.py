"""The training key, what a lineage records of this moment (code, packages, machine), and the statement to sign."""

from __future__ import annotations

import contextlib
import hashlib
import os
import platform
import sys
from collections.abc import Iterable, Mapping
from dataclasses import replace
from email.parser import Parser
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

import elp_core
from elp_core.config import to_dict
from elp_core.task_specs import TaskSpec
from pipelines.errors import VersioningError
from pipelines.local import git
from pipelines.registry.lineage import (
    LearnedFrom,
    Lineage,
    PinnedGolden,
    TrainerCode,
    TrainerHardware,
    TrainingDataset,
)
from pipelines.registry.signing.canonical_json import canonical_json, sha256
from pipelines.registry.statements import LineageStatement, Material

if TYPE_CHECKING:
    from elp_core.bundle import BundleManifest

_NAMED = ("torch", "torchaudio", "transformers", "accelerate", "numpy", "safetensors", "mlflow", "prefect", "dvc")
RELEASED_CODE = {1: ("sha256:90568c3ba975d3694b3958e863f469fdb5e73e9fe389035ea6cd366f7246ed1a",)}
"""By recipe version, the code digests of releases whose keys contained one: 0.1.0 trained by recipe 1.

The registry may hold adapters under those keys, and they count as trained from the same inputs. A version that was
trained by other code, such as a checkout between two releases, is not recognised: its slot is trained once more.
"""


def training_key(
    dataset_dvc_hash: str, settings: Mapping[str, Any], backbone_fingerprint: str, seed: int, clips: str, **code: Any
) -> str:
    """Identify a training by its inputs, as 64 hexadecimal digits: equal inputs have equal keys.

    So nothing is trained twice. `settings` are the slot and its adapter and training configuration as plain values;
    `clips` is the `ids_digest` of the clips used (those of the golden set are left out of the dataset); `code` is
    ``recipe=``, the recipe version (`elp_core.training.recipe`). Keys of release 0.1.0 have ``code=``, the
    `code_digest`, so that every change of `elp_core` made other keys.
    """
    parts = {"backbone": backbone_fingerprint, "clips": clips, "dataset": dataset_dvc_hash, "seed": seed}
    return sha256(canonical_json({**parts, "settings": settings, **code}))


def code_digest() -> str:
    """Return ``sha256:…`` of every Python file of `elp_core`, as installed."""
    root = Path(elp_core.__file__).parent
    sums = hashlib.sha256()
    for path in sorted(root.rglob("*.py"), key=lambda p: p.relative_to(root).as_posix()):
        content = hashlib.sha256(path.read_bytes()).hexdigest()
        sums.update(f"{path.relative_to(root).as_posix()} {content}\n".encode())
    return f"sha256:{sums.hexdigest()}"


def task_digest(spec: TaskSpec) -> str:
    """Return ``sha256:…`` of the module of a task registered from elsewhere; empty for the tasks of `elp_core`."""
    place = sys.modules[spec.load().__module__].__file__
    if place is None or Path(place).is_relative_to(Path(elp_core.__file__).parent):
        return ""
    return f"sha256:{hashlib.sha256(Path(place).read_bytes()).hexdigest()}"


def code_version() -> TrainerCode:
    """Return version and digest of the code and, in a Git checkout, the revision and whether files differ from it."""
    from elp_core.training.recipe import RECIPE_VERSION

    root = Path(elp_core.__file__).resolve().parents[1]
    found = TrainerCode(metadata.version("elp-foundry"), code_digest(), recipe=RECIPE_VERSION)
    # a fault of Git must not lose a training that is done
    with contextlib.suppress(VersioningError):
        # not the revision of another repository that the installed package may be in
        if (root / ".git").exists() and (revision := git.resolve(root)):
            changed = git.git(root, "status", "--porcelain", "--untracked-files=all", "--", "elp_core", "pipelines")
            return replace(found, revision=revision, dirty=bool(changed))
    return found


def installed_packages() -> list[str]:
    """Return ``name==version`` of all installed packages but the project itself, sorted."""
    found = {_name_and_version(package) for package in metadata.distributions()}
    named = {(name.lower().replace("_", "-"), version) for name, version in found}
    return sorted(f"{name}=={version}" for name, version in named if name != "elp-foundry")


def _name_and_version(package: metadata.Distribution) -> tuple[str, str]:
    # `package.metadata` parses the description, too, which is most of the file, and again for `package.version`
    head = Parser().parsestr(package.read_text("METADATA") or package.read_text("PKG-INFO") or "", headersonly=True)
    return (head["Name"], head["Version"]) if head["Name"] else (package.metadata["Name"], package.version)


def lock_digest(listed: Iterable[str]) -> str:
    """Return ``sha256:…`` of a list that `installed_packages` gave."""
    return "sha256:" + hashlib.sha256("\n".join(listed).encode()).hexdigest()


def package_versions(listed: Iterable[str]) -> dict[str, str]:
    """Return the lock hash of the list that `installed_packages` gave, and the versions that matter most."""
    versions = dict(entry.split("==", 1) for entry in listed)
    return {
        "lock": lock_digest(listed),
        "python": platform.python_version(),
        **{name: versions[name] for name in _NAMED if name in versions},
    }


def hardware() -> TrainerHardware:
    """Return the machine, processor, memory and GPU of this process."""
    import torch

    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return TrainerHardware(
        system=platform.platform(),
        machine=platform.machine(),
        cores=os.cpu_count() or 1,
        memory_gib=round(memory / 2**30, 1),
        gpu=torch.cuda.get_device_name(0) if torch.cuda.is_available() else "",
        threads=torch.get_num_threads(),
    )


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
            # only of a language that is not the default: older statements keep their bytes
            **({"language": values["language"]} if "language" in values else {}),
            # only if the settings asked for another start than a fresh one
            **({"start": values["start"]} if "start" in values else {}),
        },
        materials=_materials(lineage),
        versions={"elp-foundry": lineage.code.version},
        run=lineage.mlflow_run,
        finished=lineage.created,
    )


def _materials(lineage: Lineage) -> tuple[Material, ...]:
    data, golden, backbone, code = lineage.dataset, lineage.golden, lineage.backbone, lineage.code
    language = lineage.language
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
        Material(
            "backbone",
            {"elpFingerprint": _hex(backbone.fingerprint)},
            uri=backbone.id,
            # without a record there are none: older statements keep their bytes
            annotations={name: value for name, value in to_dict(lineage.backbone_origin).items() if value},
        ),
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
        *((Material("units", {"elpUnits": _hex(language.units)}),) if language.units else ()),
        *((Material("parent", {"elpBundle": _hex(language.parent)}),) if language.parent else ()),
        *(
            Material(f"parent-{number}", {"elpBundle": _hex(one.bundle)}, annotations=_without(one, "bundle"))
            for number, one in enumerate(lineage.learned, start=1)
        ),
    )


def _hex(prefixed: str) -> str:
    """Return the digits of a digest that may name its algorithm, such as ``sha256:…`` or DVC's ``md5:…``."""
    return prefixed.rpartition(":")[2]


def _without(record: TrainingDataset | PinnedGolden | LearnedFrom, *names: str) -> dict[str, Any]:
    return {name: value for name, value in to_dict(record).items() if name not in names}
