"""Frozen folders: what a version consists of in the artifact store. Nothing is written or deleted in them."""

from __future__ import annotations

import posixpath
from dataclasses import dataclass

from sqlalchemy import ColumnElement, insert, or_, select
from sqlalchemy.orm import Session

from pipelines.server.ledger.ledger_tables import FROZEN


@dataclass(frozen=True)
class FrozenFolder:
    """A frozen folder's version, and what the folder is to it."""

    model: str
    version: int
    what: str
    """``adapter`` or ``evidence``."""


def freeze(session: Session, path: str, folder: FrozenFolder) -> None:
    """Freeze a folder by its path in the served artifact store; a folder that is frozen keeps its version."""
    known = session.execute(select(FROZEN.c.path).where(FROZEN.c.path == path)).first()
    if known is None:
        values = {"model": folder.model, "version": folder.version, "what": folder.what}
        session.execute(insert(FROZEN).values(path=path, **values))


def frozen_by(session: Session, path: str, *, tree: bool = False) -> FrozenFolder | None:
    """Return the frozen folder that a path of the served artifact store (``""`` is the store itself) is in, or None.

    With `tree`, look for frozen folders below the path too, as a deletion must.
    """
    wanted: list[ColumnElement[bool]] = [FROZEN.c.path.in_(_upwards(path))]
    if tree:
        # escaped, because a path may hold the wildcards of LIKE
        wanted.append(FROZEN.c.path.startswith(path + "/", autoescape=True) if path else FROZEN.c.path != "")
    row = session.execute(select(FROZEN.c.model, FROZEN.c.version, FROZEN.c.what).where(or_(*wanted)).limit(1)).first()
    return None if row is None else FrozenFolder(str(row[0]), int(row[1]), str(row[2]))


def plain_path(*parts: str | None) -> str:
    """Join parts of a path without ``.``, ``..``, empty parts and slashes at the ends."""
    return posixpath.normpath("/" + "/".join(part for part in parts if part)).strip("/")


def _upwards(path: str) -> list[str]:
    """Return the path and every folder above it."""
    found = [path]
    while path:
        path = posixpath.dirname(path)
        found.append(path)
    return found
