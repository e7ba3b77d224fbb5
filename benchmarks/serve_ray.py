"""Ray Serve in front of one `AdapterHost`, for `bench_serve.py`: a replica that gathers the requests of all slots.

Its HTTP server is not in the lock: pip install 'ray[serve]'
"""

import io
import os
from typing import Annotated, Any

import soundfile
from fastapi import FastAPI, File, Form, UploadFile
from ray import init, serve
from serve_outputs import MOST, WAIT, answer_body, open_outputs
from serve_plant import ServedPlant

app = FastAPI()


@serve.deployment(num_replicas=1, max_ongoing_requests=256, ray_actor_options={"num_cpus": 0})
@serve.ingress(app)
class Classifier:
    """The replica, with the backbone."""

    def __init__(self, plant: ServedPlant, threads: int) -> None:
        self.outputs = open_outputs(plant, threads)

    @serve.batch(max_batch_size=MOST, batch_wait_timeout_s=WAIT)
    async def batch(self, pairs: list[tuple[str, Any]]) -> list[dict[str, Any]]:
        return [answer_body(one) for one in self.outputs(pairs)]

    @app.post("/v1/classify")
    async def classify(self, model: Annotated[str, Form()], file: Annotated[UploadFile, File()]) -> Any:
        samples = soundfile.read(io.BytesIO(await file.read()), dtype="float32")[0]
        return await self.batch((model, samples))


def run(plant: ServedPlant, threads: int, port: int) -> None:
    """Serve until the process is ended."""
    # a busy machine takes longer than its 5 s
    os.environ.setdefault("RAY_SERVE_PROXY_READY_CHECK_TIMEOUT_S", "60")
    init(num_cpus=2, include_dashboard=False, object_store_memory=100 * 2**20)
    serve.start(http_options={"host": "127.0.0.1", "port": port})
    serve.run(Classifier.bind(plant, threads), blocking=True)
