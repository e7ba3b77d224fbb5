"""Every route of the guarded server, Flask's and FastAPI's, as the application itself lists them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping

_LIST = """
import json, re, sys
from starlette.routing import Mount
from mlflow.server import app as flask_app
from pipelines.server.app import create_app

def native(routes, prefix=""):
    for route in routes:
        inner = getattr(route, "original_router", None)
        if inner is not None:
            yield from native(inner.routes, prefix + route.include_context.prefix)
        elif not isinstance(route, Mount):
            yield from ((method, prefix + route.path) for method in route.methods)

fastapi_app = create_app().app
found = [(m, rule.rule) for rule in flask_app.url_map.iter_rules() for m in rule.methods]
found += list(native(fastapi_app.routes))
# every parameter gets a value
filled = sorted({(m, re.sub(r"<(int:)?[^>]*>|\\{[^}]*\\}", "1", path)) for m, path in found})
print(json.dumps({"routes": filled, "native": sum(1 for _ in native(fastapi_app.routes))}))
"""


def routes_of(environment: Mapping[str, str]) -> tuple[list[tuple[str, str]], int]:
    """Method and path of every route, with a value for each parameter, and how many of them are FastAPI's own.

    Args:
        environment: What the server runs in.
    """
    done = subprocess.run(
        [sys.executable, "-c", _LIST],
        env={**os.environ, **environment, "_MLFLOW_SGI_NAME": "uvicorn"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    found = json.loads(done.stdout.splitlines()[-1])
    return [(method, path) for method, path in found["routes"]], int(found["native"])
