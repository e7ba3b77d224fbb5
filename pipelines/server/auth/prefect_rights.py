"""The rights that requests to Prefect need when they come through the front (`pipelines.server.front`).

A user who may write to Prefect can run any program as the user of the workers: a run takes another command, a
deployment takes other code, a state names a stored result that is loaded. So every write is for administrators.
`elp retrain`, `elp cancel` and the workers ask Prefect directly.
"""

import base64
import os

from pipelines.server.mlflow_private import static_prefix

PREFECT_ROUTE = "/prefect"
"""Prefect's pages are below it, and its API is below ``/prefect/api``."""

PREFECT_SERVER = "ELP_PREFECT_SERVER"
"""Environment variable: address of the Prefect server that this server shows, such as http://127.0.0.1:4200."""
PREFECT_LOGIN = "PREFECT_API_AUTH_STRING"
"""Environment variable: the key that this Prefect server asks for, as Prefect's own clients know it."""

_READING = frozenset(
    {
        *("filter", "count", "counts", "history", "paginate", "lateness", "concurrency_status"),
        *("count-task-runs", "count-deployments", "next-runs"),
    }
)
"""Last parts of the POST routes that only read."""
_SECRET = "block_documents"
"""In the path of every route that can answer with the secrets of blocks."""


def shown_prefect() -> str:
    """Return the path of Prefect's pages on this server, without a slash at the end; empty if it does not show them."""
    return static_prefix() + PREFECT_ROUTE if os.environ.get(PREFECT_SERVER) else ""


def basic(key: str) -> str:
    """Return the header ``Authorization`` with which Prefect accepts its key."""
    return "Basic " + base64.b64encode(key.encode()).decode()


def is_prefect(path: str) -> bool:
    """Return whether a request goes to Prefect."""
    return path == PREFECT_ROUTE or path.startswith(f"{PREFECT_ROUTE}/")


def reads_prefect(method: str, path: str) -> bool:
    """Return whether a request to Prefect reads, and no secret; a route that is not known here writes."""
    parts = path.removeprefix(PREFECT_ROUTE).strip("/").split("/")
    if _SECRET in parts:
        return False
    if method in ("GET", "HEAD"):
        return True
    if method != "POST" or parts[0] != "api":
        return False
    return parts[-1] in _READING or parts[-2:-1] == ["count-by"]
