"""Folders of the artifact store that a version stands on: from then on nothing is written there or deleted."""

from __future__ import annotations

import posixpath

from sqlalchemy import ColumnElement, insert, or_, select
from sqlalchemy.orm import Session

from pipelines.server.ledger.ledger_tables import FROZEN


def freeze(session: Session, path: str, model: str, version: int, what: str) -> None:
    """Freeze a folder, by its path in the served artifact store; one that is frozen stays as it was."""
    known = session.execute(select(FROZEN.c.path).where(FROZEN.c.path == path)).first()
    if known is None:
        session.execute(insert(FROZEN).values(path=path, model=model, version=version, what=what))


def holder(session: Session, path: str, *, tree: bool = False) -> tuple[str, int, str] | None:
    """Who holds a path frozen: model, version and what it is to them; None where it is free.

    Args:
        session: Of the registry's database.
        path: Of a file or folder in the served artifact store; ``""`` is the store itself.
        tree: Whether everything below is meant as well, as in a deletion.
    """
    wanted: list[ColumnElement[bool]] = [FROZEN.c.path.in_(_upwards(path))]
    if tree:
        wanted.append(FROZEN.c.path.startswith(path + "/", autoescape=True) if path else FROZEN.c.path != "")
    held = select(FROZEN.c.model, FROZEN.c.version, FROZEN.c.what).where(or_(*wanted))
    row = session.execute(held.limit(1)).first()
    return None if row is None else (str(row[0]), int(row[1]), str(row[2]))


def plain_path(*parts: str | None) -> str:
    """Parts of a path as one, without ``.``, ``..``, empty parts and slashes at its ends."""
    joined = posixpath.normpath("/" + "/".join(part for part in parts if part))
    return joined.strip("/")


def _upwards(path: str) -> list[str]:
    """The path and every folder above it."""
    found = [path]
    while path:
        path = posixpath.dirname(path)
        found.append(path)
    return found
