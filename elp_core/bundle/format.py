"""The bundle format, without torch: file names, the manifest, and reading JSON strictly; all refuse by `BundleError`.

A bundle is a folder of exactly these files. The manifest lists size and SHA-256 of all others in one canonical
spelling, so the files determine it byte for byte; the bundle's digest is the SHA-256 of that manifest.
"""

from __future__ import annotations

import hashlib
import json
import os
import stat
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

from elp_core.errors import BundleError
from elp_core.methods.config import MethodConfig

FORMAT = 1
"""Version of the format; readers refuse a later one."""
TENSORS = "adapter_model.safetensors"
CONFIG = "adapter_config.json"
LINEAGE = "lineage.json"
CARD = "README.md"
MANIFEST = "manifest.json"
FILES = (CARD, CONFIG, TENSORS, LINEAGE)
"""What the manifest lists."""

MAX_JSON_BYTES = 64 * 2**20
MAX_TENSOR_BYTES = 2 * 2**30
MAX_HEADER_BYTES = 2**20
"""Of the safetensors header: names and shapes of some hundred tensors need a tenth of it."""


@dataclass(frozen=True)
class BundleManifest:
    """The contents of a verified bundle, without its tensors."""

    digest: str
    """``sha256:<hex>`` over all files."""
    files: Mapping[str, str]
    """SHA-256 (hex) by file name."""
    backbone_id: str
    """Id or path that the backbone was loaded by when the adapter was trained."""
    fingerprint: str
    """Of the backbone that the adapter belongs to."""
    adapter: MethodConfig
    task: Mapping[str, Any]
    """`Task.to_json`."""
    lineage: Mapping[str, Any]


def render_json(value: Any) -> bytes:
    """Return canonical JSON: sorted keys, two spaces, UTF-8, a final newline, no NaN."""
    return (json.dumps(value, sort_keys=True, indent=2, ensure_ascii=False, allow_nan=False) + "\n").encode()


def render_manifest(contents: Mapping[str, bytes]) -> bytes:
    """Return the manifest of files given by their contents."""
    return manifest_of({name: (len(raw), hashlib.sha256(raw).hexdigest()) for name, raw in contents.items()})


def manifest_of(found: Mapping[str, tuple[int, str]]) -> bytes:
    """Return the manifest of files given by their sizes and SHA-256 (hex)."""
    files = {name: {"bytes": size, "sha256": digest} for name, (size, digest) in found.items()}
    return render_json({"format": FORMAT, "files": files})


def digest_of(manifest: bytes) -> str:
    """Return the bundle's digest from its manifest."""
    return f"sha256:{hashlib.sha256(manifest).hexdigest()}"


def check_names(folder: Path) -> None:
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


def open_plain(folder: Path, name: str) -> Any:
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


def parse_object(raw: bytes, where: str) -> dict[str, Any]:
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


def check_header(raw: bytes, where: str) -> None:
    """Refuse a safetensors file whose header is too long, cut off or ambiguous, before anything is allocated for it."""
    length = int.from_bytes(raw[:8], "little")
    if len(raw) < 8 or length > min(MAX_HEADER_BYTES, len(raw) - 8):
        raise BundleError(
            f"{where}: the header claims {length} bytes of a file of {len(raw)}; at most {MAX_HEADER_BYTES}"
        )
    parse_object(raw[8 : 8 + length], f"{where} (header)")
