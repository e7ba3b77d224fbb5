"""What a guarded server has recorded: statements and ledger, page by page, as they are stored."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from pipelines.clients.guard import ask, statements
from pipelines.errors import RegistryError

PAGE = 500
"""Statements or entries in one answer."""


def every_statement(uri: str, **wanted: str | int) -> Iterator[dict[str, Any]]:
    """Recorded statements, the newest first, however many; filters as for `guard.statements`.

    Raises:
        ServiceError: where no guarded server answers.
    """
    before: dict[str, int] = {}
    while page := statements(uri, **wanted, **before, limit=PAGE):
        yield from page
        before = {"before": int(page[-1]["seq"])}


def statement(uri: str, digest: str) -> dict[str, Any] | None:
    """One recorded statement, or None.

    Raises:
        ServiceError: where no guarded server answers.
    """
    try:
        return dict(ask(uri, "GET", f"/statements/{digest}"))
    except RegistryError:
        return None


def ledger(uri: str, after: int = 0, slot: str = "") -> Iterator[dict[str, Any]]:
    """Entries of the ledger after a number, in order: seq, text, hash and envelope of each.

    Args:
        uri: Address of the MLflow server.
        after: Number of the last entry that is not wanted.
        slot: ``SITE/TASK``; empty takes every slot.

    Raises:
        ServiceError: where no guarded server answers.
    """
    wanted = {"slot": slot} if slot else {}
    while True:
        entries = ask(uri, "GET", "/ledger", params={**wanted, "after": after, "limit": PAGE})["entries"]
        yield from entries
        if len(entries) < PAGE:
            return
        after = int(entries[-1]["seq"])
