"""Say back what a box runs: over HTTP, or as a file on the medium, which the control host collects.

Before that the server has to know the box's key: by a one-time token, or for a box without a network by the file of its
public key.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

from elp_core.errors import ElpError
from elp_core.files import write_whole
from pipelines.distribution.sources import HttpSource, first_root_by_digest
from pipelines.errors import UsageError
from pipelines.local.box_home import (
    NEW_KEY,
    BoxSettings,
    PullRecord,
    active_set,
    box_key,
    box_signer,
    find_box,
    last_pull,
    read_box,
    write_box,
)
from pipelines.local.verified_metadata import keep_first_root, newest_seen
from pipelines.registry.client import boxes
from pipelines.registry.delivery.box_report import REPORTS, BoxReport, RunningAdapter, box_name_of, sign_report
from pipelines.registry.delivery.delivery_keys import new_private_key, public_pem
from pipelines.registry.delivery.site_set import site_of


@dataclass(frozen=True)
class Collected:
    """A report file of a medium, and what became of it."""

    file: Path
    box: str
    fault: str
    """Empty if the server took it."""


def enrol_box_here(box: Path, uri: str, token: str, root: str) -> BoxSettings:
    """Enrol this box at a server: make its key, and keep name, site and token; `root` is ``sha256:…`` or empty."""
    # before the token is used up: a damaged file is reported while it still counts
    known, pem = find_box(box), _ensure_key(box)
    answer = boxes.enrol_box_key(uri.rstrip("/"), token, pem)
    settings = replace(
        known or BoxSettings(str(answer["site"])),
        site=str(answer["site"]),
        source=uri.rstrip("/"),
        name=str(answer["name"]),
        token=str(answer["access"]),
        token_for="",
    )
    write_box(box, settings)
    if root:
        keep_first_root(box, first_root_by_digest(root, HttpSource(settings.source, settings.token)))
    return settings


def name_box_here(box: Path, name: str, site: str, folder: Path) -> Path:
    """Name a box without a network, and write its public key for the control host; return that file."""
    known = find_box(box) or BoxSettings(site_of(site))
    if known.site != site:
        raise UsageError(f"{box} is a box of the site {known.site}; name another folder for {site}: --box DIR")
    settings = replace(known, name=box_name_of(name))
    pem = _ensure_key(box)
    write_box(box, settings)
    place = folder / site / REPORTS / f"{name}.pub"
    write_whole(place, pem)
    return place


def signed_report(box: Path, pulled: PullRecord | None = None) -> str:
    """Return the signed report of a box; raise UsageError if it has no name yet.

    `pulled` says how a pull has just ended, for a disk that could not note it.
    """
    settings, present, pulled = read_box(box), active_set(box), pulled or last_pull(box)
    if not settings.name:
        raise UsageError(f"{box} has no name at the server yet: elp box enrol, or elp box key without a network")
    now = max(datetime.now(UTC), newest_seen(box))
    adapters = present.site_set.adapters if present else ()
    report = BoxReport(
        box=settings.name,
        site=settings.site,
        at=now.isoformat(timespec="microseconds"),
        running=tuple(RunningAdapter(one.slot, one.version, one.bundle) for one in adapters),
        pulled=pulled.outcome if pulled else "",
        pulled_at=pulled.at if pulled else "",
        detail=pulled.detail[:500] if pulled else "",
        release=version("elp-foundry"),
    )
    return sign_report(report, box_signer(box))


def report_back(box: Path, medium: Path | None = None) -> str:
    """Send the report of a box to its server, or write it to a medium; return the place that got it."""
    settings, report = read_box(box), signed_report(box)
    if medium is not None:
        return str(_write_report(medium, settings, report))
    if "://" not in settings.source:
        raise UsageError(
            f"{box} pulls from {settings.source or 'nothing yet'}; name the medium: elp box report --to FOLDER"
        )
    boxes.send_report(settings.source, report)
    return settings.source


def report_after_pull(box: Path, source: str, log: Callable[[str], None], ended: PullRecord | None = None) -> None:
    """Report to the source of a pull, if the box has a name; a failure is logged and changes nothing.

    `ended` is how the pull ended if it failed. No folder is made for a medium that is not there.
    """
    try:
        settings = find_box(box)
        if settings is None or not settings.name:
            return
        report = signed_report(box, ended)
        if "://" in source:
            boxes.send_report(source.rstrip("/"), report)
        elif (Path(source) / settings.site).is_dir():
            _write_report(Path(source), settings, report)
    except (ElpError, OSError) as error:
        log(f"the report of the pull was not taken: {error}")


def _write_report(medium: Path, settings: BoxSettings, report: str) -> Path:
    place = medium / settings.site / REPORTS / f"{settings.name}.json"
    write_whole(place, report)
    return place


def collect_reports(medium: Path, uri: str) -> list[Collected]:
    """Send the reports on a medium, of all its sites, to the server."""
    found = []
    for file in sorted(medium.glob(f"*/{REPORTS}/*.json")):
        try:
            row = boxes.send_report(uri, file.read_text(encoding="utf-8"))
            found.append(Collected(file, str(row["name"]), ""))
        except (ElpError, UnicodeDecodeError) as error:
            found.append(Collected(file, file.stem, str(error)))
    return found


def _ensure_key(box: Path) -> str:
    path = box_key(box)
    return public_pem(path, repair=NEW_KEY) if path.exists() else new_private_key(path)
