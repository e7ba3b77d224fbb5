"""The folder of an edge box: what it trusts, what it has fetched, and the set of adapters that is active.

<box>/
├── box.json          site, source, name and backbone of this box, mode 0600
├── key.pem           the key that signs its reports
├── trust/root.json   the newest root that it has verified; the first one came from a person
├── tuf/              metadata of the last pull
├── seen.json         the newest moment that it knows of
├── downloads/        files that are not complete yet
├── bundles/<hex>/    adapter bundles by digest
├── statements/       signed statements by digest
├── current.json      the active set; one rename replaces it
├── previous.json     the set before
└── pulled.json       how the last pull ended
"""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from elp_core.bundle import BundleManifest, verify_bundle
from elp_core.config import from_dict
from elp_core.errors import ConfigError
from elp_core.files import write_whole
from pipelines.errors import WorkspaceError
from pipelines.registry.delivery.site_set import DeliveredAdapter, SiteSet, read_site_set
from pipelines.registry.signing.canonical_json import parse_json, sha256

HOME = "ELP_BOX"
"""Environment variable: the folder of the box."""
CURRENT, PREVIOUS = "current.json", "previous.json"
_SETTINGS, _PULLED = "box.json", "pulled.json"


@dataclass(frozen=True)
class BoxSettings:
    """What a box knows about itself."""

    site: str
    source: str = ""
    """Address of the MLflow server, or the folder that the last pull took."""
    name: str = ""
    """Among the boxes of the server; empty until it is enrolled."""
    token: str = ""
    """Proves the name to the server; empty until it is enrolled."""
    backbone: str = "elp:tiny"
    """Id or path of the backbone that it serves with."""


@dataclass(frozen=True)
class PullRecord:
    """How the last pull ended."""

    at: str
    """UTC, ISO 8601."""
    outcome: str
    """``activated``, ``unchanged``, or the reason of a refusal, such as ``expired``."""
    detail: str = ""


@dataclass(frozen=True)
class ActiveSet:
    """The set of adapters that a box serves."""

    box: Path
    site_set: SiteSet
    digest: str
    """SHA-256 (hex) of its `set.json`."""

    def bundle(self, adapter: DeliveredAdapter) -> Path:
        """Return the folder of an adapter's bundle; whoever loads it verifies every byte (`load_bundle`)."""
        return bundle_folder(self.box, adapter.bundle)

    def verify(self) -> dict[str, BundleManifest]:
        """Return the verified manifests by slot; raise BundleError if a bundle is not what the set names."""
        return {adapter.slot: verify_bundle(self.bundle(adapter)) for adapter in self.site_set.adapters}


def box_home(named: Path | None = None) -> Path:
    """Return the folder: the named one, else ELP_BOX, else `elp-box` in the user's state folder."""
    if named is not None:
        return named.expanduser().resolve()
    if given := os.environ.get(HOME):
        return Path(given).expanduser().resolve()
    return (Path(os.environ.get("XDG_STATE_HOME") or "~/.local/state").expanduser() / "elp-box").resolve()


def active_set(box: Path) -> ActiveSet | None:
    """Return the set that is active, or None if nothing was ever activated.

    Whether its metadata have expired plays no part: an expired date stops updates, and never the service.
    """
    return _set_in(box, CURRENT)


def previous_set(box: Path) -> ActiveSet | None:
    """Return the set before the active one, or None."""
    return _set_in(box, PREVIOUS)


def bundle_folder(box: Path, digest: str) -> Path:
    """Return the place of a bundle by its ``sha256:…``."""
    return box / "bundles" / digest.removeprefix("sha256:")


def statement_file(box: Path, digest: str) -> Path:
    """Return the place of an envelope by its SHA-256 (hex)."""
    return box / "statements" / f"{digest}.json"


def read_box(box: Path) -> BoxSettings:
    """Return the settings; raise WorkspaceError if the folder is no box, or if they are damaged."""
    path = box / _SETTINGS
    try:
        return from_dict(BoxSettings, json.loads(path.read_text(encoding="utf-8")), str(path))
    except FileNotFoundError as error:
        raise WorkspaceError(
            f"{box} is no box yet; make it one with: elp pull SITE --from URL|FOLDER --root FILE"
        ) from error
    except (OSError, ValueError, AttributeError, TypeError, ConfigError) as error:
        raise WorkspaceError(f"{path} cannot be read ({error}); delete it and pull again with --root") from error


def write_box(box: Path, settings: BoxSettings) -> None:
    """Write the settings, readable by their owner only."""
    box.mkdir(mode=0o700, parents=True, exist_ok=True)
    write_whole(box / _SETTINGS, json.dumps(asdict(settings), indent=2) + "\n", mode=0o600, durable=True)


def change_box(box: Path, **values: Any) -> BoxSettings:
    """Change some of the settings, and return them."""
    settings = replace(read_box(box), **values)
    write_box(box, settings)
    return settings


def last_pull(box: Path) -> PullRecord | None:
    """Return how the last pull ended; None before the first, or if the record is damaged."""
    try:
        return from_dict(PullRecord, json.loads((box / _PULLED).read_text(encoding="utf-8")), _PULLED)
    except (OSError, ValueError, AttributeError, TypeError, ConfigError):
        # it is for people: the set itself says what is active
        return None


def note_pull(box: Path, record: PullRecord) -> None:
    """Write how a pull ended."""
    write_whole(box / _PULLED, json.dumps(asdict(record), indent=2) + "\n")


def _set_in(box: Path, name: str) -> ActiveSet | None:
    path = box / name
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return None
    site = str(parse_json(content, str(path)).get("site", ""))
    return ActiveSet(box, read_site_set(content, site), sha256(content))
