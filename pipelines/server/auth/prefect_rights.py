"""The rights that requests to Prefect need when they come through the front (`pipelines.server.front`).

A user who may write to Prefect can run any program as the user of the workers: a run takes another command, a
deployment takes other code, a state names a stored result that is loaded. So every write is for administrators.
`elp retrain`, `elp cancel` and the workers ask Prefect directly.
"""

import base64
import os

from pipelines.prefect_names import PREFECT_PATH, PREFECT_SERVER
from pipelines.server.mlflow_private import static_prefix

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
    return static_prefix() + PREFECT_PATH if os.environ.get(PREFECT_SERVER) else ""


def basic(key: str) -> str:
    """Return the header ``Authorization`` with which Prefect accepts its key."""
    return "Basic " + base64.b64encode(key.encode()).decode()


def is_prefect(path: str) -> bool:
    """Return whether a request goes to Prefect."""
    return path == PREFECT_PATH or path.startswith(f"{PREFECT_PATH}/")


def reads_prefect(method: str, path: str) -> bool:
    """Return whether a request to Prefect reads, and no secret; a route that is not known here writes."""
    parts = path.removeprefix(PREFECT_PATH).strip("/").split("/")
    if _SECRET in parts:
        return False
    if method in ("GET", "HEAD"):
        return True
    if method != "POST" or parts[0] != "api":
        return False
    # by its whole path: a work pool may have the name count-by, too
    return parts[-1] in _READING or parts[1:-1] == ["events", "count-by"]
