"""The bundle format, without torch: file names and the manifest.

A bundle is a folder of exactly these files. The manifest lists size and SHA-256 of all others in one canonical
spelling, so the files determine it byte for byte; the bundle's digest is the SHA-256 of that manifest.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

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
