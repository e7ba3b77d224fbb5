"""Requests to Prefect's REST API with the login that its own clients take from the environment."""

import os
import time
import urllib.error
from typing import Any

from elp_core.types import Seconds
from pipelines.local import http_client as web
from pipelines.prefect_names import PREFECT_LOGIN

_BUSY = 503
"""What Prefect answers, with nothing done, while its database is locked; its own client asks again, too."""
_PAUSES: tuple[Seconds, ...] = (0.2, 0.5, 1.0, 2.0)


def prefect_request(url: str, body: Any = None, timeout: Seconds = 5.0, method: str | None = None) -> Any:
    """Send a GET, or a POST (or another `method`) of `body` as JSON; return the answer as `http_client.request`.

    A server that is busy is asked again for some seconds.
    """
    key = os.environ.get(PREFECT_LOGIN, "")
    login = (key,) if key else None
    for pause in _PAUSES:
        try:
            return web.request(url, body, timeout, login, method)
        except urllib.error.HTTPError as error:
            if error.code != _BUSY:
                raise
        time.sleep(pause)
    return web.request(url, body, timeout, login, method)
