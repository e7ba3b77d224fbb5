"""The adapters that a site's boxes run: `set.json`, the one file that names all others, and their paths.

Paths have the site and the bundle in them, so that a role of one site can name no file of another, and a server finds a
file without an index.
"""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass
from typing import Any

from elp_core.bundle import FILES, MANIFEST
from elp_core.config import from_dict
from elp_core.errors import ConfigError
from pipelines.errors import DeliveryRefused, UsageError
from pipelines.registry.in_toto import check_prefixed
from pipelines.registry.signing.canonical_json import canonical_json, parse_canonical_json
from pipelines.registry.slot import Slot

FORMAT = 1
SET = "set.json"
LINEAGE, VERDICT, ENTRY = "lineage.dsse.json", "verdict.dsse.json", "champion.dsse.json"
BUNDLE_FILES = (*FILES, MANIFEST)

_DIGEST = re.compile(r"[0-9a-f]{64}")
_SITE = re.compile(r"[a-z0-9]([a-z0-9-]{0,38}[a-z0-9])?")


@dataclass(frozen=True)
class DeliveredAdapter:
    """A champion, and the digests of the three envelopes that say why it is one."""

    slot: str
    """``SITE/TASK``."""
    version: int
    bundle: str
    """``sha256:…``"""
    backbone: str
    """Id of the backbone that it was trained on."""
    fingerprint: str
    """``sha256:…`` of that backbone."""
    lineage: str
    """SHA-256 (hex) of the file `LINEAGE`; likewise below."""
    lineage_at: str
    """When the ledger recorded it. UTC, ISO 8601."""
    verdict: str
    """Empty for a champion by override."""
    verdict_at: str
    entry: str
    """Of the ledger entry that made it champion."""

    @property
    def task(self) -> str:
        """The task of its slot."""
        return self.slot.partition("/")[2]

    @property
    def name(self) -> str:
        """``SITE/TASK vN``."""
        return f"{self.slot} v{self.version}"

    @property
    def envelopes(self) -> dict[str, str]:
        """SHA-256 (hex) by file name of its envelopes."""
        found = {LINEAGE: self.lineage, VERDICT: self.verdict, ENTRY: self.entry}
        return {name: digest for name, digest in found.items() if digest}

    def path(self, name: str) -> str:
        """Return the target path of one of its files."""
        return f"{self.slot}/{self.bundle.removeprefix('sha256:')}/{name}"


@dataclass(frozen=True)
class SiteSet:
    """All champions of a site. The law: ``read_site_set(s.content, s.site) == s``, and nothing else is read."""

    site: str
    adapters: tuple[DeliveredAdapter, ...]
    """By slot; at most one for each."""
    format: int = FORMAT

    @property
    def content(self) -> bytes:
        """The bytes of `set.json`."""
        return canonical_json(asdict(self))

    def find(self, slot: str) -> DeliveredAdapter | None:
        """Return the adapter of a slot, or None."""
        return next((adapter for adapter in self.adapters if adapter.slot == slot), None)


def site_of(text: str) -> str:
    """Return the name of a site if it is one; UsageError if not."""
    if not _SITE.fullmatch(text):
        raise UsageError(f"{text[:60]!r} is no site; expected lower-case letters, digits, hyphens, such as plant-a")
    return text


def set_path(site: str) -> str:
    """Return the target path of a site's `set.json`."""
    return f"{site}/{SET}"


def read_site_set(raw: bytes, site: str) -> SiteSet:
    """Read the `set.json` of a site; raise DeliveryRefused if it is malformed or names another site."""
    try:
        values = parse_canonical_json(raw, SET)
        found = from_dict(SiteSet, values, SET)
        _check(found, site)
    except (ConfigError, UsageError) as error:
        raise DeliveryRefused("malformed", f"{SET}: {error}") from error
    return found


def _check(found: SiteSet, site: str) -> None:
    if found.format != FORMAT:
        raise DeliveryRefused(
            "malformed", f"{SET} is of format {found.format}, this release reads {FORMAT}; update elp"
        )
    slots = [adapter.slot for adapter in found.adapters]
    if found.site != site or any(Slot.parse(slot).site != site for slot in slots):
        raise DeliveryRefused("other site", f"{SET} is about {found.site[:60]} and {slots}, expected the site {site}")
    if slots != sorted(set(slots)):
        raise DeliveryRefused("malformed", f"{SET} lists the slots {slots}, expected each once and in order")
    for adapter in found.adapters:
        for prefixed in (adapter.bundle, adapter.fingerprint):
            check_prefixed(prefixed, adapter.slot)
        digests: list[Any] = [adapter.lineage, adapter.entry, *([adapter.verdict] if adapter.verdict else [])]
        if not all(_DIGEST.fullmatch(digest) for digest in digests):
            raise DeliveryRefused("malformed", f"{SET}: {adapter.slot} has a digest that is none")
