"""Write bundles: whole or not at all."""

from __future__ import annotations

import os
import shutil
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from elp_core.bundle.card import render_card
from elp_core.bundle.format import (
    CARD,
    CONFIG,
    FORMAT,
    LINEAGE,
    MANIFEST,
    TENSORS,
    digest_of,
    render_json,
    render_manifest,
)
from elp_core.errors import BundleError
from elp_core.fail_points import durable_write
from elp_core.methods.config import method_to_dict

if TYPE_CHECKING:
    from elp_core.model import ElpModel


def write_bundle(folder: Path, model: ElpModel, lineage: Mapping[str, Any], metrics: Mapping[str, float]) -> str:
    """Write the model's adapters and head, configuration, lineage and card into a new folder, without the backbone.

    The same model, lineage (plain JSON values) and metrics (for the card) give the same bytes. The folder appears with
    all files in it, or not at all. Returns the bundle's digest, ``sha256:<hex>``.

    Raises:
        BundleError: The folder exists, a value is not finite, or the lineage is no JSON.
        OSError: The disk cannot be written to; no part of the bundle is left.
    """
    if folder.exists() or folder.is_symlink():
        raise BundleError(f"{folder} exists already; a bundle is never written over: choose another folder")
    contents = {TENSORS: _tensors(model), CONFIG: render_json(describe(model))}
    try:
        contents[LINEAGE] = render_json(dict(lineage))
    except (TypeError, ValueError) as error:
        raise BundleError(f"the lineage cannot be written as JSON: {error}") from error
    contents[CARD] = render_card(model, lineage, metrics, len(contents[TENSORS])).encode()
    manifest = render_manifest(contents)
    folder.parent.mkdir(parents=True, exist_ok=True)
    # next to the folder: a rename over a file system's border would be a copy
    scratch = folder.parent / f".{folder.name}.{uuid.uuid4().hex}"
    try:
        scratch.mkdir()
        for name, raw in {**contents, MANIFEST: manifest}.items():
            with open(scratch / name, "xb") as handle:
                handle.write(raw)
                handle.flush()
                os.fsync(handle.fileno())
        with durable_write("bundle"):
            os.rename(scratch, folder)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    return digest_of(manifest)


def describe(model: ElpModel) -> dict[str, Any]:
    """Return the values of adapter_config.json: everything that makes the model again on its backbone."""
    backbone = model.backbone
    return {
        "format": FORMAT,
        "adapter": method_to_dict(model.config),
        "task": model.task.to_json(),
        "parameters": model.parameter_count(),
        "backbone": {
            "id": backbone.id,
            "fingerprint": backbone.fingerprint,
            "family": backbone.family,
            "hidden_size": backbone.hidden_size,
            "feature_size": backbone.feature_size,
            "layers": backbone.layer_count,
            "pre_norm": backbone.pre_norm,
        },
    }


def _tensors(model: ElpModel) -> bytes:
    from safetensors.torch import save

    state = {name: tensor.detach().to("cpu").contiguous() for name, tensor in sorted(model.state().items())}
    broken = [
        name for name, tensor in state.items() if tensor.is_floating_point() and not bool(tensor.isfinite().all())
    ]
    if broken:
        raise BundleError(f"{', '.join(broken[:4])}: values are NaN or infinite; train again with lower learning rates")
    raw: bytes = save(state)
    return raw
