"""Pull as a box that remembers its site, its source and its backbones, and what it was given as the first root."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from pipelines.distribution.pull_set import PullResult, pull_set
from pipelines.distribution.report_back import report_after_pull
from pipelines.distribution.sources import Source, first_root_by_digest, source_of
from pipelines.errors import UsageError, WorkspaceError
from pipelines.local.box_home import BoxSettings, read_box, write_box
from pipelines.registry.client.connection import PASSWORD, USERNAME, Account
from pipelines.registry.delivery.site_set import site_of


def pull_box(
    box: Path,
    site: str,
    *,
    source: str | None = None,
    root: str | None = None,
    backbones: Sequence[str] = (),
    accept_override: bool = False,
    environment: Mapping[str, str],
    log: Callable[[str], None] = lambda line: None,
) -> PullResult:
    """Pull a site's set into a box, from the source that is named or the one of the last pull.

    `root` is the file of the first root, or its ``sha256:…``; a box needs it once. `backbones` replace those of the
    last pull. Raises UsageError if the box belongs to another site, or has no source yet; BackboneError if a backbone
    is not here; the errors of `pull_set` otherwise. A box with a name reports how it ended.
    """
    settings = _settings(box, site_of(site), source, backbones)
    place = source_of(settings.source, site, token=settings.token, account=account_of(environment))
    first = None if root is None else _first_root(root, place)
    write_box(box, settings)
    try:
        return pull_set(
            box,
            site,
            place,
            lambda: box_fingerprints(box),
            first_root=first,
            accept_override=accept_override,
            log=log,
        )
    finally:
        # a refused pull, too: the console shows which box is stuck, and why
        report_after_pull(box, log)


def account_of(environment: Mapping[str, str]) -> Account | None:
    """Return the account in the environment, or None."""
    name = environment.get(USERNAME)
    return Account(name, environment.get(PASSWORD, "")) if name else None


def _settings(box: Path, site: str, source: str | None, backbones: Sequence[str]) -> BoxSettings:
    try:
        known = read_box(box)
    except WorkspaceError:
        known = BoxSettings(site)
    if known.site != site:
        raise UsageError(f"{box} is a box of the site {known.site}; name another folder for {site}: --box DIR")
    given = source if source is None or "://" in source else str(Path(source).expanduser().resolve())
    settings = replace(known, source=given or known.source)
    if backbones:
        first, *others = dict.fromkeys(backbones)
        settings = replace(settings, backbone=first, others=tuple(others), fingerprints={})
    if not settings.source:
        raise UsageError(f"{box} never pulled before; name a source: elp pull {site} --from URL|FOLDER --root FILE")
    return settings


def _first_root(text: str, source: Source) -> bytes:
    """Return the bytes of the first root that a person named."""
    if text.startswith("sha256:"):
        return first_root_by_digest(text, source)
    path = Path(text).expanduser()
    if not path.is_file():
        raise UsageError(f"--root {text}: there is no such file; expected 1.root.json, or sha256: and 64 digits")
    return path.read_bytes()


def box_fingerprints(box: Path) -> frozenset[str]:
    """Return the fingerprints of a box's backbones, and keep which is which for the server if there are several."""
    settings = read_box(box)
    # of two names of the same weights, the first one counts
    found = {_fingerprint(name): name for name in reversed(settings.backbones)}
    if settings.others:
        # before the set is active: a server that follows it looks here
        write_box(box, replace(settings, fingerprints=found))
    return frozenset(found)


def _fingerprint(backbone: str) -> str:
    from elp_core.backbones import Backbone

    return Backbone.from_pretrained(backbone).fingerprint
