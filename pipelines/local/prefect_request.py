"""Requests to Prefect's REST API with the login that its own clients take from the environment."""

import os
from typing import Any

from elp_core.types import Seconds
from pipelines.local import http_client as web
from pipelines.prefect_names import PREFECT_LOGIN


def prefect_request(url: str, body: Any = None, timeout: Seconds = 5.0, method: str | None = None) -> Any:
    """Send a GET, or a POST (or another `method`) of `body` as JSON; return the answer as `http_client.request`."""
    key = os.environ.get(PREFECT_LOGIN, "")
    return web.request(url, body, timeout, (key,) if key else None, method)
