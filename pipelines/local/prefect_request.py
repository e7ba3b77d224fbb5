"""Requests to Prefect's REST API with the login that its own clients take from the environment."""

import os
from typing import Any

from elp_core.types import Seconds
from pipelines.local import http_client as web
from pipelines.prefect_names import PREFECT_LOGIN


def prefect_request(url: str, body: Any = None, timeout: Seconds = 5.0) -> Any:
    """Send a GET, or a POST of `body` as JSON, and return the answer as `http_client.request` does."""
    key = os.environ.get(PREFECT_LOGIN, "")
    return web.request(url, body, timeout, (key,) if key else None)
