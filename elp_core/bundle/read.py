"""Read bundles: every byte is verified before a tensor is opened."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from elp_core.bundle.format import (
    CONFIG,
    FILES,
    FORMAT,
    LINEAGE,
    MANIFEST,
    TENSORS,
    BundleManifest,
    check_header,
    check_names,
    digest_of,
    manifest_of,
    open_plain,
    parse_object,
    render_manifest,
)
from elp_core.errors import BundleError, ConfigError, FingerprintMismatch
from elp_core.methods.config import method_from_dict

if TYPE_CHECKING:
    from elp_core.backbones import Backbone
    from elp_core.model import ElpModel
    from elp_core.tasks import Task


def bundle_digest(folder: Path) -> str:
    """Return ``sha256:<hex>`` of the files as they are now; the manifest is ignored. Needs no torch.

    Raises:
        BundleError: A file is missing, in excess, or no plain file.
    """
    check_names(folder)
    found: dict[str, tuple[int, str]] = {}
    for name in FILES:
        with open_plain(folder, name) as handle:
            found[name] = os.fstat(handle.fileno()).st_size, hashlib.file_digest(handle, "sha256").hexdigest()
    return digest_of(manifest_of(found))


def verify_bundle(folder: Path) -> BundleManifest:
    """Check every file against the manifest, and check what the files contain. Needs no torch.

    Raises:
        BundleError: A file is missing, in excess, altered, no plain file, malformed, or of a later format.
    """
    return _read(folder)[0]


def load_bundle(folder: Path, backbone: Backbone) -> ElpModel:
    """Return the bundle's model on `backbone`, verified, in eval mode on the backbone's device.

    The tensors are made from the same bytes that were verified.

    Raises:
        BundleError: As `verify_bundle`, or tensors are missing, unknown, of another shape, or not finite.
        FingerprintMismatch: The bundle belongs to another backbone.
    """
    return open_bundle(folder, backbone)[1]


def open_bundle(folder: Path, backbone: Backbone) -> tuple[BundleManifest, ElpModel]:
    """Return what `verify_bundle` and `load_bundle` return, from the same bytes; raise what they raise."""
    import torch
    from safetensors import SafetensorError
    from safetensors.torch import load

    from elp_core.model import ElpModel
    from elp_core.tasks import task_from_json

    manifest, contents = _read(folder)
    if manifest.fingerprint != backbone.fingerprint:
        raise FingerprintMismatch(manifest.fingerprint, backbone.fingerprint)
    try:
        # the meta device allocates nothing and draws no random numbers: a configuration of absurd sizes costs nothing
        with torch.device("meta"):
            model = ElpModel(backbone, manifest.adapter, task_from_json(manifest.task))
        model.load_state(load(contents[TENSORS]), assign=True)
    except ConfigError as error:
        raise BundleError(f"{folder / CONFIG} cannot be used: {error}") from error
    except SafetensorError as error:
        raise BundleError(f"{folder / TENSORS} is malformed: {error}; fetch the bundle again") from error
    return manifest, model.to(backbone.device).eval()


def deployed_threshold(task: Task, folder: Path) -> float | None:
    """Return the decision threshold of a bundle's task; None if none was chosen, or if the task compares nothing."""
    from elp_core.tasks import Comparing

    if not isinstance(task, Comparing):
        return None
    if task.threshold is not None:
        return task.threshold
    # bundles of 0.1.0 have it in their lineage, with the validation metrics
    with open_plain(folder, LINEAGE) as handle:
        lineage = parse_object(handle.read(), str(folder / LINEAGE))
    threshold = lineage.get("validation", {}).get("eer.threshold")
    return None if threshold is None else float(threshold)


def _read(folder: Path) -> tuple[BundleManifest, dict[str, bytes]]:
    check_names(folder)
    contents = {}
    for name in (*FILES, MANIFEST):
        with open_plain(folder, name) as handle:
            contents[name] = handle.read()
    written = contents.pop(MANIFEST)
    files = _check_manifest(folder, written, contents)
    check_header(contents[TENSORS], str(folder / TENSORS))
    lineage = parse_object(contents[LINEAGE], str(folder / LINEAGE))
    where = folder / CONFIG
    config = parse_object(contents[CONFIG], str(where))
    _check_format(where, config)
    missing = [name for name in ("adapter", "backbone", "task") if not isinstance(config.get(name), dict)]
    if missing:
        raise BundleError(f"{where} lacks {', '.join(missing)}; fetch the bundle again")
    backbone, fingerprint = (config["backbone"].get(key) for key in ("id", "fingerprint"))
    if not (isinstance(backbone, str) and isinstance(fingerprint, str)):
        raise BundleError(f"{where} lacks the backbone's id or fingerprint; fetch the bundle again")
    try:
        adapter = method_from_dict(config["adapter"], str(where))
    except ConfigError as error:
        raise BundleError(f"{where} cannot be used: {error}") from error
    return BundleManifest(digest_of(written), files, backbone, fingerprint, adapter, config["task"], lineage), contents


def _check_manifest(folder: Path, written: bytes, contents: dict[str, bytes]) -> dict[str, str]:
    """Return the hashes by file name, if the manifest is the one that the files determine."""
    where = folder / MANIFEST
    rendered = render_manifest(contents)
    found, expected = parse_object(written, str(where)), parse_object(rendered, str(where))
    _check_format(where, found)
    listed = found.get("files")
    if not isinstance(listed, dict) or set(listed) != set(contents):
        names = ", ".join(repr(name) for name in listed) if isinstance(listed, dict) else repr(listed)
        raise BundleError(f"{where} lists {names}, expected {', '.join(sorted(contents))}; fetch the bundle again")
    altered = [name for name in sorted(contents) if listed[name] != expected["files"][name]]
    if altered:
        raise BundleError(
            f"{folder} was altered: {', '.join(altered)} is not what {MANIFEST} says; fetch the bundle again"
        )
    if written != rendered:
        raise BundleError(f"{where} is not in its canonical form; fetch the bundle again")
    return {name: str(entry["sha256"]) for name, entry in listed.items()}


def _check_format(where: Path, values: dict[str, Any]) -> None:
    found = values.get("format")
    if found != FORMAT or isinstance(found, bool):  # True == 1
        raise BundleError(f"{where} is of format {found!r}, this version reads {FORMAT}; update elp-foundry to open it")
