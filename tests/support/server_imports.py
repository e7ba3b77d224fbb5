"""What a server of MLflow with the guard imports; `tests/support/forked_server.py` has it imported once.

uvicorn comes first: MLflow adds its security only if it finds a web server among the loaded modules.
`mlflow.server.auth` is not here: it reads its settings when it is imported.
"""

# ruff: noqa: F401, I001
import uvicorn.main
import uvicorn.protocols.http.auto
import uvicorn.protocols.websockets.auto
import mlflow.cli
import mlflow.server.fastapi_app
import pipelines.server.app
