"""The statements that a guarded server has recorded, page by page, as they are stored."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from pipelines.errors import RegistryError
from pipelines.registry.client.server_api import PAGE, call_server, list_statements


def every_statement(uri: str, **wanted: str | int) -> Iterator[dict[str, Any]]:
    """Recorded statements, the newest first, however many; filters as for `guard.statements`.

    Raises:
        ServiceError: where no guarded server answers.
    """
    before: dict[str, int] = {}
    while page := list_statements(uri, **wanted, **before, limit=PAGE):
        yield from page
        before = {"before": int(page[-1]["seq"])}


def find_statement(uri: str, digest: str) -> dict[str, Any] | None:
    """One recorded statement, or None.

    Raises:
        ServiceError: where no guarded server answers.
    """
    try:
        return dict(call_server(uri, "GET", f"/statements/{digest}"))
    except RegistryError:
        return None
