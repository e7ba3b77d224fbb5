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

import contextlib
import json
import os
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from elp_core.bundle import BundleManifest, verify_bundle
from elp_core.config import from_dict
from elp_core.files import write_whole
from pipelines.errors import StateDamaged, UsageError, WorkspaceError
from pipelines.local.settings import Settings, read_settings
from pipelines.local.state_file import read_back
from pipelines.local.workspace import BOX_SETTINGS, SETTINGS_FILE, Workspace
from pipelines.registry.delivery.delivery_keys import signer_of
from pipelines.registry.delivery.site_set import DeliveredAdapter, SiteSet, read_site_set
from pipelines.registry.signing.canonical_json import parse_json, sha256

if TYPE_CHECKING:
    from securesystemslib.signer import CryptoSigner

HOME = "ELP_BOX"
"""Environment variable: the folder of the box."""
CURRENT, PREVIOUS = "current.json", "previous.json"
_PULLED = "pulled.json"
NOT_KNOWN = "not known"
"""The address of a token that an earlier release kept without it, and the outcome in a record that cannot be read."""


NEW_KEY = (
    "delete it, revoke the box on the control host, and enrol it again: elp box enrol ADDRESS --token TOKEN, or "
    "without a network elp box key NAME SITE --to FOLDER"
)
"""What to do about a damaged key of the box."""
_NAME_AGAIN = (
    "delete it, and name all again: elp pull SITE --from URL|FOLDER --backbone ID|FOLDER; if the box had a name, "
    "revoke it on the control host first, and enrol it again: elp box enrol ADDRESS --token TOKEN"
)


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
    token_for: str = ""
    """Scheme, host and port of that server; empty if they are those of `source`, ``not known`` if nobody knows them."""
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

    @property
    def token_address(self) -> str:
        """Return the scheme, host and port that the token is for; empty if that is not known."""
        return self.token_for or origin_of(self.source)


@dataclass(frozen=True)
class PullRecord:
    """How the last pull ended."""

    at: str
    """UTC, ISO 8601."""
    outcome: str
    """``activated``, ``unchanged``, ``not known``, or the reason of a refusal, such as ``expired``."""
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


def origin_of(source: str) -> str:
    """Return the scheme, host and port of an address, such as ``http://control:5000``; empty for a folder."""
    if "://" not in source:
        return ""
    try:
        parts = urlsplit(source.lower())
    except ValueError:
        # without the address, which may hold a token
        raise UsageError("the source is an address that cannot be read; expected https://HOST:PORT") from None
    if {"@", "\\"} & set(parts.netloc):
        # programs do not agree on the host of such an address: it is equal to itself only
        return source
    port = "" if re.search(r":[0-9]+$", parts.netloc) else {"http": ":80", "https": ":443"}.get(parts.scheme, "")
    return f"{parts.scheme}://{parts.netloc}{port}"


def active_set(box: Path) -> ActiveSet | None:
    """Return the set that is active, or None if nothing was ever activated; raise StateDamaged if it cannot be read.

    Whether its metadata have expired plays no part: an expired date stops updates, and never the service.
    """
    return _set_in(box, CURRENT)


def previous_set(box: Path) -> ActiveSet | None:
    """Return the set before the active one, or None; raise StateDamaged if it cannot be read."""
    return _set_in(box, PREVIOUS)


def readable_sets(box: Path) -> dict[str, ActiveSet]:
    """Return by file name the active set and the one before, without one that is damaged: a pull replaces it."""
    found = dict[str, ActiveSet]()
    for name in (CURRENT, PREVIOUS):
        with contextlib.suppress(StateDamaged):
            if present := _set_in(box, name):
                found[name] = present
    return found


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
    with contextlib.suppress(FileNotFoundError), read_back(path, _NAME_AGAIN):
        return from_dict(BoxSettings, parse_json(path.read_bytes(), "it"), BOX_SETTINGS)
    return None


def write_box(box: Path, settings: BoxSettings) -> None:
    """Write the settings, readable by their owner only."""
    box.mkdir(mode=0o700, parents=True, exist_ok=True)
    values = asdict(settings)
    for name in ("others", "fingerprints", "token_for"):
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
    """Return how the last pull ended, as ``not known`` if its record cannot be read; None before the first."""
    path = box / _PULLED
    try:
        with contextlib.suppress(FileNotFoundError), read_back(path, "repair it with: elp pull"):
            return from_dict(PullRecord, parse_json(path.read_bytes(), "it"), _PULLED)
    except WorkspaceError as error:
        # it is for people: the set itself says what is active
        written = datetime.fromtimestamp(path.stat().st_mtime, UTC)
        return PullRecord(written.isoformat(timespec="microseconds"), NOT_KNOWN, str(error))
    return None


def box_key(box: Path) -> Path:
    """Return the file of the key that signs the box's reports."""
    return box / "key.pem"


def box_signer(box: Path) -> CryptoSigner:
    """Return the key that signs the box's reports."""
    return signer_of(box_key(box), repair=NEW_KEY)


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
    with contextlib.suppress(FileNotFoundError), read_back(path, "repair it with: elp pull"):
        content = path.read_bytes()
        site = str(parse_json(content, "it").get("site", ""))
        return ActiveSet(box, read_site_set(content, site), sha256(content))
    return None
