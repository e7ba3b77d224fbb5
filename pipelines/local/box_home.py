"""The folder of an edge box: what it trusts, what it has fetched, and the set of adapters that is active.

<box>/
├── box.json          site, source, name and backbones of this box, mode 0600
├── key.pem           the key that signs its reports
├── trust/root.json   the newest root that it has verified; the first one came from a person
├── tuf/              metadata of the last pull
├── seen.json         the newest moment that it knows of
├── downloads/        files that are not complete yet
├── bundles/<hex>/    adapter bundles by digest
├── statements/       signed statements by digest
├── current.json      the active set; one rename replaces it
├── previous.json     the set before
├── pulled.json       how the last pull ended
├── elp.yaml          optional: how `elp serve` and `elp predict` decode, as in a workspace
└── .elp/             API keys, enrolled voices, the log of requests, and the record of the server that runs
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path

from elp_core.bundle import BundleManifest, verify_bundle
from elp_core.config import from_dict
from elp_core.errors import ConfigError
from elp_core.files import write_whole
from pipelines.errors import DeliveryRefused, WorkspaceError
from pipelines.local.settings import Settings, read_settings
from pipelines.local.workspace import SETTINGS_FILE, Workspace
from pipelines.registry.delivery.site_set import DeliveredAdapter, SiteSet, read_site_set
from pipelines.registry.signing.canonical_json import parse_json, sha256

HOME = "ELP_BOX"
"""Environment variable: the folder of the box."""
CURRENT, PREVIOUS = "current.json", "previous.json"
BOX_SETTINGS, _PULLED, _SEEN = "box.json", "pulled.json", "seen.json"
_ROOT = Path("trust") / "root.json"


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
    others: tuple[str, ...] = ()
    """More backbones, while its site changes from one to another."""
    fingerprints: Mapping[str, str] = field(default_factory=dict)
    """Fingerprint -> id or path, as pulls found them, with those of the set before; empty if `backbone` serves all."""

    @property
    def backbones(self) -> tuple[str, ...]:
        """Return the ids or paths of all backbones."""
        return (self.backbone, *self.others)


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
    if (found := find_box(box)) is None:
        raise WorkspaceError(f"{box} is no box yet; make it one with: elp pull SITE --from URL|FOLDER --root FILE")
    return found


def find_box(box: Path) -> BoxSettings | None:
    """Return the settings, or None if the folder is no box yet; raise WorkspaceError if they are damaged."""
    path = box / BOX_SETTINGS
    try:
        return from_dict(BoxSettings, json.loads(path.read_text(encoding="utf-8")), str(path))
    except FileNotFoundError:
        return None
    except (OSError, ValueError, AttributeError, TypeError, ConfigError) as error:
        raise WorkspaceError(f"{path} cannot be read ({error}); delete it and pull again with --root") from error


def write_box(box: Path, settings: BoxSettings) -> None:
    """Write the settings, readable by their owner only."""
    box.mkdir(mode=0o700, parents=True, exist_ok=True)
    values = asdict(settings)
    for name in ("others", "fingerprints"):
        if not values[name]:
            # an earlier release knows no such key
            del values[name]
    write_whole(box / BOX_SETTINGS, json.dumps(values, indent=2) + "\n", mode=0o600, durable=True)


def box_workspace(box: Path) -> Workspace:
    """Return the box as a workspace without servers: its own backbones, and the settings of `elp.yaml` if it has one.

    With several backbones, each slot of the active set has the one that its adapter belongs to.
    """
    path, own = box / SETTINGS_FILE, read_box(box)
    settings = read_settings(path.read_text(encoding="utf-8"), str(path)) if path.is_file() else Settings()
    present = active_set(box) if own.fingerprints else None
    known = {one.slot: own.fingerprints.get(one.fingerprint) for one in present.site_set.adapters} if present else {}
    slots = {slot: {**settings.slots.get(slot, {}), "backbone": name} for slot, name in known.items() if name}
    return Workspace(box, replace(settings, backbone=own.backbone, slots={**settings.slots, **slots}))


def last_pull(box: Path) -> PullRecord | None:
    """Return how the last pull ended; None before the first, or if the record is damaged."""
    try:
        return from_dict(PullRecord, json.loads((box / _PULLED).read_text(encoding="utf-8")), _PULLED)
    except (OSError, ValueError, AttributeError, TypeError, ConfigError):
        # it is for people: the set itself says what is active
        return None


def box_key(box: Path) -> Path:
    """Return the file of the key that signs the box's reports."""
    return box / "key.pem"


def newest_root(box: Path) -> bytes | None:
    """Return the newest root that the box has verified, or the first one that a person gave; None without any."""
    path = box / _ROOT
    return path.read_bytes() if path.exists() else None


def keep_first_root(box: Path, root: bytes) -> None:
    """Keep what a person gave as the first root, if the box knows no root yet."""
    if newest_root(box) is None:
        keep_root(box, root)


def keep_root(box: Path, root: bytes) -> None:
    """Keep a root that was verified."""
    write_whole(box / _ROOT, root, durable=True)


def seen_timestamp(box: Path) -> tuple[int, list[str]]:
    """Return version and keys of the newest timestamp that the box has verified; 0 and no key before the first.

    The version is the Unix time at which it was signed. It counts for these keys only: others begin again.
    """
    path = box / _SEEN
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
        return int(values["newest"]), [str(key) for key in values["keys"]]
    except FileNotFoundError:
        return 0, []
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DeliveryRefused(
            "malformed", f"{path} is damaged ({error}); if the disk is sound, delete it and pull again"
        ) from error


def note_timestamp(box: Path, newest: int, keys: list[str]) -> None:
    """Remember the newest timestamp."""
    write_whole(box / _SEEN, json.dumps({"newest": newest, "keys": keys}) + "\n", durable=True)


def metadata_until(box: Path) -> datetime | None:
    """Return when the first of the signed metadata of the last pull expires; None before the first pull.

    Raises DeliveryRefused if a file of them is damaged.
    """
    found = []
    for path in (box / "tuf").glob("*.json"):
        try:
            found.append(datetime.fromisoformat(json.loads(path.read_bytes())["signed"]["expires"]))
        except (ValueError, KeyError, TypeError) as error:
            raise DeliveryRefused("malformed", f"{path} is damaged ({error}); delete it and pull again") from error
    return min(found, default=None)


def newest_seen(box: Path) -> datetime:
    """Return the newest moment that the box knows of: no clock that is older is right."""
    return datetime.fromtimestamp(seen_timestamp(box)[0], UTC)


def note_pull(box: Path, record: PullRecord) -> None:
    """Write how a pull ended."""
    path, text = box / _PULLED, json.dumps(asdict(record), indent=2) + "\n"
    try:
        write_whole(path, text)
    except OSError:
        # on a full disk, the former record may have the space that this one needs
        path.unlink(missing_ok=True)
        write_whole(path, text)


def _set_in(box: Path, name: str) -> ActiveSet | None:
    path = box / name
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return None
    site = str(parse_json(content, str(path)).get("site", ""))
    return ActiveSet(box, read_site_set(content, site), sha256(content))
