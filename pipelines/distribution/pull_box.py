"""Pull as a box that remembers its site, its source and its backbones, and what it was given as the first root.

What a command names is remembered only if its pull succeeds, in `box.json`, just before the set is activated. A process
that is killed between these two writes leaves the set before with backbones that serve it, see `_remembered`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import Path

from pipelines.distribution.pull_set import PullResult, failed_pull, pull_set
from pipelines.distribution.report_back import report_after_pull
from pipelines.distribution.source_login import account_for
from pipelines.distribution.sources import Source, first_root_by_digest, source_of
from pipelines.errors import UsageError
from pipelines.local.box_home import (
    CURRENT,
    NOT_KNOWN,
    BoxSettings,
    find_box,
    origin_of,
    readable_sets,
    write_box,
)
from pipelines.registry.delivery.site_set import site_of


def pull_box(
    box: Path,
    site: str = "",
    *,
    source: str | None = None,
    root: str | None = None,
    backbones: Sequence[str] = (),
    accept_override: bool = False,
    environment: Mapping[str, str],
    now: datetime | None = None,
    log: Callable[[str], None] = lambda line: None,
) -> PullResult:
    """Pull a site's set into a box, from the source that is named or the one of the last pull that succeeded.

    An empty `site` is that of the box. `root` is the file of the first root, or its ``sha256:…``; a box needs it once.
    `backbones` replace those of the box. Raises UsageError if the box belongs to another site, or has no site or source
    yet; BackboneError if a backbone is not here; the errors of `pull_set` otherwise. A box with a name reports how it
    ended.
    """
    settings, known = _settings(box, site, source, backbones), find_box(box)
    place = _source(settings, known.source if known else "", environment, log)
    first = None if root is None else _first_root(root, place)
    found = dict[str, str]()

    def fingerprints() -> Mapping[str, str]:
        # of two names of the same weights, the first one counts
        found.update({_fingerprint(name): name for name in reversed(settings.backbones)})
        return found

    def remember() -> None:
        known = find_box(box)
        # again: a command that enrols the box may have changed them meanwhile
        changed = _remembered(box, known, _settings(box, site, source, backbones), found)
        if changed != known:
            write_box(box, changed)

    try:
        result = pull_set(
            box,
            settings.site,
            place,
            fingerprints,
            recheck=bool(backbones),
            remember=remember,
            first_root=first,
            accept_override=accept_override,
            now=now,
            log=log,
        )
    except Exception as error:
        # the console shows which box is stuck, and why
        report_after_pull(box, settings.source, log, failed_pull(error))
        raise
    report_after_pull(box, settings.source, log)
    return result


def _settings(box: Path, site: str, source: str | None, backbones: Sequence[str]) -> BoxSettings:
    """Return the settings of a box with what a command names in their place."""
    known = find_box(box) or (BoxSettings(site_of(site)) if site else None)
    if known is None:
        raise UsageError(f"{box} is no box yet; name its site: elp pull SITE --from URL|FOLDER --root FILE")
    if site and known.site != site_of(site):
        raise UsageError(f"{box} is a box of the site {known.site}; name another folder for {site}: --box DIR")
    given = source if source is None or "://" in source else str(Path(source).expanduser().resolve())
    settings = _with_source(known, given or known.source)
    if backbones:
        first, *others = dict.fromkeys(map(_lasting, backbones))
        settings = replace(settings, backbone=first, others=tuple(others), fingerprints={})
    if not settings.source:
        raise UsageError(
            f"{box} never pulled before; name a source: elp pull {known.site} --from URL|FOLDER --root FILE"
        )
    return settings


def _with_source(known: BoxSettings, source: str) -> BoxSettings:
    """Return the settings with a source; the token stays that of the address that it was given for."""
    # an earlier release did not keep the address when the box pulled from a medium: nobody gets that token
    address = known.token_address
    other = bool(known.token) and origin_of(source) != address
    return replace(known, source=source, token_for=(address or NOT_KNOWN) if other else "")


def _source(settings: BoxSettings, before: str, environment: Mapping[str, str], log: Callable[[str], None]) -> Source:
    """Return the source, with the token of the box or the login of the environment if that is for this address."""
    foreign = bool(settings.token) and "://" in settings.source and bool(settings.token_for)
    if foreign and settings.token_for == NOT_KNOWN:
        log(
            "the address of this box's token is not known, because it was enrolled by an earlier release: the token is "
            f"kept and not sent to {settings.source}; enrol it again: elp box enrol {settings.source} --token TOKEN"
        )
    elif foreign:
        log(f"the token of this box is for {settings.token_for} and is not sent to {settings.source}")
    token = "" if foreign else settings.token
    # with a token, the login is not needed
    account = None if token else account_for(settings.source, before, environment, log)
    return source_of(
        settings.source,
        settings.site,
        token=token,
        token_for=settings.token_for if foreign else "",
        account=account,
    )


def _lasting(backbone: str) -> str:
    """Return the name of a backbone that means the same in every working directory."""
    path = Path(backbone).expanduser()
    return str(path.resolve()) if path.is_dir() else backbone


def _remembered(box: Path, known: BoxSettings | None, settings: BoxSettings, found: Mapping[str, str]) -> BoxSettings:
    """Return the settings with the backbone of each fingerprint, if one backbone does not serve all sets of the box.

    `found` has the fingerprints of the backbones; it is empty if they were not needed. The sets that are here, the
    active one and the one before, keep the backbones that they are served with: for a process that is killed before the
    new set is active, and for `elp box rollback`.
    """
    if not found:
        return settings
    fingerprints, before = dict(found), known or BoxSettings(settings.site, backbone="")
    for file, one in readable_sets(box).items():
        for adapter in one.site_set.adapters:
            # a box with one backbone has no list: its active set is served with that one
            alone = "" if file != CURRENT or before.fingerprints else before.backbone
            name = before.fingerprints.get(adapter.fingerprint, alone)
            if name:
                fingerprints.setdefault(adapter.fingerprint, name)
    several = settings.others or set(fingerprints.values()) != {settings.backbone}
    return replace(settings, fingerprints=fingerprints if several else {})


def _first_root(text: str, source: Source) -> bytes:
    """Return the bytes of the first root that a person named."""
    if text.startswith("sha256:"):
        return first_root_by_digest(text, source)
    path = Path(text).expanduser()
    if not path.is_file():
        raise UsageError(f"--root {text}: there is no such file; expected 1.root.json, or sha256: and 64 digits")
    return path.read_bytes()


def _fingerprint(backbone: str) -> str:
    from elp_core.backbones import Backbone

    return Backbone.from_pretrained(backbone).fingerprint
