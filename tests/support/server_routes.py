"""Every route of the guarded server, Flask's and FastAPI's, as the application itself lists them."""

from __future__ import annotations

import importlib
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from multiprocessing.connection import Connection
from typing import Any

from tests.support.forked_server import fork_context


def routes_of(environment: Mapping[str, str]) -> tuple[list[tuple[str, str]], int]:
    """Method and path of every route, with a value for each parameter, and how many of them are FastAPI's own.

    Args:
        environment: What the server runs in.
    """
    context = fork_context()
    answer, answers = context.Pipe(duplex=False)
    process = context.Process(target=_send_routes, args=(dict(environment), answers), daemon=True)
    process.start()
    answers.close()
    try:
        routes, own = answer.recv()
    finally:
        process.join(60)
    return routes, own


def _send_routes(environment: dict[str, str], answers: Connection) -> None:
    os.environ.clear()
    os.environ.update(environment, _MLFLOW_SGI_NAME="uvicorn")
    flask_app = importlib.import_module("mlflow.server").app
    fastapi_app = importlib.import_module("pipelines.server.app").create_app().app
    own = list(_own_routes(fastapi_app.routes))
    found = [(method, rule.rule) for rule in flask_app.url_map.iter_rules() for method in rule.methods]
    # every parameter gets a value
    filled = sorted({(method, re.sub(r"<(int:)?[^>]*>|\{[^}]*\}", "1", path)) for method, path in found + own})
    answers.send((filled, len(own)))
    # the thread that ends overrides would outlive this function
    answers.close()
    os._exit(0)


def _own_routes(routes: Iterable[Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    from starlette.routing import Mount

    for route in routes:
        inner = getattr(route, "original_router", None)
        if inner is not None:
            yield from _own_routes(inner.routes, prefix + route.include_context.prefix)
        elif not isinstance(route, Mount):
            yield from ((method, prefix + route.path) for method in route.methods)
