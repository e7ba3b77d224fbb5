"""Pull as a box that remembers its site, its source and its backbone, and what it was given as the first root."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

from pipelines.distribution.pull_set import PullResult, pull_set
from pipelines.distribution.sources import Source, source_of
from pipelines.distribution.trusted_metadata import refusals
from pipelines.errors import DeliveryRefused, UsageError, WorkspaceError
from pipelines.local.box_home import BoxSettings, read_box, write_box
from pipelines.registry.client.connection import PASSWORD, USERNAME, Account
from pipelines.registry.delivery.delivery_metadata import ROOT, metadata_file
from pipelines.registry.delivery.site_set import site_of
from pipelines.registry.signing.canonical_json import sha256

_DIGEST = re.compile(r"sha256:([0-9a-f]{64})")
_LARGEST_ROOT = 512_000


def pull_box(
    box: Path,
    site: str,
    *,
    source: str | None = None,
    root: str | None = None,
    backbone: str | None = None,
    accept_override: bool = False,
    environment: Mapping[str, str],
    log: Callable[[str], None] = lambda line: None,
) -> PullResult:
    """Pull a site's set into a box, from the source that is named or the one of the last pull.

    `root` is the file of the first root, or its ``sha256:…``; a box needs it once. Raises UsageError if the box belongs
    to another site, or was never told a source; the errors of `pull_set` otherwise.
    """
    settings = _settings(box, site_of(site), source, backbone)
    place = source_of(settings.source, site, token=settings.token, account=account_of(environment))
    first = None if root is None else _first_root(root, place)
    write_box(box, settings)
    return pull_set(
        box,
        site,
        place,
        lambda: _fingerprint(settings.backbone),
        first_root=first,
        accept_override=accept_override,
        log=log,
    )


def account_of(environment: Mapping[str, str]) -> Account | None:
    """Return the account in the environment, or None."""
    name = environment.get(USERNAME)
    return Account(name, environment.get(PASSWORD, "")) if name else None


def _settings(box: Path, site: str, source: str | None, backbone: str | None) -> BoxSettings:
    try:
        known = read_box(box)
    except WorkspaceError:
        known = BoxSettings(site)
    if known.site != site:
        raise UsageError(f"{box} is a box of the site {known.site}; name another folder for {site}: --box DIR")
    given = source if source is None or "://" in source else str(Path(source).expanduser().resolve())
    settings = replace(known, source=given or known.source, backbone=backbone or known.backbone)
    if not settings.source:
        raise UsageError(f"{box} never pulled before; name a source: elp pull {site} --from URL|FOLDER --root FILE")
    return settings


def _first_root(text: str, source: Source) -> bytes:
    """Return the bytes of the first root that a person named."""
    if found := _DIGEST.fullmatch(text):
        content = bytearray()
        with refusals():
            for chunk in source.read(f"metadata/{metadata_file(ROOT, 1)}").chunks:
                content += chunk
                if len(content) > _LARGEST_ROOT:
                    raise DeliveryRefused("too long", f"the first root of {source.shown} has no end")
        if sha256(bytes(content)) != found[1]:
            raise DeliveryRefused(
                "signature", f"the first root of {source.shown} is {sha256(bytes(content))}, not {text}"
            )
        return bytes(content)
    path = Path(text).expanduser()
    if not path.is_file():
        raise UsageError(f"--root {text}: there is no such file; expected 1.root.json, or sha256: and 64 digits")
    return path.read_bytes()


def _fingerprint(backbone: str) -> str:
    from elp_core.backbones import Backbone

    return Backbone.from_pretrained(backbone).fingerprint
