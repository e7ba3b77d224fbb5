"""Read bundles: every byte is verified before a tensor is opened."""

from __future__ import annotations

import hashlib
import json
import os
import stat
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from elp_core.bundle.format import (
    CONFIG,
    FILES,
    FORMAT,
    LINEAGE,
    MANIFEST,
    TENSORS,
    BundleManifest,
    digest_of,
    manifest_of,
    render_manifest,
)
from elp_core.errors import BundleError, ConfigError, FingerprintMismatch
from elp_core.methods.config import method_from_dict

if TYPE_CHECKING:
    from elp_core.backbones import Backbone
    from elp_core.model import ElpModel
    from elp_core.tasks import Task

MAX_JSON_BYTES = 64 * 2**20
MAX_TENSOR_BYTES = 2 * 2**30
MAX_HEADER_BYTES = 2**20
"""Of the safetensors header: names and shapes of some hundred tensors need a tenth of it."""


def bundle_digest(folder: Path) -> str:
    """Return ``sha256:<hex>`` of the files as they are now; the manifest is ignored. Needs no torch.

    Raises:
        BundleError: A file is missing, in excess, or no plain file.
    """
    _check_names(folder)
    found: dict[str, tuple[int, str]] = {}
    for name in FILES:
        with _open_plain(folder, name) as handle:
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
    """Return what `verify_bundle` and `load_bundle` return, from the same bytes.

    Raises:
        BundleError, FingerprintMismatch: As `load_bundle`.
    """
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
    """Return the decision threshold of a bundle's task; None if none was chosen, or if the task compares nothing.

    Raises:
        BundleError: The bundle's lineage is no plain file, or no JSON object.
    """
    from elp_core.tasks import Comparing

    if not isinstance(task, Comparing):
        return None
    if task.threshold is not None:
        return task.threshold
    # bundles of 0.1.0 have it in their lineage, with the validation metrics
    with _open_plain(folder, LINEAGE) as handle:
        lineage = _parse_object(handle.read(), str(folder / LINEAGE))
    threshold = lineage.get("validation", {}).get("eer.threshold")
    return None if threshold is None else float(threshold)


def _read(folder: Path) -> tuple[BundleManifest, dict[str, bytes]]:
    _check_names(folder)
    contents = {}
    for name in (*FILES, MANIFEST):
        with _open_plain(folder, name) as handle:
            contents[name] = handle.read()
    written = contents.pop(MANIFEST)
    files = _check_manifest(folder, written, contents)
    _check_header(contents[TENSORS], str(folder / TENSORS))
    lineage = _parse_object(contents[LINEAGE], str(folder / LINEAGE))
    where = folder / CONFIG
    config = _parse_object(contents[CONFIG], str(where))
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
    found, expected = _parse_object(written, str(where)), _parse_object(rendered, str(where))
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


def _check_names(folder: Path) -> None:
    """Refuse a folder that does not have exactly the files of a bundle."""
    try:
        names = set(os.listdir(folder))
    except (FileNotFoundError, NotADirectoryError):
        raise BundleError(f"{folder} is no bundle: there is no such folder") from None
    missing, extra = {*FILES, MANIFEST} - names, names - {*FILES, MANIFEST}
    if missing:
        raise BundleError(f"{folder} is incomplete: {', '.join(sorted(missing))} missing; fetch the bundle again")
    if extra:
        shown = ", ".join(repr(name) for name in sorted(extra)[:4])
        raise BundleError(f"{folder} holds what no bundle has: {shown}; fetch the bundle again, do not repair it")


def _open_plain(folder: Path, name: str) -> Any:
    """Open a bundle's file for reading; links, pipes and files over the size limits are refused unread."""
    try:
        # without O_NONBLOCK, opening a pipe would wait for its writer
        descriptor = os.open(folder / name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError as error:
        raise BundleError(f"{folder / name} cannot be opened: {error.strerror}; expected a plain file") from error
    status = os.fstat(descriptor)
    limit = MAX_TENSOR_BYTES if name == TENSORS else MAX_JSON_BYTES
    if not stat.S_ISREG(status.st_mode) or status.st_size > limit:
        os.close(descriptor)
        raise BundleError(f"{folder / name} is no plain file of at most {limit} bytes; fetch the bundle again")
    return os.fdopen(descriptor, "rb")


def _parse_object(raw: bytes, where: str) -> dict[str, Any]:
    """Parse a JSON object strictly: UTF-8, no key twice, no NaN or infinity."""

    def pairs(items: list[tuple[str, Any]]) -> dict[str, Any]:
        seen = dict(items)
        if len(seen) != len(items):
            twice = min(key for key, count in Counter(key for key, _ in items).items() if count > 1)
            raise BundleError(f"{where}: key {twice!r} occurs twice in one object")
        return seen

    def constant(name: str) -> NoReturn:
        raise BundleError(f"{where}: {name} is no JSON number")

    try:
        value = json.loads(raw.decode("utf-8"), object_pairs_hook=pairs, parse_constant=constant)
    except (ValueError, RecursionError) as error:
        raise BundleError(f"{where} is no JSON: {error}") from error
    if not isinstance(value, dict):
        raise BundleError(f"{where} holds a {type(value).__name__}, expected an object")
    return value


def _check_header(raw: bytes, where: str) -> None:
    """Refuse a safetensors file whose header is too long, cut off or ambiguous, before anything is allocated for it."""
    length = int.from_bytes(raw[:8], "little")
    if len(raw) < 8 or length > min(MAX_HEADER_BYTES, len(raw) - 8):
        raise BundleError(
            f"{where}: the header claims {length} bytes of a file of {len(raw)}; at most {MAX_HEADER_BYTES}"
        )
    _parse_object(raw[8 : 8 + length], f"{where} (header)")
